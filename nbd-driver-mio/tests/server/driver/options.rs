//! Bounds and switches.

use std::time::Duration;

use nbd_driver_mio::nbd_proto::handshake::{HandshakeStyle, ServerHandshakeSettings};
use nbd_driver_mio::nbd_proto::transmission::ServerSettings;

#[derive(Clone)]
pub(crate) struct ServerOptions {
    pub(super) max_connections: usize,
    pub(super) handshake_timeout: Option<Duration>,
    pub(super) threads_per_connection: usize,
    pub(super) stop_grace: Duration,
    pub(super) handshake: ServerHandshakeSettings,
    pub(super) engine: ServerSettings,
    pub(super) connection: nbd_driver_mio::ServerOptions,
}

impl ServerOptions {
    pub(crate) fn new() -> Self {
        Self {
            max_connections: 200,
            handshake_timeout: Some(Duration::from_secs(30)),
            threads_per_connection: 8,
            stop_grace: Duration::from_millis(2500),
            handshake: ServerHandshakeSettings::default(),
            engine: ServerSettings::default(),
            connection: nbd_driver_mio::ServerOptions::default(),
        }
    }

    pub(crate) fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections;
        self
    }

    pub(crate) fn handshake_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    pub(crate) fn idle_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.connection.idle_timeout = timeout;
        self
    }

    pub(crate) fn stall_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.connection.stall_timeout = timeout;
        self
    }

    pub(crate) fn max_in_flight(mut self, requests: usize) -> Self {
        self.engine = self.engine.with_max_in_flight(requests);
        self
    }

    pub(crate) fn max_memory(mut self, bytes: usize) -> Self {
        self.connection.max_bytes = bytes;
        self
    }

    pub(crate) fn threads_per_connection(mut self, threads: usize) -> Self {
        self.threads_per_connection = threads;
        self
    }

    pub(crate) fn stop_grace(mut self, grace: Duration) -> Self {
        self.stop_grace = grace;
        self
    }

    pub(crate) fn handshake_style(mut self, style: HandshakeStyle) -> Self {
        self.handshake.style = style;
        self
    }

    pub(crate) fn no_zeroes(mut self, offer: bool) -> Self {
        self.handshake.no_zeroes = offer;
        self
    }

    pub(super) fn for_connection(&self) -> nbd_driver_mio::ServerOptions {
        self.connection.with_engine(self.engine)
    }
}
