//! What can go wrong between a caller and a server.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use nbd_proto::error::{CommandError, Refused};
use nbd_proto::resume::{Broken, Differs};
use nbd_proto::uri::UriError;

/// Why an operation failed. The message is one line and says what was tried.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address is no NBD URI.
    #[error("{0}")]
    Uri(#[from] UriError),
    /// The address asks for something that this crate cannot do.
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
    #[error("{step}: nothing came within {}", seconds(*.after))]
    Timeout {
        /// What was waited for.
        step: String,
        /// For how long.
        after: Duration,
    },
    /// The connection is over.
    #[error(transparent)]
    Connection(#[from] nbd_proto::error::Error),
    /// The command failed; the connection goes on.
    #[error(transparent)]
    Command(CommandError),
    /// The command was not sent.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The connection was lost, and could not be made again.
    #[error(
        "the connection was lost ({loss}), and {attempts} attempts in {} did not restore it: {last}",
        seconds(*.after)
    )]
    NotRestored {
        /// How it was lost.
        loss: Arc<Error>,
        /// How many attempts were made.
        attempts: u32,
        /// For how long.
        after: Duration,
        /// How the last of them failed.
        last: Arc<Error>,
    },
    /// The connection was lost, and the new one is not to the same export.
    #[error("the connection was lost, and on the new one the export is another: {0}")]
    Changed(Differs),
    /// The connection was lost, and what had succeeded before cannot be done again.
    #[error(transparent)]
    Broken(Broken),
    /// In a server: two exports have the same name, so that clients could not tell them apart.
    #[error("there are two exports named \"{}\"", nbd_proto::text::Escaped(.name))]
    DuplicateExport {
        /// Their name.
        name: String,
    },
    /// There is no such metadata context on this connection.
    #[error("metadata context \"{}\" was not selected on this connection", nbd_proto::text::Escaped(.name))]
    NoSuchContext {
        /// Its name.
        name: String,
    },
}

impl From<CommandError> for Error {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Connection(error) => Self::Connection(error),
            error => Self::Command(error),
        }
    }
}

impl Error {
    pub(crate) fn io(step: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Io { step: step.into(), source: source.into() }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Io { source, .. } if source.raw_os_error().is_some() => source,
            Error::Timeout { .. } => Self::new(io::ErrorKind::TimedOut, error),
            Error::Refused(_) | Error::Uri(_) => Self::new(io::ErrorKind::InvalidInput, error),
            error => Self::other(error),
        }
    }
}

/// A duration for people.
pub(crate) fn seconds(duration: Duration) -> String {
    if duration.as_millis() % 1000 == 0 {
        format!("{} s", duration.as_secs())
    } else {
        format!("{} ms", duration.as_millis())
    }
}
