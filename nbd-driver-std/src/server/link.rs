//! One connection's socket, and what others ask of the connection.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::stream::Stream;

#[derive(Debug)]
pub(super) struct Link {
    pub(super) stream: Stream,
    /// Who is at the other end, for people.
    pub(super) peer: String,
    order: AtomicU8,
}

/// What others ask of a connection. Later ones include those before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Order {
    /// Nothing.
    GoOn,
    /// Finish what has begun, and end.
    Finish,
    /// End at once.
    Leave,
}

impl Link {
    pub(super) fn new(stream: Stream, peer: String) -> Self {
        Self { stream, peer, order: AtomicU8::new(Order::GoOn as u8) }
    }

    /// Has the connection's thread look up.
    pub(super) fn give(&self, order: Order) {
        self.order.fetch_max(order as u8, Ordering::SeqCst);
        if order == Order::Leave {
            self.stream.hang_up();
        }
        self.stream.wake();
    }

    pub(super) fn order(&self) -> Order {
        match self.order.load(Ordering::SeqCst) {
            0 => Order::GoOn,
            1 => Order::Finish,
            _ => Order::Leave,
        }
    }
}
