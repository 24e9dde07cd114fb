//! What the user may name as source or destination.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use nbd_proto::uri::NbdUri;

#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// As it was given; it may still be wrong.
    Uri(String),
    Path(PathBuf),
    /// `-`
    Standard,
    /// `null:`
    Null,
}

impl From<OsString> for Place {
    fn from(text: OsString) -> Self {
        match text.to_str() {
            Some("-") => Self::Standard,
            Some("null:") => Self::Null,
            Some(uri) if NbdUri::has_nbd_scheme(uri) => Self::Uri(uri.to_owned()),
            _ => Self::Path(text.into()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uri(uri) => f.write_str(uri),
            Self::Path(path) => path.display().fmt(f),
            Self::Standard => f.write_str("-"),
            Self::Null => f.write_str("null:"),
        }
    }
}

/// What tells one file, or one device, from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    File { device: u64, inode: u64 },
    Device { number: u64 },
}

/// `None` where nothing is there yet, or something without contents of its own, such as a pipe.
pub(crate) fn identity(path: &Path) -> Option<Identity> {
    identity_of(&path.metadata().ok()?)
}

pub(crate) fn identity_of(metadata: &std::fs::Metadata) -> Option<Identity> {
    if metadata.is_file() {
        Some(Identity::File { device: metadata.dev(), inode: metadata.ino() })
    } else if metadata.file_type().is_block_device() {
        Some(Identity::Device { number: metadata.rdev() })
    } else {
        None
    }
}
