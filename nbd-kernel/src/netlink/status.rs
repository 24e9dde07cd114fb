//! The list of devices.

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
    // A list of 3277 devices has more bytes than its length can say: what is left of it is not where the list ends.
    if message.len() > usize::from(u16::MAX) {
        return Err(Malformed::ListTooLong);
    }
    let list = attributes::require(message, Wanted(attribute::DEVICE_LIST, "the list of devices"))?;
    for item in attributes::all(list) {
        let (kind, item) = item?;
        if kind == device::ITEM {
            let index = attributes::require_u32(item, Wanted(device::INDEX, "a device's index"))?;
            let connected = attributes::require_u8(item, Wanted(device::CONNECTED, "a device's state"))? != 0;
            into.push(DeviceState { index, connected });
        }
    }
    Ok(())
}
