//! Every bound that a number from the peer meets before anything is done with it.
//!
//! Constants come from the specification; where it is silent, the reason for the figure stands beside it.
//! Bounds that a caller may want to move are fields of [`HandshakeLimits`], of [`ServerHandshakeLimits`], of
//! [`ClientSettings`](crate::transmission::ClientSettings) and of
//! [`ServerSettings`](crate::transmission::ServerSettings).

/// The longest string, in bytes: "MUST be no longer than 4096 bytes" (spec, *Conventions*).
pub const MAX_STRING: usize = 4096;

/// The longest `NBD_REP_INFO` of a type this crate does not know, in bytes. Such a reply is skipped as it
/// arrives and never held, so the bound only keeps a peer from sending for ever; the specification has none.
pub const MAX_UNKNOWN_INFO: u32 = 1 << 20;

/// The longest reply, in bytes, of a type this crate does not know to an option it does not know either: as long as
/// the longest known one. It has to be seen whole.
pub const MAX_UNKNOWN_REPLY: u32 = 4 + 2 * MAX_STRING as u32;

/// The most extents in one block status chunk: "Servers SHOULD NOT send more than 2^20 extents"
/// (spec, `NBD_REPLY_TYPE_BLOCK_STATUS`). They are passed on as they arrive; whoever collects them
/// has [`DEFAULT_STATUS_MEMORY`] for a bound.
pub const MAX_EXTENTS: u32 = 1 << 20;

/// How many bytes of memory the collected answers to block status of one connection may take, unless the caller wants
/// otherwise: those that are coming in, and those that nobody has taken. See
/// [`StatusMemory`](crate::transmission::StatusMemory).
///
/// An extent takes 24 bytes, so an answer of [`MAX_EXTENTS`] takes 24 MiB; five of them fit. While a list grows, its old
/// memory is there beside the new one, which is half as much again at most.
pub const DEFAULT_STATUS_MEMORY: usize = 128 << 20;

/// The maximum payload, in bytes, of a server that names none (spec, *Size constraints*).
pub const DEFAULT_MAX_PAYLOAD: u32 = 1 << 25;

/// Every engine makes progress on an input this long: no message that must be seen whole is longer.
///
/// A driver's receive buffer has to hold at least this many bytes. In a client, the longest such message is a
/// `NBD_REP_SERVER` with name and description: 20 + 4 + 4096 + 4096 bytes. In a server it is an option with
/// [`MAX_OPTION_PAYLOAD`], which takes all of them.
pub const MIN_INPUT_BUFFER: usize = 16 * 1024;

/// The most disjoint pieces in which a structured read may lie at one moment. A server that fills a read in
/// order, or in any order at a sane granularity, stays far below; it bounds memory to 256 KiB a command.
pub const MAX_FRAGMENTS: usize = 16 * 1024;

/// The most error chunks in the reply to one command: one for each sector of the longest read that every server takes,
/// which is more than any has to tell. Only the first is kept; the bound is there because nothing else in a reply can go
/// on for ever: content ends with the range, and each context speaks once.
pub const MAX_ERROR_CHUNKS: u32 = DEFAULT_MAX_PAYLOAD / 512;

/// Bounds on what a server may send while options are haggled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandshakeLimits {
    /// How many replies one option may bring before its final one. Default 65,536.
    pub replies_per_option: u32,
    /// How many bytes all replies of a connection may bring together, headers included. Default 32 MiB.
    ///
    /// Names are kept, each in a string of its own: a server that sends nothing but names of one byte makes a
    /// flow use up to some three times as much memory.
    pub reply_bytes: u64,
}

impl Default for HandshakeLimits {
    fn default() -> Self {
        Self { replies_per_option: 65_536, reply_bytes: 32 << 20 }
    }
}

impl HandshakeLimits {
    /// Sets [`replies_per_option`](Self::replies_per_option).
    #[must_use]
    pub const fn with_replies_per_option(mut self, replies: u32) -> Self {
        self.replies_per_option = replies;
        self
    }

    /// Sets [`reply_bytes`](Self::reply_bytes).
    #[must_use]
    pub const fn with_reply_bytes(mut self, bytes: u64) -> Self {
        self.reply_bytes = bytes;
        self
    }
}

/// The longest option payload, in bytes, that a server looks at: what fits [`MIN_INPUT_BUFFER`] behind the header.
/// Room for a name of 4096 bytes and hundreds of metadata contexts; longer ones are skipped and answered with
/// `NBD_REP_ERR_TOO_BIG`.
pub const MAX_OPTION_PAYLOAD: u32 = MIN_INPUT_BUFFER as u32 - 16;

/// Bounds on what a client may send while options are haggled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerHandshakeLimits {
    /// How many options a client may send on one connection. Default 65,536: enough to ask for three things of
    /// each of twenty thousand exports.
    pub options: u32,
    /// How many bytes of payload of one option are skipped, where it is unknown or too big to be looked at. An
    /// option with more ends the connection. Default 1 MiB.
    pub skipped_payload: u32,
}

impl Default for ServerHandshakeLimits {
    fn default() -> Self {
        Self { options: 65_536, skipped_payload: 1 << 20 }
    }
}

impl ServerHandshakeLimits {
    /// Sets [`options`](Self::options).
    #[must_use]
    pub const fn with_options(mut self, options: u32) -> Self {
        self.options = options;
        self
    }

    /// Sets [`skipped_payload`](Self::skipped_payload).
    #[must_use]
    pub const fn with_skipped_payload(mut self, bytes: u32) -> Self {
        self.skipped_payload = bytes;
        self
    }
}
