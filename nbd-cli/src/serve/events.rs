//! What a server at work waits for: signals, its own end, and the end of a command.

use std::fs;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Instant;

use anyhow::Context as _;
use nbd_driver_std::Error;
use nbd_driver_std::server::Summary;
use rustix::process::Signal;
use signal_hook::iterator::Signals;

#[derive(Debug)]
pub(super) enum Event {
    /// Somebody wants the server to end.
    Signal(Signal),
    /// The server has ended.
    Stopped(Result<Summary, Error>),
    /// The command has ended, and can be waited for.
    CommandEnded,
}

pub(super) struct Events {
    sender: Sender<Event>,
    receiver: Receiver<Event>,
}

/// What ends the server.
const SIGNALS: [Signal; 3] = [Signal::TERM, Signal::INT, Signal::HUP];

impl Events {
    /// From here on a signal is an event. What `nohup` has had ignored stays ignored.
    pub(super) fn with_signals() -> anyhow::Result<Self> {
        let (sender, receiver) = channel();
        // A write past the largest size that a file may have is one client's failure, and not the end of the server.
        signal_hook::flag::register(Signal::XFSZ.as_raw(), Arc::default()).context("catching a signal")?;
        let wanted = SIGNALS.into_iter().filter(|signal| *signal != Signal::HUP || !is_ignored(*signal));
        let mut signals = Signals::new(wanted.map(Signal::as_raw)).context("waiting for signals")?;
        let events = Self { sender, receiver };
        events.source("nbd-signals", move |sender| {
            let signals = signals.forever().filter_map(Signal::from_named_raw);
            // Nobody is left to be told when the program ends.
            let _ = signals.map(Event::Signal).try_for_each(|event| sender.send(event));
        })?;
        Ok(events)
    }

    /// A thread that waits for something.
    pub(super) fn source(&self, name: &str, wait: impl FnOnce(Sender<Event>) + Send + 'static) -> anyhow::Result<()> {
        let sender = self.sender.clone();
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || wait(sender));
        thread.context("starting a thread")?;
        Ok(())
    }

    /// The next event; `None` if none comes in time.
    pub(super) fn next(&self, deadline: Option<Instant>) -> Option<Event> {
        let Some(deadline) = deadline else { return self.receiver.recv().ok() };
        self.receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()
    }
}

/// Whether whoever started the program has had it ignore a signal.
fn is_ignored(signal: Signal) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (signal.as_raw() - 1)) != 0)
}
