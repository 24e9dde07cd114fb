//! The report for programs.

use std::fmt::Write as _;
use std::io::{self, Write};

use nbd_proto::handshake::ReplyStyle;
use serde_json::{Map, Value, json};

use super::facts::{Details, Export, FLAGS, Report};
use crate::size;

pub(crate) fn report(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let value = json!({
        "protocol": report.protocol(),
        "TLS": report.tls,
        "structured": report.replies != ReplyStyle::Simple,
        "extended": report.replies == ReplyStyle::Extended,
        "exports": report.exports.iter().map(export).collect::<Vec<_>>(),
    });
    let text = serde_json::to_string_pretty(&value)?;
    writeln!(out, "{}", printable(&text))
}

/// In the order of `nbdinfo --json`.
fn export(export: &Export) -> Value {
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
    put("export-name", json!(export.name));
    if let Some(description) = &export.description {
        put("description", json!(description));
    }
    put("uri", json!(export.uri));
    if let Some(contexts) = &export.contexts {
        put("contexts", json!(contexts));
    }
    match &export.details {
        Details::Known(info) => {
            for (name, flag) in FLAGS {
                put(name, json!(info.flags.contains(flag)));
            }
            if let Some(sizes) = info.block_sizes {
                put("block_size_minimum", json!(sizes.minimum));
                put("block_size_preferred", json!(sizes.preferred));
                put("block_size_maximum", json!(sizes.maximum));
            }
            put("export-size", json!(info.size));
            put("export-size-str", json!(size::human(info.size)));
        }
        Details::Refused(refusal) => put("error", json!(refusal.to_string())),
        Details::Unknown => {}
    }
    Value::Object(fields)
}

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
