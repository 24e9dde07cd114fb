//! Any text as a URI.
//!
//! Invariants:
//!
//! - no input panics;
//! - what parses prints, and parses again to the same value, which prints the same;
//! - an error that tells a position points at what it complains of;
//! - an error's words are of one line, and show nothing of the text as it is that could move a cursor.
//!
//! The data: the text. Bytes that are no UTF-8 become U+FFFD.

use alloc::string::{String, ToString};

use crate::uri::{NbdUri, UriError};

/// See the top of the module.
pub fn uri(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match NbdUri::parse(&text) {
        Ok(uri) => {
            let printed = uri.to_string();
            let again = NbdUri::parse(&printed);
            assert_eq!(again.as_ref(), Ok(&uri), "{text:?} is printed as {printed:?}");
            assert!(again.is_ok_and(|again| again.to_string() == printed), "{printed:?} is printed another way");
            assert!(printed.is_ascii() && !printed.contains(char::is_control), "{printed:?} is no URI");
        }
        Err(error) => {
            let words = error.to_string();
            assert!(!words.is_empty() && !words.contains(char::is_control), "{words:?}");
            check_position(&text, &error);
        }
    }
}

fn check_position(text: &str, error: &UriError) {
    let (position, found) = match error {
        UriError::Fragment { position } => (*position, "#"),
        UriError::InvalidCharacter { found, position } => {
            let at = text.get(*position..).and_then(|rest| rest.chars().next());
            assert_eq!(at, Some(*found), "{text:?}: {error:?}");
            return;
        }
        UriError::InvalidPercentEncoding { position, found } => (*position, &found[..]),
        _ => return,
    };
    assert!(text.get(position..).is_some_and(|rest| rest.starts_with(found)), "{text:?}: {error:?}");
}
