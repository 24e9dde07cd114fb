//! Bounds of a server connection.

use std::time::Duration;

use nbd_proto::transmission::ServerSettings;

/// How a [`Server`](super::Server) treats its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerOptions {
    /// How many requests may be in flight; and how much is skipped of one that is refused.
    pub engine: ServerSettings,
    /// How many bytes of payload are held at most: of writes that have come, and of reads that are to be answered, until
    /// their [`Done`](super::ServerEvent::Done) has been taken. At the limit requests wait, and nothing more is read. A
    /// single longer request is let through when there is no other. Default 64 MiB.
    pub max_bytes: usize,
    /// How long a client may send nothing while nothing is owed to it, between requests and in the middle of one. Default:
    /// for ever, since a disk that is mounted and not used is no fault.
    pub idle_timeout: Option<Duration>,
    /// How long a client may take none of the bytes that are to be sent to it. Default: for ever, since one that is merely
    /// suspended should find its disk when it wakes.
    pub stall_timeout: Option<Duration>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self { engine: ServerSettings::default(), max_bytes: 64 << 20, idle_timeout: None, stall_timeout: None }
    }
}

impl ServerOptions {
    /// Sets [`engine`](Self::engine).
    #[must_use]
    pub const fn with_engine(mut self, settings: ServerSettings) -> Self {
        self.engine = settings;
        self
    }

    /// Sets [`max_bytes`](Self::max_bytes).
    #[must_use]
    pub const fn with_max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets [`idle_timeout`](Self::idle_timeout).
    #[must_use]
    pub const fn with_idle_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// Sets [`stall_timeout`](Self::stall_timeout).
    #[must_use]
    pub const fn with_stall_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.stall_timeout = timeout;
        self
    }
}
