//! The server's transmission phase over a socket.
//!
//! One thread owns the engine. In each turn it parses what has come, hands requests to the backend, answers those
//! that have ended, sends and receives what goes without waiting, and waits only when none of this brought anything.
//! Nothing is read while the engine takes no more, or while a request waits for memory: so a client that does not
//! take its answers costs no more than its limits.

mod requests;
mod transfer;

use std::sync::Arc;
use std::time::{Duration, Instant};

use nbd_proto::error::{Ended, Error as Over};
use nbd_proto::transmission::{Request, Server};

use super::buffers::Buffers;
use super::connections::Place;
use super::handshake::Admitted;
use super::jobs::{Ground, Outcome};
use super::link::{Link, Order};
use super::options::ServerOptions;
use super::workers::Workers;
use crate::backend::Features;
use crate::error::{Error, seconds};
use crate::input::Input;
use crate::trace;

/// How long a connection with nothing to do keeps memory for the next request.
const WARM: Duration = Duration::from_secs(2);

/// How a connection ended that was not cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The client said goodbye.
    Disconnected,
    /// The client hung up between requests.
    HungUp,
    /// The server was stopped.
    Stopped,
}

struct Transmission<'a> {
    engine: Server,
    link: &'a Link,
    options: &'a ServerOptions,
    ground: Arc<Ground>,
    /// None where the backend never waits.
    workers: Option<Workers>,
    outcomes: Vec<Outcome>,
    buffers: Buffers,
    /// By slot: writes that are being received, and answers that take memory until they are sent.
    slots: Vec<Option<(Request, Vec<u8>)>>,
    /// A request that waits for memory. Nothing is parsed behind it.
    waiting: Option<Request>,
    input: Input,
    /// Whether the client sends no more. It may still wait for answers.
    end_of_input: bool,
    /// Whether the socket may have something to read, and may take something, as far as is known.
    readable: bool,
    writable: bool,
    /// When the client was last heard, or an answer left for it.
    active: Instant,
    /// Since when the client takes nothing.
    stalled: Option<Instant>,
}

/// Serves requests until the client leaves, the server is stopped, or a limit is reached.
pub(super) fn run(place: &Place, options: &ServerOptions, admitted: Admitted) -> Result<End, Error> {
    let Admitted { accepted, opened, input } = admitted;
    let contexts = accepted.negotiated().contexts.clone();
    let mut engine = Server::new(accepted, options.engine);
    engine.set_observer(trace::observer());
    let ground = Arc::new(Ground { backend: opened.backend, contexts });
    let immediate = opened.features.contains(Features::IMMEDIATE);
    let workers = || Workers::new(ground.clone(), place.link.clone(), options.threads_per_connection);
    let mut transmission = Transmission {
        workers: (!immediate).then(workers),
        engine,
        link: &place.link,
        options,
        ground,
        outcomes: Vec::new(),
        buffers: Buffers::new(options.max_memory),
        slots: Vec::new(),
        waiting: None,
        input,
        end_of_input: false,
        readable: true,
        writable: true,
        active: Instant::now(),
        stalled: None,
    };
    let result = transmission.serve();
    place.link.stream.hang_up();
    if let Some(workers) = transmission.workers.take() {
        workers.end();
    }
    result
}

impl Transmission<'_> {
    fn serve(&mut self) -> Result<End, Error> {
        loop {
            let order = self.link.order();
            match order {
                Order::GoOn => {}
                Order::Finish => self.engine.begin_shutdown(),
                Order::Leave => self.abandon(),
            }
            let mut moved = self.collect();
            moved |= self.parse();
            moved |= self.send();
            moved |= self.receive();
            if moved {
                continue;
            }
            let idle = self.engine.in_flight() == 0 && !self.engine.wants_write() && self.waiting.is_none();
            if let Some(over) = self.engine.over() {
                if self.running() == 0 {
                    return ended(over.clone());
                }
                // While the backend is waited for, the client need not be.
                self.link.stream.hang_up();
            } else if idle && self.engine.is_disconnecting() {
                return Ok(End::Disconnected);
            } else if self.end_of_input && self.running() == 0 && !self.engine.wants_write() {
                // All that came in full has been answered.
                self.engine.eof();
                continue;
            } else if idle && order == Order::Finish {
                return Ok(End::Stopped);
            }
            if self.workers.as_ref().is_none_or(Workers::may_sleep) {
                self.wait()?;
            }
            if let Some(workers) = &self.workers {
                workers.is_awake();
            }
        }
    }

    /// Gives the connection up. Calls that the backend has begun are all that is waited for.
    fn abandon(&mut self) {
        self.engine.give_up("it did not end in time when the server was stopped");
        // Also where it was over before: what the client left behind is not begun any more.
        if let Some(workers) = &mut self.workers {
            workers.cancel();
        }
    }

    fn running(&self) -> usize {
        self.workers.as_ref().map_or(0, Workers::running)
    }

    /// Waits until there is something to do, and gives up a client that has had its time.
    fn wait(&mut self) -> Result<(), Error> {
        let over = self.engine.over().is_some();
        let write = !over && self.engine.wants_write();
        let idle = !over && !write && self.running() == 0 && self.waiting.is_none();
        let after = |since: Instant, limit: Option<Duration>| limit.and_then(|limit| since.checked_add(limit));
        let quiet = if idle { after(self.active, self.options.idle_timeout) } else { None };
        let stalled = self.stalled.filter(|_| write).and_then(|since| after(since, self.options.stall_timeout));
        let cool = if idle && self.buffers.has_free() { after(self.active, Some(WARM)) } else { None };
        let deadline = [quiet, stalled, cool].into_iter().flatten().min();
        let ready = self
            .link
            .stream
            .wait(self.wants_read(), write, deadline)
            .map_err(|error| Error::io("waiting for the socket", error))?;
        self.readable |= ready.read;
        self.writable |= ready.write;
        if ready.read || ready.write || ready.woken {
            return Ok(());
        }
        let now = Instant::now();
        let passed = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        if passed(stalled) {
            let limit = seconds(self.options.stall_timeout.unwrap_or_default());
            self.engine.give_up(&format!("the client took no bytes for {limit}"));
        } else if passed(quiet) {
            let limit = seconds(self.options.idle_timeout.unwrap_or_default());
            self.engine.give_up(&format!("the client sent nothing for {limit}"));
        } else if passed(cool) {
            self.buffers.shrink();
        }
        Ok(())
    }
}

fn ended(over: Over) -> Result<End, Error> {
    match over {
        Over::Ended(Ended::AtBoundary { .. }) => Ok(End::HungUp),
        Over::Ended(Ended::ByUs) => Ok(End::Disconnected),
        over => Err(over.into()),
    }
}
