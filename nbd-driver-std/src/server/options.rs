//! Bounds and switches of a server.

use std::time::Duration;

use nbd_proto::handshake::{HandshakeStyle, ServerHandshakeSettings};
use nbd_proto::limits::DEFAULT_MAX_PAYLOAD;
use nbd_proto::transmission::ServerSettings;

/// How a [`Server`](super::Server) treats its clients. Every setting has a default that suits most.
///
/// ```
/// use std::time::Duration;
/// use nbd_driver_std::server::ServerOptions;
///
/// let options = ServerOptions::new().max_connections(16).idle_timeout(Some(Duration::from_secs(3600)));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerOptions {
    pub(super) max_connections: usize,
    pub(super) handshake_timeout: Option<Duration>,
    pub(super) idle_timeout: Option<Duration>,
    pub(super) stall_timeout: Option<Duration>,
    pub(super) engine: ServerSettings,
    pub(super) max_memory: usize,
    pub(super) threads_per_connection: usize,
    pub(super) stop_grace: Duration,
    pub(super) style: HandshakeStyle,
    pub(super) no_zeroes: bool,
    pub(super) structured_replies: bool,
    pub(super) extended_headers: bool,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            max_connections: 200,
            handshake_timeout: Some(Duration::from_secs(30)),
            idle_timeout: None,
            stall_timeout: None,
            engine: ServerSettings::default(),
            max_memory: 64 << 20,
            threads_per_connection: 8,
            stop_grace: Duration::from_millis(2500),
            style: HandshakeStyle::FixedNewstyle,
            no_zeroes: true,
            structured_replies: true,
            extended_headers: true,
        }
    }
}

impl ServerOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many clients may use exports at once. The next one is told so and turned away. As many again may be in
    /// the handshake; one more, and the one that has been there longest is dropped. So it is, after a second, where
    /// the system has no descriptors or threads for more. At least 1; default 200, because each connection takes two
    /// file descriptors, and most systems give a process 1024. Where it is 1, no export offers `CAN_MULTI_CONN`.
    #[must_use]
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections.max(1);
        self
    }

    /// How long a whole handshake may take; `None`: for ever. Default 30 seconds.
    #[must_use]
    pub fn handshake_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// How long a client that uses an export may send nothing while nothing is owed to it. Default: for ever, since
    /// a disk that is mounted and not used is no fault. A machine that has vanished is found out by TCP itself.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// How long a client may take none of the bytes that are to be sent to it. Default: for ever, since one that is
    /// merely suspended should find its disk when it wakes, and what it costs until then is bounded.
    #[must_use]
    pub fn stall_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.stall_timeout = timeout;
        self
    }

    /// How many requests of one connection may be in flight. At the limit nothing more is read from it. From 1 to
    /// 65,536; default 128.
    #[must_use]
    pub fn max_in_flight(mut self, requests: usize) -> Self {
        self.engine = self.engine.with_max_in_flight(requests);
        self
    }

    /// How many bytes of payload one connection may hold in memory; the answer of each context to a `BLOCK_STATUS`
    /// counts as 1 MiB, unless one extent is asked for. At the limit its requests wait their turn, and nothing more
    /// is read from it. Memory is taken as it is needed, and given back when a connection has had nothing to do for
    /// some seconds; but all clients together can take [`max_connections`](Self::max_connections) times as much. At
    /// least 32 MiB, the longest payload that any client may send without asking; default 64 MiB. No export offers a
    /// larger payload than this.
    #[must_use]
    pub fn max_memory(mut self, bytes: usize) -> Self {
        self.max_memory = bytes.max(DEFAULT_MAX_PAYLOAD as usize);
        self
    }

    /// How many calls of a backend may go on at once for one connection, each in a thread that is started when it is
    /// first needed. A backend that [never waits](crate::backend::Features::IMMEDIATE) has none. At least 1;
    /// default 8.
    #[must_use]
    pub fn threads_per_connection(mut self, threads: usize) -> Self {
        self.threads_per_connection = threads.max(1);
        self
    }

    /// How long a stop waits for requests that have begun; then their clients are hung up on. Default 2.5 seconds.
    #[must_use]
    pub fn stop_grace(mut self, grace: Duration) -> Self {
        self.stop_grace = grace;
        self
    }

    /// How connections are opened. Default: fixed newstyle. The others are for testing clients: an oldstyle
    /// client gets the export with the empty name.
    #[must_use]
    pub fn handshake_style(mut self, style: HandshakeStyle) -> Self {
        self.style = style;
        self
    }

    /// Whether a client may do without 124 useless zeroes behind `EXPORT_NAME`. Default: yes. The other is for
    /// testing clients.
    #[must_use]
    pub fn no_zeroes(mut self, offer: bool) -> Self {
        self.no_zeroes = offer;
        self
    }

    /// Whether clients can have structured replies. Default: yes. The other is for testing clients.
    #[must_use]
    pub fn structured_replies(mut self, offer: bool) -> Self {
        self.structured_replies = offer;
        self
    }

    /// Whether clients can have extended headers. Default: yes. The other is for testing clients.
    #[must_use]
    pub fn extended_headers(mut self, offer: bool) -> Self {
        self.extended_headers = offer;
        self
    }

    pub(super) fn handshake(&self) -> ServerHandshakeSettings {
        let mut settings = ServerHandshakeSettings::default();
        settings.style = self.style;
        settings.no_zeroes = self.no_zeroes;
        settings.structured_replies = self.structured_replies;
        settings.extended_headers = self.extended_headers;
        settings
    }
}

#[cfg(test)]
mod tests {
    use super::ServerOptions;

    #[test]
    fn nobody_is_hung_up_on_for_doing_nothing_unless_that_is_wanted() {
        let options = ServerOptions::new();
        assert_eq!((options.idle_timeout, options.stall_timeout), (None, None));
    }
}
