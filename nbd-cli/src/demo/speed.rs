//! How fast bytes go over the socket.

use std::fs::File;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use nbd_driver_std::Client;

use super::pattern::Pattern;
use super::say;

/// Bytes in a request.
const BLOCK: u64 = 256 << 10;

/// Requests in flight.
const DEPTH: usize = 16;

/// How much is moved each way, in bytes, if that does not take too long.
const TOTAL: u64 = 1 << 30;

/// The part of the disk that is used, in bytes: more would only take more memory.
const REGION: u64 = 256 << 20;

/// How long each way may take. A slow machine moves less.
const LIMIT: Duration = Duration::from_millis(1200);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Write,
    Read,
}

pub(super) fn show(client: &Client, pattern: &Pattern, out: &mut File) -> anyhow::Result<()> {
    let blocks = client.size().min(REGION) / BLOCK;
    let written = go(client, pattern, Way::Write, blocks, out)?;
    // Only what was written can be compared.
    go(client, pattern, Way::Read, blocks.min(written), out)?;
    say(out, "   Each byte that was read was compared. These are numbers of this machine, now.\n")
}

/// Moves blocks, again and again over the first `region` ones of the disk. Returns how many it were.
fn go(client: &Client, pattern: &Pattern, way: Way, region: u64, out: &mut File) -> anyhow::Result<u64> {
    let blocks = TOTAL / BLOCK;
    let verb = if way == Way::Write { "written" } else { "read" };
    let bar = bar(TOTAL, verb);
    let mut free: Vec<_> = (0..DEPTH).map(|_| vec![0; BLOCK as usize]).collect();
    let mut queue = client.queue();
    let (mut begun, mut done) = (0, 0);
    let started = Instant::now();
    loop {
        // One it has to be.
        while begun < blocks && (begun == 0 || started.elapsed() < LIMIT) {
            let Some(mut buffer) = free.pop() else { break };
            let offset = begun % region * BLOCK;
            let submitted = if way == Way::Write {
                pattern.fill(&mut buffer, offset);
                queue.write(buffer, offset)
            } else {
                queue.read(buffer, offset)
            };
            submitted.map_err(|rejected| rejected.error)?;
            begun += 1;
        }
        let Some(completion) = queue.wait() else { break };
        completion.result.context(verb)?;
        if way == Way::Read {
            pattern.check(&completion.buffer, completion.command.offset)?;
        }
        free.push(completion.buffer);
        done += 1;
        bar.set_position(done * BLOCK);
    }
    let took = started.elapsed();
    bar.finish_and_clear();
    say(out, &format!("   {verb:8} {}", rate(done * BLOCK, took)))?;
    Ok(done)
}

#[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
fn rate(bytes: u64, took: Duration) -> String {
    let mebibytes = bytes as f64 / f64::from(1 << 20);
    let seconds = took.as_secs_f64().max(0.001);
    format!("{mebibytes:6.0} MiB in {seconds:.2} s: {:6.0} MiB/s", mebibytes / seconds)
}

fn bar(total: u64, verb: &'static str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(total).with_message(verb);
    let template = "   {msg:8} {percent:>3}% [{wide_bar}] {binary_bytes_per_sec}";
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style.progress_chars("*>-")),
        Err(_) => bar,
    }
}
