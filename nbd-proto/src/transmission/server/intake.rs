//! Where in a request the stream stands.

use core::ops::Range;

use crate::transmission::slots::SlotIndex;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Intake {
    Header,
    /// A `WRITE` whose payload the caller has not consented to.
    Consent(SlotIndex),
    /// Payload of a `WRITE`.
    Payload {
        slot: SlotIndex,
        range: Range<usize>,
    },
    /// The payload is there, and the caller is yet to be told.
    Received(SlotIndex),
    /// The list of contexts of a `BLOCK_STATUS`.
    Filter {
        slot: SlotIndex,
        length: usize,
    },
    /// Payload of a request that has failed; the answer comes behind it, since clients are known that take no
    /// answer to what they are still sending.
    Skip {
        slot: SlotIndex,
        left: u64,
    },
    /// The client has said goodbye.
    Over,
}

impl Intake {
    /// How much payload of this request is still to come.
    pub(super) fn left(&self, slot: SlotIndex, length: u64) -> u64 {
        match self {
            Self::Consent(of) if *of == slot => length,
            Self::Payload { slot: of, range } if *of == slot => range.len() as u64,
            _ => 0,
        }
    }
}
