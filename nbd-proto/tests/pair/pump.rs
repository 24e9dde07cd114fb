//! What both ends do with bytes.

use nbd_proto::transmission::{Outbound, Segment};

/// The first `most` bytes that an engine has to send.
pub(crate) fn gather<'a, Id: Copy>(
    outbound: Outbound<'_, Id>,
    most: usize,
    buffer: impl Fn(Id) -> &'a [u8],
) -> Vec<u8> {
    let mut bytes = Vec::new();
    for segment in outbound {
        match segment {
            Segment::Framing(framing) => bytes.extend_from_slice(framing),
            Segment::Payload { owner, range } => bytes.extend_from_slice(&buffer(owner)[range]),
        }
        if bytes.len() >= most {
            break;
        }
    }
    bytes.truncate(most);
    bytes
}

/// Takes up to `most` bytes off the front.
pub(crate) fn take(out: &mut Vec<u8>, most: usize) -> Vec<u8> {
    let count = out.len().min(most);
    out.drain(..count).collect()
}
