//! Going on after a lost connection: what has to be sent again, in which order, and whether the export is the same.
//!
//! A connection that is lost leaves two kinds of doubt. A command in flight may have had its effect or not; and a
//! write that was answered may be gone, since a server need not keep it before a `FLUSH` ("the server MUST NOT send a
//! success reply header for this request before all write requests for which a reply has already been sent to the
//! client have reached permanent storage", spec, `NBD_CMD_FLUSH`). A [`Journal`] remembers both, and settles both on the
//! next connection by sending them again. Like the engines, it has no socket, no clock and no payload: it says which
//! command is to be sent next, and how long the bytes of a write have to be kept.
//!
//! ```text
//!             submit                next_to_send                 done (success)
//!   caller ──────────▶ ready, or held ────────▶ on the connection ───────────────▶ told to the caller
//!                          ▲      ▲                     │                               │
//!                          │      └──── lost ───────────┘                               │ changes that no flush covers
//!                          │                                                            ▼
//!                          │ lost: before all others, in their order                   kept ──▶ released, by a flush
//!                          └────────────────────────────────────────────────────────────┘
//! ```
//!
//! # What holds
//!
//! - Each command that was submitted is told to the caller exactly once, as a success only if the server said so.
//! - Of two changes whose ranges overlap, the one that was submitted first is done first, on every connection.
//! - Once the caller has seen an effect, it stays: what is on the disk again after a loss holds all changes that were
//!   told, in their order, before anything else is sent; and a read waits for changes before it that may have had an
//!   effect on a connection that is gone.
//! - What was written through (FUA) stays: the journal flushes before it where it would lie over a change that is kept,
//!   so that nothing is ever sent again below it.
//! - A flush succeeds only if each change that was told before it was submitted had been done, or done again, on the
//!   connection that flushed.
//!
//! # What is assumed
//!
//! A server that has lost a connection lets go of what came on it before it carries out anything of the next. One that
//! was restarted does. One that goes on could, in principle, be held up with a write of the old connection and carry it
//! out behind a later one of the new, and the protocol has nothing to forbid it. So a time-out of requests should be
//! longer than the server's storage may take.
//!
//! Others who write to the same export at the same time may see a change undone and done again.
//!
//! A server that offers no `FLUSH` never says what is safe. Then nothing is kept, and a change that was told may be
//! lost with the server's memory, as it may without all this.

mod entry;
mod journal;
mod same;

pub use entry::EntryId;
pub use journal::{Broken, End, Journal, JournalSettings};
pub use same::{Differs, same_export};
