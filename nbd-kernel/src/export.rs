//! What the kernel, and whoever attaches, has to know of an export.

use std::fmt;

use nbd_proto::handshake::{ExportInfo, Negotiated};
use nbd_proto::wire::flags::TransmissionFlags;

/// An export as a server described it. Two connections can serve one device only if theirs are the same.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Export {
    /// Size in bytes.
    pub size: u64,
    /// What the server can do.
    pub flags: TransmissionFlags,
    /// The server's minimum block size in bytes; 1 if it told none.
    pub minimum_block: u32,
    /// The largest payload of a request in bytes.
    pub maximum_payload: u32,
}

/// What differs between two connections that should be the same export.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} was {expected} and is {found}")]
pub struct Mismatch {
    /// Which fact.
    pub what: &'static str,
    /// As it was on the first connection.
    pub expected: String,
    /// As it is on this one.
    pub found: String,
}

impl From<Negotiated> for Export {
    fn from(negotiated: Negotiated) -> Self {
        let (minimum_block, maximum_payload) = (negotiated.minimum_block(), negotiated.maximum_payload());
        let ExportInfo { size, flags, .. } = negotiated.info;
        Self { size, flags, minimum_block, maximum_payload }
    }
}

impl Export {
    /// Whether `other` is the same export, as far as a server tells.
    pub fn check_same(&self, other: &Self) -> Result<(), Mismatch> {
        compare("the size", self.size, other.size)?;
        self.check_same_but_for_size(other)
    }

    /// The same for an export that may have grown.
    pub(crate) fn check_same_but_for_size(&self, other: &Self) -> Result<(), Mismatch> {
        if self.flags != other.flags {
            return Err(Mismatch {
                what: "the set of transmission flags",
                expected: format!("{:#06x}", self.flags.bits()),
                found: format!("{:#06x}", other.flags.bits()),
            });
        }
        compare("the minimum block size", self.minimum_block, other.minimum_block)?;
        compare("the maximum payload", self.maximum_payload, other.maximum_payload)
    }
}

fn compare<T: Copy + PartialEq + fmt::Display>(what: &'static str, expected: T, found: T) -> Result<(), Mismatch> {
    if expected == found {
        return Ok(());
    }
    Err(Mismatch { what, expected: expected.to_string(), found: found.to_string() })
}
