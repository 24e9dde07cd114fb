//! Writes, reads, zeroes and trims, and looks whether that is what is on the disk.

use std::fs::File;

use anyhow::{Context as _, ensure};
use nbd_driver_std::Client;

use super::pattern::Pattern;
use super::picture::Recorder;
use super::say;

/// Where things are on the disk, by its size.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    /// At an odd place, of an odd length.
    pub(super) odd: Place,
    /// Long, at an even place.
    pub(super) long: Place,
    /// In the long one, overwritten with zeroes.
    pub(super) zeroed: Place,
    /// The last quarter of the long one, trimmed.
    pub(super) trimmed: Place,
    /// Up to the last byte.
    pub(super) last: Place,
}

#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) offset: u64,
    pub(super) length: u64,
}

impl Layout {
    pub(super) fn of(size: u64) -> Self {
        // Memory is given back by 64 KiB.
        let part = size / 64 / 65_536 * 65_536;
        let long = Place { offset: 16 * part, length: (12 * part).min(32 << 20) };
        let quarter = long.length / 4;
        Self {
            odd: Place { offset: 3 * part + 13, length: 70_001 },
            long,
            zeroed: Place { offset: long.offset + quarter + 5, length: quarter + quarter / 2 },
            trimmed: Place { offset: long.offset + 3 * quarter, length: quarter },
            last: Place { offset: size - 1001, length: 1001 },
        }
    }
}

pub(super) fn show(client: &Client, recorder: &Recorder, pattern: &Pattern, out: &mut File) -> anyhow::Result<()> {
    let Layout { odd, long, zeroed, trimmed, last } = Layout::of(client.size());
    write(client, pattern, long)?;
    write(client, pattern, last)?;
    recorder.clear();

    write(client, pattern, odd)?;
    let read = read(client, odd)?;
    client.write_zeroes(zeroed.offset, zeroed.length).context("writing zeroes")?;
    client.trim(trimmed.offset, trimmed.length).context("trimming")?;
    client.flush().context("flushing")?;
    say(out, &recorder.picture())?;

    pattern.check(&read, odd.offset)?;
    check(client, pattern, last)?;
    check(client, pattern, Place { offset: long.offset, length: zeroed.offset - long.offset })?;
    let behind = zeroed.offset + zeroed.length;
    check(client, pattern, Place { offset: behind, length: trimmed.offset - behind })?;
    check_zeroes(client, zeroed)?;
    check_zeroes(client, Place { offset: odd.offset + odd.length, length: 4096 })?;
    recorder.clear();
    let bytes = odd.length + long.length + last.length;
    let text = format!(
        "   {bytes} bytes were written at three places, and part of that was overwritten\n   with zeroes. All but what was trimmed, which may read as anything, was read\n   back: each byte is right.\n"
    );
    say(out, &text)
}

fn write(client: &Client, pattern: &Pattern, place: Place) -> anyhow::Result<()> {
    let mut data = vec![0; usize::try_from(place.length)?];
    pattern.fill(&mut data, place.offset);
    client.write_at(&data, place.offset).context("writing")
}

fn read(client: &Client, place: Place) -> anyhow::Result<Vec<u8>> {
    // What is not filled in shows: neither the pattern nor a hole looks like this.
    let mut data = vec![0xee; usize::try_from(place.length)?];
    client.read_at(&mut data, place.offset).context("reading")?;
    Ok(data)
}

fn check(client: &Client, pattern: &Pattern, place: Place) -> anyhow::Result<()> {
    pattern.check(&read(client, place)?, place.offset)
}

fn check_zeroes(client: &Client, place: Place) -> anyhow::Result<()> {
    let wrong = read(client, place)?.iter().position(|byte| *byte != 0);
    ensure!(wrong.is_none(), "the byte at {} is not zero", place.offset + wrong.unwrap_or_default() as u64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Layout, Place};

    #[test]
    fn places_are_apart_on_any_disk() {
        for size in [4 << 20, (4 << 20) + 1, 100_000_007, 256 << 20, 1 << 40, i64::MAX.unsigned_abs()] {
            let Layout { odd, long, zeroed, trimmed, last } = Layout::of(size);
            let end = |place: Place| place.offset + place.length;
            assert!(end(odd) + 4096 <= long.offset, "{size}");
            assert!(long.offset < zeroed.offset && end(zeroed) < trimmed.offset, "{size}");
            assert!(end(trimmed) == end(long) && end(long) <= last.offset, "{size}");
            assert_eq!(end(last), size);
            // Even the smallest leaves a hole that the map can show.
            assert!(zeroed.length >= 2 * 65_536 && trimmed.length >= 65_536, "{size}");
        }
    }
}
