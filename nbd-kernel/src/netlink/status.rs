//! The list of devices.

use netlink_packet_core::{NLA_HEADER_SIZE, NlaBuffer};

use super::attributes::{self, Wanted};
use super::failure::Malformed;
use super::uapi::{attribute, device};

/// What the driver says of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeviceState {
    pub(crate) index: u32,
    /// It is attached, or somebody merely has it open.
    pub(crate) connected: bool,
}

/// Reads a status message's list. Items of another kind are ignored.
pub(super) fn parse(message: &[u8], into: &mut Vec<DeviceState>) -> Result<(), Malformed> {
    for item in attributes::all(list(message)?) {
        let (kind, item) = item?;
        if kind == device::ITEM {
            let index = attributes::require_u32(item, Wanted(device::INDEX, "a device's index"))?;
            let connected = attributes::require_u8(item, Wanted(device::CONNECTED, "a device's state"))? != 0;
            into.push(DeviceState { index, connected });
        }
    }
    Ok(())
}

/// The items in a message.
fn list(message: &[u8]) -> Result<&[u8], Malformed> {
    if u16::try_from(message.len()).is_ok() {
        return attributes::require(message, Wanted(attribute::DEVICE_LIST, "the list of devices"));
    }
    // From 3277 devices on, the list has more bytes than its length can say, and the kernel (seen on 6.1 and 6.12)
    // leaves the upper bits out. As the list is all that there is, it ends where the message does.
    let header = NlaBuffer::new(message);
    if header.kind() == attribute::DEVICE_LIST && header.length() == message.len() as u16 {
        Ok(&message[NLA_HEADER_SIZE..])
    } else {
        Err(Malformed::ListTooLong)
    }
}
