//! A server: backends, served to clients by threads.
//!
//! ```no_run
//! use std::sync::Arc;
//! use nbd_driver_std::backend::Backend;
//! use nbd_driver_std::server::{Export, Listener, Server, ServerOptions};
//!
//! # fn example(disk: Arc<dyn Backend>) -> Result<(), nbd_driver_std::Error> {
//! let listener = Listener::unix("/run/nbd.sock")?;
//! println!("listening on {}", listener.uri("disk")?);
//! let running = Server::new(ServerOptions::new()).export(Export::shared("disk", disk)).start([listener])?;
//! let stopper = running.stopper(); // to be called when it is time
//! running.wait()?;
//! # Ok(())
//! # }
//! ```
//!
//! One thread accepts. Each connection has a thread that owns its state and moves its bytes, both ways at once; and,
//! unless its backend [never waits](crate::backend::Features::IMMEDIATE), a few more that call the backend. So a slow
//! client harms nobody, and a slow backend only those who use it. What a client can cost is bounded by
//! [`ServerOptions`], whatever it sends and however slowly it reads.
//!
//! Nothing here does TLS yet.

mod accept;
mod buffers;
mod connection;
mod connections;
mod export;
mod handshake;
mod inherited;
mod jobs;
mod link;
mod listener;
mod options;
mod running;
mod site;
mod socket_file;
mod transmission;
mod workers;
mod zeroes;

use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::error::Error;
use crate::stream::Stream;
use crate::waker::Waker;
use connections::Connections;
use site::Site;

pub use export::Export;
pub use listener::Listener;
pub use options::ServerOptions;
pub use running::{Running, Stopper, Summary};

/// Exports, and how clients are treated who want them.
#[derive(Clone, Debug)]
pub struct Server {
    site: Site,
}

impl Server {
    /// A server without exports.
    pub fn new(options: ServerOptions) -> Self {
        Self { site: Site { options, exports: Vec::new() } }
    }

    /// Adds an export.
    #[must_use]
    pub fn export(mut self, export: Export) -> Self {
        self.site.exports.push(export);
        self
    }

    /// Starts to serve clients who connect to these sockets, and returns at once. Errors if two exports have the
    /// same name, or if a name is longer than 4096 bytes or has a NUL in it.
    pub fn start(self, listeners: impl IntoIterator<Item = Listener>) -> Result<Running, Error> {
        Running::start(self.site, listeners.into_iter().collect())
    }

    /// Serves one client, in this thread, over a stream socket that is connected already; returns when it has left.
    /// Errors where [`start`](Self::start) does, and if the connection was given up.
    pub fn serve_fd(&self, socket: impl Into<OwnedFd>) -> Result<(), Error> {
        self.site.check()?;
        let connections = Connections::new(self.site.options.max_connections, Arc::new(Waker::new()?));
        let place = Arc::new(connections).enter(Stream::given(socket.into())?, "the given socket".into());
        connection::run(&place, &self.site)
    }
}
