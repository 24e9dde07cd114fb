//! Signals that want the program to end, for whoever has something to clean up first.

use std::fs;
use std::ops::ControlFlow;
use std::thread;

use anyhow::Context as _;
use rustix::process::Signal;
use signal_hook::iterator::Signals;

/// What ends the program.
const SIGNALS: [Signal; 3] = [Signal::TERM, Signal::INT, Signal::HUP];

/// From here on each of them goes to `take`, in a thread of its own, until that has had enough. What `nohup` has had
/// ignored stays ignored.
pub(crate) fn watch(mut take: impl FnMut(Signal) -> ControlFlow<()> + Send + 'static) -> anyhow::Result<()> {
    let wanted = SIGNALS.into_iter().filter(|signal| *signal != Signal::HUP || !is_ignored(*signal));
    let mut signals = Signals::new(wanted.map(Signal::as_raw)).context("waiting for signals")?;
    let wait = move || {
        let _ = signals.forever().filter_map(Signal::from_named_raw).try_for_each(&mut take);
    };
    thread::Builder::new().name("nbd-signals".to_owned()).spawn(wait).context("starting a thread")?;
    Ok(())
}

/// The exit code of a program that a signal has ended, as a shell tells it.
pub(crate) fn exit_code(signal: Signal) -> u8 {
    128 + u8::try_from(signal.as_raw()).unwrap_or_default()
}

/// Whether whoever started the program has had it ignore a signal.
fn is_ignored(signal: Signal) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (signal.as_raw() - 1)) != 0)
}
