//! A wire with nobody behind it.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};

use super::octets::{CONTROLLER, NEWFAMILY, PORT, answer, ended, family};
use crate::netlink::{ClientFlags, Connect, Session, Wire};

/// Keeps what is sent, and receives what it was given; where that is `None`, and at its end, nothing comes in time.
pub(super) struct Script {
    datagrams: VecDeque<Option<Vec<u8>>>,
    sent: Sent,
}

/// What was sent, first to last.
pub(super) type Sent = Arc<Mutex<Vec<Vec<u8>>>>;

impl Script {
    pub(super) fn wire(datagrams: impl IntoIterator<Item = Vec<u8>>) -> (Box<dyn Wire>, Sent) {
        Self::with_gaps(datagrams.into_iter().map(Some))
    }

    fn with_gaps(datagrams: impl Iterator<Item = Option<Vec<u8>>>) -> (Box<dyn Wire>, Sent) {
        let sent = Sent::default();
        (Box::new(Self { datagrams: datagrams.collect(), sent: sent.clone() }), sent)
    }
}

impl Wire for Script {
    fn port(&self) -> u32 {
        PORT
    }

    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.sent.lock().unwrap().push(message.into());
        Ok(())
    }

    fn receive(&mut self, into: &mut Vec<u8>) -> io::Result<()> {
        *into = self.datagrams.pop_front().flatten().ok_or(io::ErrorKind::TimedOut)?;
        Ok(())
    }
}

/// A session that has found the driver; the datagrams come in answer to its requests.
pub(super) fn session(datagrams: impl IntoIterator<Item = Vec<u8>>) -> (Session, Sent) {
    session_with_gaps(datagrams.into_iter().map(Some))
}

/// As [`session`], with times when nothing comes.
pub(super) fn session_with_gaps(datagrams: impl IntoIterator<Item = Option<Vec<u8>>>) -> (Session, Sent) {
    let found = [answer(CONTROLLER, 1, NEWFAMILY, &family()), ended(1, 0)];
    let (wire, sent) = Script::with_gaps(found.into_iter().map(Some).chain(datagrams));
    (Session::open(wire).unwrap(), sent)
}

/// A device without anything that can be left out.
pub(super) const PLAIN: Connect<'static> = Connect {
    index: None,
    size: 1 << 20,
    block_size: 4096,
    timeout: None,
    dead_timeout: None,
    server_flags: 1,
    client_flags: ClientFlags::empty(),
    identifier: None,
    sockets: &[],
};
