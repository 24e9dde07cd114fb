//! The messages in a datagram.

use std::iter;

use netlink_packet_core::{NLMSG_ALIGNTO, NetlinkBuffer};
use netlink_packet_generic::GenlHeader;
use netlink_packet_generic::constants::GENL_HDRLEN;

use super::failure::Malformed;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    /// The family, or what kind of control message it is.
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
    pub(super) port: u32,
    pub(super) payload: &'a [u8],
}

/// Cuts a datagram into its messages. What cannot be cut is one error, the last item.
pub(super) fn messages(datagram: &[u8]) -> impl Iterator<Item = Result<Message<'_>, Malformed>> {
    let mut rest = datagram;
    iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Ok(buffer) = NetlinkBuffer::new_checked(rest) else {
            let left = rest.len();
            rest = &[];
            return Some(Err(Malformed::Message { left }));
        };
        let message = Message {
            kind: buffer.message_type(),
            flags: buffer.flags(),
            sequence: buffer.sequence_number(),
            port: buffer.port_number(),
            payload: buffer.payload(),
        };
        // The padding may be left out behind the last one. The length is no more than that of a datagram.
        let length = (buffer.length() as usize).next_multiple_of(usize::from(NLMSG_ALIGNTO));
        rest = rest.get(length..).unwrap_or_default();
        Some(Ok(message))
    })
}

impl<'a> Message<'a> {
    /// The command of a family's message, and its attributes.
    pub(super) fn command(&self) -> Result<(u8, &'a [u8]), Malformed> {
        let short = Malformed::Short { kind: self.kind, length: self.payload.len() };
        let header = GenlHeader::parse(self.payload).map_err(|_| short)?;
        Ok((header.cmd, self.payload.get(GENL_HDRLEN..).ok_or(short)?))
    }
}
