//! How a client ends that could go on after a loss.

use std::sync::Arc;
use std::time::Duration;

use nbd_proto::error::{Refused, Unavailable};
use nbd_proto::resume::{Broken, Differs};
use nbd_proto::wire::number::ReplyType;

use crate::error::Error;

/// Why nothing more is sent. Everybody is told the same.
#[derive(Clone, Debug)]
pub(crate) enum Fate {
    /// By the caller.
    Closed,
    /// The server does not keep to the protocol.
    Misbehaved(nbd_proto::error::Error),
    NotRestored {
        loss: Arc<Error>,
        attempts: u32,
        after: Duration,
        last: Arc<Error>,
    },
    Changed(Differs),
    Broken(Broken),
}

impl From<Fate> for Error {
    fn from(fate: Fate) -> Self {
        match fate {
            Fate::Closed => Refused::Closed.into(),
            Fate::Misbehaved(error) => error.into(),
            Fate::NotRestored { loss, attempts, after, last } => Self::NotRestored { loss, attempts, after, last },
            Fate::Changed(differs) => Self::Changed(differs),
            Fate::Broken(broken) => Self::Broken(broken),
        }
    }
}

/// Whether it may be otherwise on a new connection, or later.
pub(crate) fn may_pass(error: &Error) -> bool {
    match error {
        Error::Io { .. } | Error::Timeout { .. } => true,
        Error::Connection(nbd_proto::error::Error::Ended(_)) => true,
        Error::Connection(nbd_proto::error::Error::Unavailable(Unavailable::Refused(refusal))) => {
            refusal.reply == ReplyType::ERR_SHUTDOWN
        }
        _ => false,
    }
}
