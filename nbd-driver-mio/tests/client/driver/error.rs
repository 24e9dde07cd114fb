//! Errors by the names that the shared tests know.

use std::io;
use std::time::Duration;

use nbd_driver_mio::Rejection;
use nbd_driver_mio::nbd_proto::error::{CommandError, Error as Over, Refused};
use nbd_driver_mio::nbd_proto::uri::UriError;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Uri(#[from] UriError),
    #[error("{0}")]
    Unsupported(&'static str),
    #[error("{step}: {source}")]
    Io { step: String, source: io::Error },
    #[error("{step}: nothing came within {} ms", .after.as_millis())]
    Timeout { step: String, after: Duration },
    #[error(transparent)]
    Connection(#[from] Over),
    #[error(transparent)]
    Command(CommandError),
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("metadata context {name:?} was not selected")]
    NoSuchContext { name: String },
    #[error("the buffers in flight would be more than {limit} bytes")]
    Bytes { limit: usize },
    #[error("{0}")]
    Other(String),
}

impl Error {
    /// What the driver says of an attempt to reach somebody, whom it does not know by name.
    pub(super) fn reaching(peer: &str, error: nbd_driver_mio::Error) -> Self {
        match error {
            nbd_driver_mio::Error::Io { step, source } => Self::Io { step: format!("{step} ({peer})"), source },
            nbd_driver_mio::Error::Timeout { step, after } => Self::Timeout { step: format!("{step} ({peer})"), after },
            nbd_driver_mio::Error::Unsupported(what) => Self::Unsupported(what),
            nbd_driver_mio::Error::Connection(error) => Self::Connection(error),
            nbd_driver_mio::Error::Refused(refused) => Self::Refused(refused),
            error => Self::Other(error.to_string()),
        }
    }
}

impl From<CommandError> for Error {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Connection(error) => Self::Connection(error),
            error => Self::Command(error),
        }
    }
}

impl From<Rejection> for Error {
    fn from(why: Rejection) -> Self {
        match why {
            Rejection::TooManyRequests { limit } => Self::Refused(Refused::QueueFull { limit }),
            Rejection::TooManyBytes { limit } => Self::Bytes { limit },
            Rejection::Refused(refused) => Self::Refused(refused),
            Rejection::Over(error) => Self::Connection(error),
            Rejection::Buffer(what) => Self::Unsupported(what),
            why => Self::Other(why.to_string()),
        }
    }
}
