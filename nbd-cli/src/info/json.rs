//! The report for programs.

use std::io::{self, Write};

use nbd_proto::handshake::ReplyStyle;
use serde_json::{Map, Value, json};

use super::facts::{Details, Export, FLAGS, Report};
use crate::json::printable;
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
