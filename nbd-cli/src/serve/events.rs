//! What a server at work waits for: signals, its own end, and the end of a command.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Instant;

use anyhow::Context as _;
use nbd_driver_std::Error;
use nbd_driver_std::server::Summary;
use rustix::process::Signal;

use crate::signals;

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

impl Events {
    /// From here on a signal is an event.
    pub(super) fn with_signals() -> anyhow::Result<Self> {
        let (sender, receiver) = channel();
        // A write past the largest size that a file may have is one client's failure, and not the end of the server.
        signal_hook::flag::register(Signal::XFSZ.as_raw(), Arc::default()).context("catching a signal")?;
        let events = Self { sender, receiver };
        let sender = events.sender.clone();
        // Nobody is left to be told when the program ends.
        signals::watch(move |signal| match sender.send(Event::Signal(signal)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
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
