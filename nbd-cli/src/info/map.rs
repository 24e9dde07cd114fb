//! `--map`: what a metadata context says of the whole export.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use nbd_driver_std::Client;
use nbd_proto::transmission::Extent;
use nbd_proto::uri::NbdUri;
use serde_json::{Map, Value, json};

use super::paint::{Paint, Tone};
use crate::json::printable;
use crate::output;

/// The most kinds of extents that are summed up.
const MAX_KINDS: usize = 65_536;

/// How the map is shown, and how long it may take.
pub(crate) struct Format {
    /// Each reply has its own bound; this one is for a server that answers at once, but never gets far.
    pub(crate) timeout: Option<Duration>,
    pub(crate) json: bool,
    pub(crate) totals: bool,
    pub(crate) paint: Paint,
}

pub(crate) fn show(
    client: &Client,
    context: &str,
    uri: &NbdUri,
    format: &Format,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let size = client.size();
    let extents = client
        .block_status(context, 0..size)
        .with_context(|| format!("{uri}: the server does not support that map"))?
        .map(|extent| extent.with_context(|| format!("{uri}: asking for the map")));
    let started = Instant::now();
    let extents = extents.map(|extent| match format.timeout {
        Some(timeout) if started.elapsed() > timeout => Err(anyhow!(
            "{uri}: the map did not end within {} s; --timeout sets how long to wait",
            timeout.as_secs_f64()
        )),
        _ => extent,
    });
    let mut output = Output::new(format, out)?;
    if format.totals {
        let mut sums = BTreeMap::new();
        for extent in extents {
            let Extent { length, flags, .. } = extent?;
            *sums.entry(flags).or_insert(0) += length;
            if sums.len() > MAX_KINDS {
                bail!("{uri}: the map has more than {MAX_KINDS} kinds of extents, which cannot be summed up");
            }
        }
        sums.into_iter().try_for_each(|(flags, sum)| output.total(context, flags, sum, size))?;
    } else {
        let mut last: Option<Extent> = None;
        for extent in extents {
            let extent = extent?;
            match &mut last {
                // Servers cut long extents as they like; they are shown whole.
                Some(last) if last.flags == extent.flags => last.length += extent.length,
                last => {
                    if let Some(whole) = last.replace(extent) {
                        output.extent(context, &whole)?;
                    }
                }
            }
        }
        last.map_or(Ok(()), |whole| output.extent(context, &whole))?;
    }
    output.end()
}

/// What is printed, one by one.
struct Output<'a, W> {
    format: &'a Format,
    out: &'a mut W,
    count: u64,
}

impl<'a, W: Write> Output<'a, W> {
    fn new(format: &'a Format, out: &'a mut W) -> anyhow::Result<Self> {
        if format.json {
            output::told(write!(out, "["))?;
        }
        Ok(Self { format, out, count: 0 })
    }

    fn extent(&mut self, context: &str, extent: &Extent) -> anyhow::Result<()> {
        let Extent { offset, length, flags } = *extent;
        let kind = describe(context, flags);
        if self.format.json {
            return self.object(&[("offset", json!(offset)), ("length", json!(length))], flags, kind);
        }
        let (on, off) = self.tone(flags);
        let line = format!("{offset:10}  {length:10}  {flags:3}  {}", kind.unwrap_or_default());
        output::told(writeln!(self.out, "{on}{}{off}", line.trim_end()))
    }

    fn total(&mut self, context: &str, flags: u64, sum: u64, size: u64) -> anyhow::Result<()> {
        let kind = describe(context, flags);
        let percent = percent(sum, size);
        if self.format.json {
            return self.object(&[("size", json!(sum)), ("percent", short(percent))], flags, kind);
        }
        let (on, off) = self.tone(flags);
        let line = format!("{sum:10} {percent:5.1}% {flags:3} {}", kind.unwrap_or_default());
        output::told(writeln!(self.out, "{on}{}{off}", line.trim_end()))
    }

    fn tone(&self, flags: u64) -> (&'static str, &'static str) {
        self.format.paint.around(if flags == 0 { Tone::Name } else { Tone::Plain })
    }

    fn object(&mut self, numbers: &[(&str, Value)], flags: u64, kind: Option<String>) -> anyhow::Result<()> {
        let mut fields: Map<String, Value> =
            numbers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        fields.insert("type".to_owned(), json!(flags));
        if let Some(kind) = kind {
            fields.insert("description".to_owned(), json!(kind));
        }
        let separator = if self.count == 0 { "\n" } else { ",\n" };
        self.count += 1;
        output::told(write!(self.out, "{separator}{}", printable(&Value::Object(fields).to_string())))
    }

    fn end(self) -> anyhow::Result<()> {
        if self.format.json {
            output::told(writeln!(self.out, "{}]", if self.count == 0 { "" } else { "\n" }))?;
        }
        Ok(())
    }
}

#[allow(clippy::cast_precision_loss, reason = "six digits are shown")]
fn percent(part: u64, whole: u64) -> f64 {
    100.0 * (part as f64) / (whole as f64)
}

/// Six significant digits, and an integer where it is one.
fn short(percent: f64) -> Value {
    let rounded: f64 = format!("{percent:.5e}").parse().unwrap_or_default();
    rounded.to_string().parse::<u64>().map_or_else(|_| json!(rounded), |whole| json!(whole))
}

/// What is known of a context's flags.
fn describe(context: &str, flags: u64) -> Option<String> {
    let known = match (context, flags) {
        ("base:allocation", 0) => "data",
        ("base:allocation", 1) => "hole",
        ("base:allocation", 2) => "zero",
        ("base:allocation", 3) => "hole,zero",
        ("qemu:allocation-depth", 0) => "absent",
        ("qemu:allocation-depth", 1) => "local",
        ("qemu:allocation-depth", depth) => return Some(format!("backing depth {depth}")),
        (bitmap, 0) if bitmap.starts_with("qemu:dirty-bitmap:") => "clean",
        (bitmap, 1) if bitmap.starts_with("qemu:dirty-bitmap:") => "dirty",
        _ => return None,
    };
    Some(known.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{percent, short};

    #[test]
    fn percentages_have_six_digits() {
        for (part, whole, shown) in [
            (1, 2, "50"),
            (1, 1, "100"),
            (1, 6, "16.6667"),
            (13, 2560, "0.507812"),
            (0, 5, "0"),
            (1, 3_000_000, "0.0000333333"),
        ] {
            assert_eq!(short(percent(part, whole)).to_string(), shown);
        }
    }
}
