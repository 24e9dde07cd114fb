//! JSON on a terminal.

use std::fmt::Write as _;

/// Escapes, as JSON does, what could play tricks on a terminal. `serde_json` leaves all of that in place but the
/// first 32 control characters. Outside of strings no such character stands but the line feeds.
pub(crate) fn printable(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        let hidden = c != '\n' && c.escape_debug().nth(1) == Some('u');
        if hidden {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string does not fail.
                let _ = write!(shown, "\\u{unit:04x}");
            }
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn what_is_hidden_is_escaped_and_means_the_same() {
        let text = "a\u{1b}\u{7f}\u{9b}\u{202e}\u{e0001}\n\"\\é";
        let shown = printable(&serde_json::to_string(text).unwrap());
        assert!(shown.is_ascii() || shown.chars().all(|c| c.is_ascii() || c == 'é'));
        assert!(!shown.chars().any(char::is_control));
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
    }
}
