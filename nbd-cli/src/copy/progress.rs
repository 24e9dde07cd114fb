//! How far the copy is.

use std::fs::File;
use std::io::{IsTerminal as _, Write as _};
use std::str::FromStr;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};

/// How the user wants it shown.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wanted {
    Bar,
    /// For programs, on this file descriptor.
    Lines(u32),
}

impl FromStr for Wanted {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "bar" => Ok(Self::Bar),
            fd => fd.parse().map(Self::Lines).map_err(|_| "expected the number of a file descriptor"),
        }
    }
}

pub(crate) struct Meter {
    total: Option<u64>,
    display: Display,
}

enum Display {
    None,
    Bar(ProgressBar),
    Lines { out: File, last: Option<u64> },
}

impl Meter {
    /// `wanted`: what was asked for.
    pub(crate) fn new(wanted: Option<Wanted>, quiet: bool, total: Option<u64>) -> anyhow::Result<Self> {
        let terminal = std::io::stderr().is_terminal();
        let display = match wanted {
            Some(Wanted::Lines(fd)) => lines(fd)?,
            Some(Wanted::Bar) if !terminal => lines(2)?,
            Some(Wanted::Bar) => bar(total),
            None if terminal && !quiet => bar(total),
            None => Display::None,
        };
        Ok(Self { total, display })
    }

    pub(crate) fn show(&mut self, done: u64) {
        match &mut self.display {
            Display::None => {}
            Display::Bar(bar) => bar.set_position(done),
            Display::Lines { out, last } => {
                // Of a stream's length nothing is known before its end.
                let percent = match self.total {
                    Some(0) | None => 0,
                    Some(total) => (u128::from(done) * 100 / u128::from(total)) as u64,
                };
                if *last != Some(percent) {
                    *last = Some(percent);
                    write_line(out, percent);
                }
            }
        }
    }

    /// Everything is copied.
    pub(crate) fn finish(mut self) {
        match &mut self.display {
            Display::None => {}
            Display::Bar(bar) => {
                bar.finish();
                end_line();
            }
            Display::Lines { out, last } => {
                if *last != Some(100) {
                    write_line(out, 100);
                }
            }
        }
    }

    /// Before an error is printed.
    pub(crate) fn abandon(self) {
        if let Display::Bar(bar) = self.display {
            bar.abandon();
            end_line();
        }
    }
}

/// The bar stays, and what comes next stands below it.
fn end_line() {
    let _ = writeln!(std::io::stderr());
}

/// A reader of the progress that goes away is no reason to stop copying.
fn write_line(out: &mut File, percent: u64) {
    let _ = out.write_all(format!("{percent}/100\n").as_bytes());
}

fn lines(fd: u32) -> anyhow::Result<Display> {
    let path = format!("/dev/fd/{fd}");
    let out = File::options().append(true).open(&path).with_context(|| format!("--progress={fd}: opening {path}"))?;
    Ok(Display::Lines { out, last: None })
}

fn bar(total: Option<u64>) -> Display {
    let (bar, template) = match total {
        Some(total) => (
            ProgressBar::new(total),
            "{percent:>3}% [{wide_bar}] {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} ETA {eta}",
        ),
        None => (ProgressBar::no_length(), "{spinner} {binary_bytes} {binary_bytes_per_sec}"),
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("*>-"));
    }
    Display::Bar(bar)
}
