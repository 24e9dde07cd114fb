//! What a server's engine is told beforehand.

/// What a [`Server`](super::Server) is told beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerSettings {
    /// How many requests may be in flight. At the limit nothing more is read. From 1 to 65,536, a value out of
    /// range is moved into it; default 128.
    pub max_in_flight: usize,
    /// How many bytes of payload are skipped of a request that the engine refuses; or the maximum payload that the
    /// [offer](crate::handshake::Offer::block_sizes) names, if that is more. A request with more ends the connection.
    /// Default 64 MiB, twice what any client may take for granted. A `WRITE` that the caller fails is skipped whole: it
    /// is not longer than the maximum payload.
    pub max_skipped: u64,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self { max_in_flight: 128, max_skipped: 64 << 20 }
    }
}

impl ServerSettings {
    /// Sets [`max_in_flight`](Self::max_in_flight).
    #[must_use]
    pub fn with_max_in_flight(mut self, requests: usize) -> Self {
        self.max_in_flight = requests.clamp(1, 65_536);
        self
    }

    /// Sets [`max_skipped`](Self::max_skipped).
    #[must_use]
    pub const fn with_max_skipped(mut self, bytes: u64) -> Self {
        self.max_skipped = bytes;
        self
    }
}
