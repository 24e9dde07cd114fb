//! The list for people.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use indicatif::HumanDuration;
use nbd_kernel::Status;
use nbd_proto::text::Escaped;

use super::Shown;
use super::json::interface;
use crate::report::one_line;
use crate::size;

const HEAD: [&str; 8] = ["DEVICE", "SIZE", "RO", "CONNECTIONS", "INTERFACE", "SINCE", "BY", "URI"];

/// Stands for what is not known.
const UNKNOWN: &str = "-";

/// One line for each device; nothing if there is none.
pub(super) fn table(devices: &[Shown], out: &mut impl Write) -> io::Result<()> {
    if devices.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = [HEAD.map(str::to_owned)].into_iter().chain(devices.iter().map(row)).collect();
    let widths: [usize; 8] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            // Writing to a string does not fail.
            let _ = write!(line, "{cell:width$}  ");
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn row(shown: &Shown) -> [String; 8] {
    let unknown = || UNKNOWN.to_owned();
    match shown {
        Shown::Attached(status) => [
            status.device.to_string(),
            size::human(status.size),
            if status.read_only { "yes" } else { "no" }.to_owned(),
            status.connections.to_string(),
            interface(status.interface).to_owned(),
            age(status).map_or_else(unknown, |age| format!("{age:#} ago")),
            by(status),
            target(status).unwrap_or_else(unknown),
        ],
        Shown::Idle(device, held) => {
            let state = if *held { "held open" } else { "free" };
            [device.to_string(), unknown(), unknown(), unknown(), state.to_owned(), unknown(), unknown(), unknown()]
        }
    }
}

/// All that is known of one.
pub(super) fn one(status: &Status, out: &mut impl Write) -> io::Result<()> {
    let queue = &status.queue;
    let yes = |set: bool| if set { "yes" } else { "no" }.to_owned();
    let since = status.since.and_then(|since| Some(since.duration_since(UNIX_EPOCH).ok()?.as_secs()));
    let since = age(status).zip(since).map(|(age, since)| format!("{age} ago (@{since})"));
    let lines = [
        ("device", Some(status.device.to_string())),
        ("uri", status.origin.as_deref().map(one_line)),
        ("backend", status.backend.as_deref().map(|text| Escaped(text).to_string())),
        ("interface", Some(interface(status.interface).to_owned())),
        ("since", since),
        ("by", Some(by(status))),
        ("size", Some(bytes(status.size))),
        ("read_only", Some(yes(status.read_only))),
        ("connections", Some(status.connections.to_string())),
        ("logical_block_size", Some(queue.logical_block_size.to_string())),
        ("physical_block_size", Some(queue.physical_block_size.to_string())),
        ("max_request", Some(bytes(queue.max_request))),
        ("discard_max", Some(bytes(queue.discard_max))),
        ("write_zeroes_max", Some(bytes(queue.write_zeroes_max))),
        ("write_back", Some(yes(queue.write_back))),
        ("fua", Some(yes(queue.fua))),
        ("rotational", Some(yes(queue.rotational))),
    ];
    lines.iter().try_for_each(|(name, value)| writeln!(out, "{name}: {}", value.as_deref().unwrap_or(UNKNOWN)))
}

fn bytes(bytes: u64) -> String {
    let (exact, human) = (bytes.to_string(), size::human(bytes));
    if exact == human { exact } else { format!("{exact} ({human})") }
}

fn age(status: &Status) -> Option<HumanDuration> {
    SystemTime::now().duration_since(status.since?).ok().map(HumanDuration)
}

/// The note of whoever attached it, or else what the kernel was told.
fn target(status: &Status) -> Option<String> {
    status.origin.as_deref().map(one_line).or_else(|| status.backend.as_deref().map(|text| Escaped(text).to_string()))
}

fn by(status: &Status) -> String {
    match &status.process {
        Some(name) => format!("{name} ({})", status.pid),
        // It has ended, as whoever attached by netlink may.
        None => format!("({})", status.pid),
    }
}
