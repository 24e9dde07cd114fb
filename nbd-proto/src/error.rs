//! The error vocabulary, split by who is at fault.
//!
//! | type | whose fault | the connection |
//! |---|---|---|
//! | [`InvalidMessage`] | the peer sent bytes that are no message of the protocol | is over |
//! | [`PeerMisbehaved`] | the peer sent a sound message where it may not stand | is over |
//! | [`Unavailable`] | nobody's: the server cannot give what was asked for | is over (haggling ended) |
//! | [`Ended`] | the stream ended, or its driver gave it up | is over |
//! | [`Refused`] | the caller's: a local limit, or a request the protocol forbids | goes on |
//! | [`CommandError`] | one command failed | goes on, unless it says otherwise |
//!
//! [`Error`] joins the first four. It can be cloned, because a fatal error is given again at every later call.

mod local;
mod message;
mod misbehaved;
mod unavailable;

pub use local::{CommandError, Refused, ServerError};
pub use message::{Expected, Field, InvalidMessage, Message};
pub use misbehaved::PeerMisbehaved;
pub use unavailable::{Refusal, TlsUnavailable, Unavailable};

use alloc::string::String;
use thiserror::Error as ThisError;

use crate::text::Escaped;

/// Why a connection is over.
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum Error {
    /// The peer sent bytes that are no message of the protocol.
    #[error("the other side does not speak NBD correctly: {0}")]
    InvalidMessage(#[from] InvalidMessage),
    /// The peer broke a rule of the protocol.
    #[error("the other side broke the NBD protocol: {0}")]
    PeerMisbehaved(#[from] PeerMisbehaved),
    /// The server cannot give what was asked for. In a server: will not, and has no other way to say so.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The stream ended.
    #[error(transparent)]
    Ended(#[from] Ended),
}

/// How a stream ended.
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum Ended {
    /// The other side hung up between messages (T3).
    #[error("the other side closed the connection while {awaiting} was awaited")]
    AtBoundary {
        /// What would have come next.
        awaiting: &'static str,
    },
    /// The other side hung up in the middle of a message (T3).
    #[error("the other side closed the connection in the middle of {within}")]
    InMessage {
        /// What was cut short.
        within: &'static str,
    },
    /// A soft disconnect.
    #[error("the connection was closed by this side")]
    ByUs,
    /// The driver gave the connection up, and says why.
    #[error("{}", Escaped(.reason))]
    GivenUp {
        /// The driver's words, for example a system error or a time-out.
        reason: String,
    },
}

/// Keeps the list of variants whole by which `tests/errors` provokes each of them. Elsewhere these enums, which may grow,
/// cannot be matched on exhaustively.
#[cfg(test)]
mod variants {
    use super::{CommandError, Ended, Error, InvalidMessage, PeerMisbehaved, Refused, TlsUnavailable, Unavailable};
    use crate::resume::{Broken, Differs};
    use crate::uri::UriError;

    macro_rules! variants {
        ($($error:ident { $($variant:ident),+ })+) => {
            $(const _: fn(&$error) = |error| match error {
                $($error::$variant { .. } => {})+
            };)+
        };
    }
    include!("../tests/errors/variants.rs");
}
