//! What a server's caller answers.

use crate::wire::number::ErrorValue;

/// A part of the answer to a `READ`. Parts follow each other without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadPart {
    /// So many bytes from the buffer.
    Data(u64),
    /// So many zeroes. Sent as a hole if the request [takes holes](super::Request::takes_holes), otherwise from the
    /// buffer, which then has to hold them.
    Hole(u64),
}

impl ReadPart {
    pub(super) const fn length(&self) -> u64 {
        let (Self::Data(length) | Self::Hole(length)) = *self;
        length
    }
}

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure<'a> {
    /// The error. 0 counts as `EIO`, and `ENOTSUP` as `EINVAL` but in answer to a `WRITE_ZEROES` with `FAST_ZERO`,
    /// where alone it has a meaning; any other is sent as it is, so it had better be one of the specification's
    /// (*Error values*).
    pub error: ErrorValue,
    /// Words for people; may be empty. Cut at 4096 bytes, and before a NUL. Sent where the style of replies has room
    /// for them.
    pub message: &'a str,
    /// Where it happened, in bytes from the start of the export, if that is known. Not sent unless it lies within the
    /// request, and the style of replies has room for it.
    pub offset: Option<u64>,
}
