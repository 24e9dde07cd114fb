//! Percent-encoding (RFC 3986, section 2), in both directions.

use alloc::{string::String, vec::Vec};
use core::fmt::{self, Write as _};

use super::error::{UriError, UriPart};

/// A part of the URI that remembers where it stood.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
}

impl<'a> Piece<'a> {
    pub(super) fn split_once(self, separator: char) -> Option<(Self, Self)> {
        self.halves(self.text.split_once(separator)?)
    }

    pub(super) fn rsplit_once(self, separator: char) -> Option<(Self, Self)> {
        self.halves(self.text.rsplit_once(separator)?)
    }

    /// Both halves of a split: the second one runs to the end of this piece.
    fn halves(self, (first, second): (&'a str, &'a str)) -> Option<(Self, Self)> {
        let skipped = self.text.len().checked_sub(second.len())?;
        Some((Self { text: first, at: self.at }, Self { text: second, at: self.at.checked_add(skipped)? }))
    }

    /// The bytes that this piece stands for. A `+` is a `+`.
    pub(super) fn decode(self) -> Result<Vec<u8>, UriError> {
        let mut decoded = Vec::with_capacity(self.text.len());
        let mut rest = self.text.char_indices();
        while let Some((offset, c)) = rest.next() {
            let position = self.at + offset;
            if c == '%' {
                let behind = rest.as_str();
                let pair = behind.as_bytes().first_chunk();
                let Some(byte) = pair.and_then(|&[high, low]| Some(hex(high)? << 4 | hex(low)?)) else {
                    let found = core::iter::once('%').chain(behind.chars().take(2)).collect();
                    return Err(UriError::InvalidPercentEncoding { position, found });
                };
                decoded.push(byte);
                // Both were hexadecimal digits, so this takes just those two bytes.
                rest.nth(1);
            } else if u8::try_from(c).is_ok_and(may_stand_in_uri) {
                decoded.push(c as u8);
            } else {
                return Err(UriError::InvalidCharacter { found: c, position });
            }
        }
        Ok(decoded)
    }

    /// As [`decode`](Self::decode), for what must be UTF-8.
    pub(super) fn decode_text(self, part: UriPart) -> Result<String, UriError> {
        String::from_utf8(self.decode()?).map_err(|_| UriError::NotUtf8 { part })
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// RFC 3986, section 2.3: the same thing encoded or not, everywhere.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// RFC 3986, sections 3.3 and 3.4: what may stand for itself in a path or a query: `pchar`, `/`
/// and `?`. What delimits another part was split off before.
fn may_stand_in_uri(byte: u8) -> bool {
    is_unreserved(byte) || b"!$&'()*+,;=:@/?".contains(&byte)
}

/// What [`Escaped`] leaves as it is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Keep {
    Unreserved,
    /// Also `/`, `:`, `@` and `,`. The other legal ones are encoded on purpose: shells and other
    /// parsers (`;` as a separator, `+` as a space) give them a meaning of their own.
    PathLike,
}

/// Bytes that print percent-encoded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Escaped<'a>(pub(super) &'a [u8], pub(super) Keep);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for &byte in self.0 {
            let keep = match self.1 {
                Keep::Unreserved => is_unreserved(byte),
                Keep::PathLike => is_unreserved(byte) || b"/:@,".contains(&byte),
            };
            if keep {
                f.write_char(char::from(byte))?;
            } else {
                write!(f, "%{byte:02X}")?;
            }
        }
        Ok(())
    }
}
