//! A server made of `nbd-driver-mio`, by the names of the threaded one, so that both pass the same tests: one loop in one
//! thread for all connections. Backends that never wait are called in the loop; others in a few threads, which answer
//! through a channel, in whatever order. It has limits, holes and a stop of its own, as each server on the driver does; what
//! the driver alone promises is tested beside.

mod connection;
mod event_loop;
mod export;
mod jobs;
mod options;
mod running;
mod serving;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::channel;

pub(crate) use nbd_driver_mio::nbd_proto;
pub(crate) use nbd_driver_std::server::Listener;
pub(crate) use nbd_driver_std::{Client, ConnectOptions, Error, backend};

pub(crate) use self::export::Export;
pub(crate) use self::options::ServerOptions;
pub(crate) use self::running::{Running, Stopper};

use self::event_loop::EventLoop;

/// Exports, and how clients are treated who want them.
#[derive(Clone)]
pub(crate) struct Server {
    site: Site,
}

/// What all connections share, and never change.
#[derive(Clone)]
struct Site {
    options: ServerOptions,
    exports: Vec<Export>,
    /// How many clients use an export.
    established: Arc<AtomicUsize>,
}

impl Server {
    pub(crate) fn new(options: ServerOptions) -> Self {
        Self { site: Site { options, exports: Vec::new(), established: Arc::default() } }
    }

    #[must_use]
    pub(crate) fn export(mut self, export: Export) -> Self {
        self.site.exports.push(export);
        self
    }

    #[allow(clippy::unnecessary_wraps, reason = "as the threaded server has it")]
    pub(crate) fn start(self, listeners: impl IntoIterator<Item = Listener>) -> Result<Running, Error> {
        let (orders, receiver) = channel();
        let established = self.site.established.clone();
        let event_loop = EventLoop::new(self.site, listeners.into_iter().collect(), orders.clone(), receiver);
        Ok(Running::start(event_loop, orders, established))
    }
}
