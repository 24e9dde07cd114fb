//! The report for people.

use std::io::{self, Write};

use nbd_proto::handshake::ReplyStyle;
use nbd_proto::text::Escaped;

use super::facts::{Details, Export, FLAGS, Report};
use super::paint::{Paint, Tone};
use crate::size;

pub(crate) fn report(report: &Report, paint: Paint, out: &mut impl Write) -> io::Result<()> {
    let tls = if report.tls { "with TLS" } else { "without TLS" };
    let packets = match report.replies {
        ReplyStyle::Simple => "simple",
        ReplyStyle::Structured => "structured",
        ReplyStyle::Extended => "extended",
    };
    writeln!(out, "protocol: {} {tls}, using {packets} packets", report.protocol())?;
    report.exports.iter().try_for_each(|shown| export(shown, paint, out))
}

fn export(export: &Export, paint: Paint, out: &mut impl Write) -> io::Result<()> {
    let (bold, plain) = paint.around(Tone::Name);
    // The name stands in quotes, so those in it are escaped too.
    let name = Escaped(&export.name).to_string().replace('"', "\\\"");
    writeln!(out, "{bold}export=\"{name}\":{plain}")?;
    if let Some(description) = &export.description {
        writeln!(out, "\tdescription: {}", Escaped(description))?;
    }
    if let Details::Known(info) = &export.details {
        let human = size::human(info.size);
        let exact = info.size.to_string();
        let human = if human == exact { String::new() } else { format!(" ({human})") };
        writeln!(out, "\texport-size: {exact}{human}")?;
    }
    writeln!(out, "\turi: {}", export.uri)?;
    if let Some(contexts) = &export.contexts {
        writeln!(out, "\tcontexts:")?;
        for context in contexts {
            writeln!(out, "\t\t{}", Escaped(context))?;
        }
    }
    let info = match &export.details {
        Details::Known(info) => info,
        Details::Refused(refusal) => return writeln!(out, "\terror: {refusal}"),
        Details::Unknown => return Ok(()),
    };
    for (name, flag) in FLAGS {
        let set = info.flags.contains(flag);
        let (on, off) = paint.around(if set && name.starts_with("can") { Tone::Yes } else { Tone::Plain });
        writeln!(out, "\t{on}{name}: {set}{off}")?;
    }
    if let Some(sizes) = info.block_sizes {
        writeln!(out, "\tblock_size_minimum: {}", sizes.minimum)?;
        writeln!(out, "\tblock_size_preferred: {}", sizes.preferred)?;
        writeln!(out, "\tblock_size_maximum: {}", sizes.maximum)?;
    }
    Ok(())
}
