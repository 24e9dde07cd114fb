//! Bounds of a client connection.

use std::time::Duration;

use nbd_proto::limits::DEFAULT_STATUS_MEMORY;
use nbd_proto::transmission::ClientSettings;

/// How a [`Client`](super::Client) treats its server, and its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientOptions {
    /// How many requests may be in flight, those included whose completion has not been taken; and which rules they are
    /// held against.
    pub engine: ClientSettings,
    /// How many bytes of buffers the driver holds at most: of requests that have not been sent or answered, and of
    /// completions that have not been taken. A single longer request is taken when there is no other. Default 64 MiB.
    pub max_bytes: usize,
    /// How many bytes of memory the answers to block status may take together that are coming in, or are in completions
    /// that have not been taken. A request whose answer has no room ends with
    /// [`StatusTooLarge`](nbd_proto::error::CommandError::StatusTooLarge), and the connection goes on. Default
    /// [`DEFAULT_STATUS_MEMORY`].
    pub max_status_memory: usize,
    /// How long a request may take from the first turn after it was handed in to its last reply. The protocol cannot take
    /// a request back, so the connection is given up when one takes longer; where there is always more to read, only when
    /// it has taken as long again. Default: for ever.
    pub request_timeout: Option<Duration>,
    /// How long the server may take to hang up after a soft disconnect; then it counts as done, since all that was asked
    /// is. Default 5 seconds.
    pub close_timeout: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            engine: ClientSettings::default(),
            max_bytes: 64 << 20,
            max_status_memory: DEFAULT_STATUS_MEMORY,
            request_timeout: None,
            close_timeout: Duration::from_secs(5),
        }
    }
}

impl ClientOptions {
    /// Sets [`engine`](Self::engine).
    #[must_use]
    pub const fn with_engine(mut self, settings: ClientSettings) -> Self {
        self.engine = settings;
        self
    }

    /// Sets [`max_bytes`](Self::max_bytes).
    #[must_use]
    pub const fn with_max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets [`max_status_memory`](Self::max_status_memory).
    #[must_use]
    pub const fn with_max_status_memory(mut self, bytes: usize) -> Self {
        self.max_status_memory = bytes;
        self
    }

    /// Sets [`request_timeout`](Self::request_timeout).
    #[must_use]
    pub const fn with_request_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Sets [`close_timeout`](Self::close_timeout).
    #[must_use]
    pub const fn with_close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout;
        self
    }
}
