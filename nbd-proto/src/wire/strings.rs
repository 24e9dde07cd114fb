//! Strings of the protocol: UTF-8, no NUL, at most 4096 bytes (spec, *Conventions*).

use crate::error::{Field, InvalidMessage};
use crate::limits::MAX_STRING;

/// A string that is used as a name, and so has to be exactly right.
pub(super) fn name(field: Field, bytes: &[u8]) -> Result<&str, InvalidMessage> {
    let bytes = human(field, bytes)?;
    let text = core::str::from_utf8(bytes).map_err(|_| InvalidMessage::NotUtf8 { field })?;
    if text.contains('\0') {
        return Err(InvalidMessage::HasNul { field });
    }
    Ok(text)
}

/// A string that is only shown to people: its length is checked, its encoding is not.
pub(super) fn human(field: Field, bytes: &[u8]) -> Result<&[u8], InvalidMessage> {
    if bytes.len() > MAX_STRING {
        return Err(InvalidMessage::StringTooLong { field, length: bytes.len() as u64 });
    }
    Ok(bytes)
}

/// Takes `length` bytes off the front of a payload, where `length` is a number from inside that payload.
pub(super) fn inner<'a>(field: Field, payload: &mut &'a [u8], length: u64) -> Result<&'a [u8], InvalidMessage> {
    let split = usize::try_from(length).ok().and_then(|n| payload.split_at_checked(n));
    let Some((head, rest)) = split else {
        return Err(InvalidMessage::InnerLength { field, length, room: payload.len() as u64 });
    };
    *payload = rest;
    Ok(head)
}
