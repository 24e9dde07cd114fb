//! What can go wrong before a connection is in its transmission phase.

use std::fmt;
use std::io;
use std::time::Duration;

/// Why a connection was not made. The message is one line and says what was tried.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address, or the other side, asks for something that this crate cannot do.
    #[error("{0}")]
    Unsupported(&'static str),
    /// A system call failed.
    #[error("{step}: {source}")]
    Io {
        /// What was tried.
        step: String,
        /// What the system says.
        source: io::Error,
    },
    /// The other side did not answer in time.
    #[error("{step}: nothing came within {}", Seconds(*.after))]
    Timeout {
        /// What was waited for.
        step: &'static str,
        /// For how long.
        after: Duration,
    },
    /// The handshake failed.
    #[error(transparent)]
    Connection(#[from] nbd_proto::error::Error),
    /// It is not the time for that: what was asked awaits no such answer.
    #[error(transparent)]
    Refused(#[from] nbd_proto::error::Refused),
}

impl Error {
    pub(crate) fn io(step: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Io { step: step.into(), source: source.into() }
    }
}

/// A duration for people.
pub(crate) struct Seconds(pub(crate) Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.subsec_millis() == 0 {
            write!(f, "{} s", self.0.as_secs())
        } else {
            write!(f, "{} ms", self.0.as_millis())
        }
    }
}
