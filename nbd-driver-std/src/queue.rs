//! Many requests in flight from one thread: buffers are handed in, and come back with the results.

use std::sync::Arc;

use nbd_proto::error::{CommandError, Refused};
use nbd_proto::transmission::{Command, ContextExtents};
use nbd_proto::wire::number::{CommandType, Cookie};

use crate::baton::Shared;
use crate::direct::{DirectInterrupter, DirectQueue};
use crate::error::Error;
use crate::reconnect::{SurvivingInterrupter, SurvivingQueue, Survivor};

/// Requests that one thread has in flight over a [`Client`](crate::Client)'s connection.
///
/// [`submit`](Self::submit) hands requests in; they leave, many by one system call, with the next
/// [`wait`](Self::wait) or [`send`](Self::send), and [`wait`](Self::wait) brings each back when it has ended, in
/// any order. A request is sent as it is: it is never split or padded. A queue that is dropped leaves its
/// requests to end by themselves.
///
/// ```no_run
/// # fn main() -> Result<(), nbd_driver_std::Error> {
/// # let client = nbd_driver_std::Client::connect("nbd://localhost")?;
/// let mut queue = client.queue();
/// for block in 0..16 {
///     queue.read(vec![0; 4096], block * 4096).map_err(|rejected| rejected.error)?;
/// }
/// while let Some(completion) = queue.wait() {
///     completion.result?;
///     println!("{} bytes at {}", completion.buffer.len(), completion.command.offset);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Queue(Kind);

#[derive(Debug)]
enum Kind {
    Direct(DirectQueue),
    Surviving(SurvivingQueue),
}

/// Ends a wait of a [`Queue`] from another thread: see [`Queue::interrupter`].
#[derive(Clone, Debug)]
pub struct Interrupter(Bell);

#[derive(Clone, Debug)]
enum Bell {
    Direct(DirectInterrupter),
    Surviving(SurvivingInterrupter),
}

/// A wait that another thread ended. Requests are as they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("another thread ended the wait")]
pub struct Interrupted;

/// The name of a request of a [`Queue`], unlike that of any other in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(pub(crate) u64);

/// A request that has ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct Completion {
    /// What [`Queue::submit`] returned for it.
    pub ticket: Ticket,
    /// The request.
    pub command: Command,
    /// Its buffer: for a `READ` that succeeded, filled; what a failed one holds means nothing.
    pub buffer: Vec<u8>,
    /// What a `BLOCK_STATUS` brought.
    pub contexts: Vec<ContextExtents>,
    /// How it ended.
    pub result: Result<(), Error>,
}

/// A request that was not taken, with its buffer.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Rejected {
    /// Why. [`Refused::QueueFull`] means: [wait](Queue::wait) for a completion first, or
    /// [for room](Queue::wait_for_room) if this queue has nothing in flight.
    pub error: Error,
    /// The buffer that was handed in.
    pub buffer: Vec<u8>,
}

impl Rejected {
    /// Whether it could be taken once another request has ended.
    pub fn is_full(&self) -> bool {
        matches!(self.error, Error::Refused(Refused::QueueFull { .. }))
    }
}

impl Completion {
    pub(crate) fn new(
        cookie: Cookie,
        (command, buffer): (Command, Vec<u8>),
        (contexts, result): (Vec<ContextExtents>, Result<(), CommandError>),
    ) -> Self {
        Self { ticket: Ticket(cookie.0), command, buffer, contexts, result: result.map_err(Error::from) }
    }
}

impl Queue {
    pub(crate) fn direct(shared: Arc<Shared>) -> Self {
        Self(Kind::Direct(DirectQueue::new(shared)))
    }

    pub(crate) fn surviving(survivor: Arc<Survivor>) -> Self {
        Self(Kind::Surviving(SurvivingQueue::new(survivor)))
    }

    /// Hands in a read of as many bytes as the buffer is long.
    pub fn read(&mut self, buffer: Vec<u8>, offset: u64) -> Result<Ticket, Rejected> {
        self.submit(Command::read(offset, buffer.len() as u64), buffer)
    }

    /// Hands in a write of the whole buffer.
    pub fn write(&mut self, buffer: Vec<u8>, offset: u64) -> Result<Ticket, Rejected> {
        self.submit(Command::write(offset, buffer.len() as u64), buffer)
    }

    /// Hands in any command. For `READ` and `WRITE` the buffer must be as long as the command says; with others
    /// it is only carried along.
    pub fn submit(&mut self, command: Command, buffer: Vec<u8>) -> Result<Ticket, Rejected> {
        let with_data = matches!(command.command, CommandType::READ | CommandType::WRITE);
        if with_data && command.length != buffer.len() as u64 {
            let error = Error::Unsupported("the buffer is not as long as the command says");
            return Err(Rejected { error, buffer });
        }
        match &mut self.0 {
            Kind::Direct(queue) => queue.submit(command, None, buffer),
            Kind::Surviving(queue) => queue.submit(command, buffer),
        }
    }

    /// Sends what was handed in, as far as it goes without waiting.
    pub fn send(&mut self) {
        match &mut self.0 {
            Kind::Direct(queue) => queue.send(),
            Kind::Surviving(queue) => queue.send(),
        }
    }

    /// Waits until there is a place for a request, whoever holds them all now, or the connection is over. Unlike
    /// [`wait`](Self::wait), it also helps where the places are those of other queues, or of one that was dropped.
    pub fn wait_for_room(&mut self) {
        match &mut self.0 {
            Kind::Direct(queue) => queue.wait_for_room(),
            Kind::Surviving(queue) => queue.wait_for_room(),
        }
    }

    /// How many requests have not come back yet.
    pub fn in_flight(&self) -> usize {
        match &self.0 {
            Kind::Direct(queue) => queue.in_flight(),
            Kind::Surviving(queue) => queue.in_flight(),
        }
    }

    /// Waits until a request has ended. `None` when none is left.
    pub fn wait(&mut self) -> Option<Completion> {
        match &mut self.0 {
            Kind::Direct(queue) => queue.wait(),
            Kind::Surviving(queue) => queue.wait(),
        }
    }

    /// The same, but an [`Interrupter`] can end the wait, or the next one if there is none now. Whoever has been
    /// interrupted may get a completion all the same, and should look for other work after each.
    pub fn wait_or_interrupt(&mut self) -> Result<Option<Completion>, Interrupted> {
        match &mut self.0 {
            Kind::Direct(queue) => queue.wait_or_interrupt(),
            Kind::Surviving(queue) => queue.wait_or_interrupt(),
        }
    }

    /// What another thread can end a [`wait_or_interrupt`](Self::wait_or_interrupt) with.
    pub fn interrupter(&self) -> Interrupter {
        Interrupter(match &self.0 {
            Kind::Direct(queue) => Bell::Direct(queue.interrupter()),
            Kind::Surviving(queue) => Bell::Surviving(queue.interrupter()),
        })
    }
}

impl Interrupter {
    /// Ends the wait that goes on, or else the next one.
    pub fn interrupt(&self) {
        match &self.0 {
            Bell::Direct(bell) => bell.interrupt(),
            Bell::Surviving(bell) => bell.interrupt(),
        }
    }
}
