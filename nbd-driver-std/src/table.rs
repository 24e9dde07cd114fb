//! What the driver keeps beside the engine: whose request is whose, and who waits for what.

use std::ops::Range;
use std::thread::{self, Thread};
use std::time::Duration;

use nbd_proto::error::CommandError;
use nbd_proto::transmission::{self, Command, ContextExtents, StatusAnswer, StatusMemory};
use nbd_proto::wire::number::{ContextId, Cookie};

use crate::queues::QueueId;

/// The number of a registered waiter.
pub(crate) type WaiterId = usize;

/// Things with small dense numbers.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    places: Vec<Option<T>>,
    free: Vec<usize>,
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self { places: Vec::new(), free: Vec::new() }
    }

    pub(crate) fn insert(&mut self, item: T) -> usize {
        if let Some(at) = self.free.pop() {
            self.places[at] = Some(item);
            at
        } else {
            self.places.push(Some(item));
            self.places.len() - 1
        }
    }

    pub(crate) fn remove(&mut self, at: usize) -> Option<T> {
        let item = self.places.get_mut(at)?.take()?;
        self.free.push(at);
        Some(item)
    }

    pub(crate) fn get(&self, at: usize) -> Option<&T> {
        self.places.get(at)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        self.places.get_mut(at)?.as_mut()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.places.iter().enumerate().filter_map(|(at, place)| Some((at, place.as_ref()?)))
    }
}

/// A thread that waits.
#[derive(Debug)]
pub(crate) struct Waiter {
    thread: Thread,
    pub(crate) want: Want,
    /// How its own request ended.
    pub(crate) outcome: Option<Outcome>,
}

/// How the request of a thread ended. It has left the table by then: its cookie may be another one's already.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) result: Result<(), CommandError>,
    pub(crate) contexts: Vec<ContextExtents>,
    /// Parts of a read's buffer that its owner has yet to fill with zeroes.
    pub(crate) holes: Vec<Range<usize>>,
}

/// What a thread waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// The end of its own request.
    Reply,
    /// A place for a request.
    Room,
    /// The end of any request of this queue.
    Completion(QueueId),
    /// The end of all requests, or of the connection.
    Quiet,
}

impl Waiter {
    pub(crate) fn this_thread(want: Want) -> Self {
        Self { thread: thread::current(), want, outcome: None }
    }

    pub(crate) fn wake(&self) {
        self.thread.unpark();
    }
}

/// A request in flight.
#[derive(Debug)]
pub(crate) enum Request {
    /// Of a thread that waits for it, and holds its buffer.
    Call(Call),
    /// Of a queue. The buffer is here.
    Queued(Queued),
}

#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) waiter: WaiterId,
    /// Parts of a read's buffer that its owner has yet to fill with zeroes.
    pub(crate) holes: Vec<Range<usize>>,
    pub(crate) status: StatusAnswer,
}

#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) queue: QueueId,
    pub(crate) command: Command,
    pub(crate) buffer: Vec<u8>,
    pub(crate) status: StatusAnswer,
    /// When it is overdue, by the queue's own clock.
    pub(crate) due: Option<Duration>,
}

/// Requests by their cookies. A place is taken anew as soon as it is free, so a thread that is late to learn of the end
/// of its request may ask with a cookie that has been used up: that finds nothing.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    slots: Vec<Option<(Cookie, Request)>>,
}

impl Requests {
    pub(crate) fn insert(&mut self, cookie: Cookie, request: Request) {
        let slot = cookie.slot();
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, || None);
        }
        self.slots[slot] = Some((cookie, request));
    }

    pub(crate) fn get(&self, cookie: Cookie) -> Option<&Request> {
        match self.slots.get(cookie.slot())? {
            Some((current, request)) if *current == cookie => Some(request),
            _ => None,
        }
    }

    pub(crate) fn get_mut(&mut self, cookie: Cookie) -> Option<&mut Request> {
        match self.slots.get_mut(cookie.slot())? {
            Some((current, request)) if *current == cookie => Some(request),
            _ => None,
        }
    }

    pub(crate) fn remove(&mut self, cookie: Cookie) -> Option<Request> {
        let slot = self.slots.get_mut(cookie.slot())?;
        slot.take_if(|(current, _)| *current == cookie).map(|(_, request)| request)
    }

    /// The call of a thread that holds `cookie`.
    pub(crate) fn call(&self, cookie: Cookie) -> Option<&Call> {
        match self.get(cookie)? {
            Request::Call(call) => Some(call),
            Request::Queued(_) => None,
        }
    }

    pub(crate) fn call_mut(&mut self, cookie: Cookie) -> Option<&mut Call> {
        match self.get_mut(cookie)? {
            Request::Call(call) => Some(call),
            Request::Queued(_) => None,
        }
    }

    pub(crate) fn queued(&self) -> impl Iterator<Item = &Queued> {
        self.slots.iter().flatten().filter_map(|(_, request)| match request {
            Request::Queued(queued) => Some(queued),
            Request::Call(_) => None,
        })
    }
}

impl Request {
    /// Keeps what a block status says.
    pub(crate) fn add_extents(
        &mut self,
        memory: &mut StatusMemory,
        context: ContextId,
        extents: transmission::Extents<'_>,
    ) {
        let status = match self {
            Self::Call(call) => &mut call.status,
            Self::Queued(queued) => &mut queued.status,
        };
        status.add(memory, context, extents);
    }
}

#[cfg(test)]
mod tests {
    use super::{Call, Cookie, Request, Requests, StatusAnswer};

    /// A thread filled its buffer with the holes of another one's read, which had taken the place of its own.
    #[test]
    fn a_cookie_that_is_used_up_finds_nothing() {
        let call = |waiter| Request::Call(Call { waiter, holes: Vec::new(), status: StatusAnswer::default() });
        let [old, new] = [Cookie(1 << 32 | 3), Cookie(2 << 32 | 3)];
        assert_eq!(old.slot(), new.slot());
        let mut requests = Requests::default();
        requests.insert(old, call(1));
        assert_eq!(requests.call(old).map(|call| call.waiter), Some(1));
        assert!(requests.get(new).is_none());
        assert!(requests.remove(old).is_some());
        requests.insert(new, call(2));
        assert!(requests.get(old).is_none() && requests.call_mut(old).is_none() && requests.remove(old).is_none());
        assert_eq!(requests.call(new).map(|call| call.waiter), Some(2));
    }
}
