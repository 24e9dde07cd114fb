//! What a server cannot or will not give.

use alloc::string::String;
use core::fmt;
use thiserror::Error as ThisError;

use crate::text::Escaped;
use crate::wire::number::{OptionCode, ReplyType};

/// Why the haggling ended although nobody broke the protocol.
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum Unavailable {
    /// The server refused an option without which there is no going on (R4).
    #[error(transparent)]
    Refused(Refusal),
    /// TLS is required, and the other side does not do it (H6, H7); or, in a server, the handshake's own style knows
    /// none.
    #[error("TLS is required, but {0}; nothing was sent in clear")]
    Tls(TlsUnavailable),
    /// The server wants TLS, and we are not to use it.
    #[error("{0}; connect to it with TLS")]
    ServerRequiresTls(Refusal),
    /// The export is not in the server's list (O7).
    #[error("the server has no export named \"{}\" (it lists {listed})", Escaped(.name))]
    NoSuchExport {
        /// The name asked for.
        name: String,
        /// How many exports it lists.
        listed: usize,
    },
    /// A name was given to an oldstyle server, which has but one, nameless export (H5).
    #[error("the server is oldstyle and has one export without a name, so \"{}\" cannot be asked for", Escaped(.name))]
    ExportNameOnOldstyle {
        /// The name.
        name: String,
    },
    /// A list was wanted from a server that cannot be asked (F3).
    #[error("the server's handshake is newstyle but not fixed, which knows no way to list exports")]
    CannotList,
    /// In a server: a client was refused where hanging up is the only way to say so, with `EXPORT_NAME` and to
    /// an oldstyle client.
    #[error("the client was turned away from export \"{}\": {reply}{}", Escaped(.name), reason(.message))]
    TurnedAway {
        /// The name that was asked for.
        name: String,
        /// What `GO` would have been answered.
        reply: ReplyType,
        /// The server's own words; may be empty.
        message: String,
    },
    /// The server hung up on `EXPORT_NAME`, the only way it has to say no.
    #[error("the server closed the connection when asked for export \"{}\"; it may have none of that name", Escaped(.name))]
    ExportNameRejected {
        /// The name.
        name: String,
    },
}

fn reason(message: &str) -> String {
    if message.is_empty() { String::new() } else { alloc::format!(" ({})", Escaped(message)) }
}

/// Why TLS cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum TlsUnavailable {
    /// The handshake is oldstyle.
    #[error("the server's handshake is oldstyle, which knows no TLS")]
    Oldstyle,
    /// The handshake is newstyle, but not fixed.
    #[error("the server's handshake is newstyle but not fixed, which knows no TLS")]
    NotFixed,
    /// In a server: the client did not answer the greeting with `FIXED_NEWSTYLE`, and without that flag of both sides
    /// there is no TLS (spec, *Server-side requirements*).
    #[error("the client does not speak fixed newstyle, which TLS needs")]
    ClientNotFixed,
    /// The server said no.
    #[error("{0}")]
    Refused(Refusal),
}

/// An error reply to an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What was asked.
    pub option: OptionCode,
    /// What was answered; bit 31 is set.
    pub reply: ReplyType,
    /// The server's own words; may be empty. Not escaped: [`Display`](fmt::Display) does that.
    pub message: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let option = self.option;
        match self.reply {
            ReplyType::ERR_UNSUP => write!(f, "the server does not know {option}")?,
            ReplyType::ERR_POLICY => write!(f, "the server's policy denies {option}")?,
            ReplyType::ERR_INVALID => write!(f, "the server finds the parameters of {option} invalid")?,
            ReplyType::ERR_PLATFORM => write!(f, "the server's platform does not support {option}")?,
            ReplyType::ERR_TLS_REQD => write!(f, "the server wants TLS before {option}")?,
            ReplyType::ERR_UNKNOWN => write!(f, "the server has no such export ({option})")?,
            ReplyType::ERR_SHUTDOWN => write!(f, "the server is shutting down and denies {option}")?,
            ReplyType::ERR_BLOCK_SIZE_REQD => {
                write!(f, "the server wants block sizes to be asked for in {option}")?;
            }
            ReplyType::ERR_TOO_BIG => write!(f, "the server finds {option}, or its answer, too big")?,
            ReplyType::ERR_EXT_HEADER_REQD => write!(f, "the server wants extended headers before {option}")?,
            reply => write!(f, "the server failed {option} with {reply}, which nobody knows")?,
        }
        if self.message.is_empty() { Ok(()) } else { write!(f, ": {}", Escaped(&self.message)) }
    }
}

impl core::error::Error for Refusal {}
