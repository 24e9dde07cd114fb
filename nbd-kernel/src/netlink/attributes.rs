//! Attributes of an answer, each found by its number.
//!
//! Unknown ones are ignored, as newer kernels add some. One that comes twice is refused: which one counts is
//! nowhere said, and the kernel never does it.

use netlink_packet_core::{NLA_HEADER_SIZE, NlasIterator, parse_u8, parse_u16, parse_u32};

use super::failure::Malformed;

/// An attribute that is looked for: its number, and its name for an error.
#[derive(Clone, Copy)]
pub(super) struct Wanted(pub(super) u16, pub(super) &'static str);

/// All attributes in a space: their numbers without the flags, and their values.
pub(super) fn all(space: &[u8]) -> impl Iterator<Item = Result<(u16, &[u8]), Malformed>> {
    NlasIterator::new(space).map(|attribute| {
        // The iterator has checked the length against both the header and the space.
        let attribute = attribute.map_err(|_| Malformed::Attribute)?;
        let (kind, end) = (attribute.kind(), usize::from(attribute.length()));
        let value = attribute.into_inner().get(NLA_HEADER_SIZE..end).ok_or(Malformed::Attribute)?;
        Ok((kind, value))
    })
}

/// The value of the one attribute of this number. The whole space must be well-formed.
pub(super) fn find(space: &[u8], Wanted(number, name): Wanted) -> Result<Option<&[u8]>, Malformed> {
    let mut found = None;
    for attribute in all(space) {
        let (kind, value) = attribute?;
        if kind == number && found.replace(value).is_some() {
            return Err(Malformed::Twice(name));
        }
    }
    Ok(found)
}

/// As [`find`], of an attribute that must be there.
pub(super) fn require(space: &[u8], wanted: Wanted) -> Result<&[u8], Malformed> {
    find(space, wanted)?.ok_or(Malformed::Missing(wanted.1))
}

pub(super) fn require_u8(space: &[u8], wanted: Wanted) -> Result<u8, Malformed> {
    let value = require(space, wanted)?;
    parse_u8(value).map_err(|_| Malformed::Length { name: wanted.1, length: value.len() })
}

pub(super) fn require_u16(space: &[u8], wanted: Wanted) -> Result<u16, Malformed> {
    let value = require(space, wanted)?;
    parse_u16(value).map_err(|_| Malformed::Length { name: wanted.1, length: value.len() })
}

pub(super) fn require_u32(space: &[u8], wanted: Wanted) -> Result<u32, Malformed> {
    let value = require(space, wanted)?;
    parse_u32(value).map_err(|_| Malformed::Length { name: wanted.1, length: value.len() })
}

/// The bytes of a string, without the NUL that ends it and what is behind.
pub(super) fn text(value: &[u8]) -> &[u8] {
    value.split(|byte| *byte == 0).next().unwrap_or_default()
}
