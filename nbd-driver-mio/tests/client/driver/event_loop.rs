//! A poll with one connection in it.

use std::io::ErrorKind;
use std::time::Instant;

use mio::event::{Event, Source};
use mio::{Events, Interest, Poll, Token};
use nbd_driver_mio::nbd_proto::handshake::Flow;
use nbd_driver_mio::{Connecting, Error, Scratch, Turn};

pub(crate) struct Loop {
    pub(crate) poll: Poll,
    events: Events,
    pub(crate) scratch: Scratch,
}

impl Loop {
    pub(crate) fn new() -> Self {
        Self { poll: Poll::new().unwrap(), events: Events::with_capacity(8), scratch: Scratch::new() }
    }

    pub(crate) fn watch(&self, source: &mut impl Source) {
        self.poll.registry().register(source, Token(0), Interest::READABLE).unwrap();
    }

    /// Waits until there are events, or the deadline has passed: then a turn is due.
    pub(crate) fn wait(&mut self, deadline: Option<Instant>, ready: impl FnMut(&Event)) {
        loop {
            let patience = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            match self.poll.poll(&mut self.events, patience) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                result => result.unwrap(),
            }
            if !self.events.is_empty() || deadline.is_some_and(|at| at <= Instant::now()) {
                return self.events.iter().for_each(ready);
            }
        }
    }

    /// Takes a handshake to its end.
    pub(crate) fn negotiate<F: Flow>(&mut self, connecting: &mut Connecting<F>) -> Result<(), Error> {
        self.watch(connecting);
        loop {
            match connecting.turn(&mut self.scratch, Instant::now())? {
                Turn::Over => return Ok(()),
                Turn::Again => {}
                Turn::Wait => self.wait(connecting.deadline(), |event| connecting.ready(event)),
            }
        }
    }
}
