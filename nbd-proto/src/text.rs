//! Text that came from a peer, made safe to show; and text for a peer, made fit to send.

use alloc::string::String;
use core::fmt::{self, Write as _};

use bitflags::Flags;
use bitflags::parser::WriteHex;

use crate::limits::MAX_STRING;

/// Shows a string with everything escaped that could move a cursor or hide itself on a terminal: control
/// characters, bidirectional overrides, other invisible formatting. Printable text, quotes included, stays.
///
/// ```
/// use nbd_proto::text::Escaped;
/// assert_eq!(Escaped("déjà \"vu\"\x1b[2J").to_string(), "déjà \"vu\"\\u{1b}[2J");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '"' | '\'' => f.write_char(c)?,
                _ => write!(f, "{}", c.escape_debug())?,
            }
        }
        Ok(())
    }
}

/// Text for people, as a peer sent it; bytes that are no UTF-8 become U+FFFD.
pub(crate) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The names of the flags that are set, as in `FUA | REQ_ONE`.
pub(crate) fn flag_names<F: Flags<Bits: WriteHex>>(flags: &F) -> String {
    let mut names = String::new();
    // Only a writer that fails makes this fail.
    let _ = bitflags::parser::to_writer(flags, &mut names);
    names
}

/// The longest beginning of a text for people that the protocol can carry: at most [`MAX_STRING`] bytes, no piece of a
/// character at the end, and nothing from a NUL on (spec, *Conventions*).
pub(crate) fn cut(text: &str) -> &str {
    let text = text.split('\0').next().unwrap_or_default();
    let mut end = text.len().min(MAX_STRING);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::{Escaped, cut};
    use alloc::string::ToString;

    #[test]
    fn a_text_that_fits_is_not_cut() {
        let text = "a".repeat(4096);
        assert_eq!(cut(&text), text);
        assert_eq!(cut(""), "");
    }

    #[test]
    fn a_long_text_is_cut_between_two_characters() {
        assert_eq!(cut(&"a".repeat(4097)), "a".repeat(4096));
        let text = ["a", &"\u{20ac}".repeat(2000)].concat();
        assert_eq!(cut(&text), &text[..4096], "the next character would end at 4099");
    }

    #[test]
    fn a_text_is_cut_before_a_nul() {
        assert_eq!(cut("one\0two"), "one");
    }

    #[test]
    fn control_and_bidi_characters_are_escaped() {
        assert_eq!(Escaped("a\nb\r\u{202e}\u{7f}\0").to_string(), "a\\nb\\r\\u{202e}\\u{7f}\\0");
    }

    #[test]
    fn a_backslash_cannot_be_mistaken_for_an_escape() {
        assert_eq!(Escaped("\\n").to_string(), "\\\\n");
    }
}
