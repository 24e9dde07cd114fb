//! Why a backend failed a request, in the protocol's terms.

use std::{fmt, io};

use nbd_proto::wire::number::ErrorValue;
use rustix::io::Errno;

/// Why a [`Backend`](super::Backend) failed a request: what the client is told.
///
/// # From the system's errors
///
/// The protocol has eight error values (spec, *Error values*); this is how the errors of the system become them.
///
/// | system | value |
/// |---|---|
/// | `EPERM`, `EACCES`, `EROFS` | `NBD_EPERM` |
/// | `ENOMEM` | `NBD_ENOMEM` |
/// | `EINVAL`, `EOPNOTSUPP`, `ENOSYS`, `EOVERFLOW` | `NBD_EINVAL` |
/// | `ENOSPC`, `EDQUOT`, `EFBIG` | `NBD_ENOSPC` |
/// | `ESHUTDOWN` | `NBD_ESHUTDOWN` |
/// | anything else | `NBD_EIO` |
///
/// `NBD_ENOTSUP` and `NBD_EOVERFLOW` never come of an error of the system: "The server SHOULD NOT return" them but in
/// answer to one flag each, and a backend that means that makes the failure itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The error number.
    pub error: ErrorValue,
    /// Words for people; may be empty.
    pub message: String,
    /// Where it happened, in bytes from the start of the export, if that is known.
    pub offset: Option<u64>,
}

impl Failure {
    /// An error number with words.
    pub fn new(error: ErrorValue, message: impl Into<String>) -> Self {
        Self { error, message: message.into(), offset: None }
    }

    /// The same, at a place: bytes from the start of the export.
    #[must_use]
    pub fn at(self, offset: u64) -> Self {
        Self { offset: Some(offset), ..self }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.message.is_empty() { self.error.fmt(f) } else { write!(f, "{} ({})", self.error, self.message) }
    }
}

impl std::error::Error for Failure {}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new(value(&error), error.to_string())
    }
}

/// The value for an error of the system, or for one that std made itself.
fn value(error: &io::Error) -> ErrorValue {
    // The two that std knows no kind for.
    match Errno::from_io_error(error) {
        Some(Errno::SHUTDOWN) => return ErrorValue::ESHUTDOWN,
        Some(Errno::OVERFLOW) => return ErrorValue::EINVAL,
        _ => {}
    }
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorValue::EPERM,
        io::ErrorKind::OutOfMemory => ErrorValue::ENOMEM,
        io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported => ErrorValue::EINVAL,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => ErrorValue::ENOSPC,
        _ => ErrorValue::EIO,
    }
}
