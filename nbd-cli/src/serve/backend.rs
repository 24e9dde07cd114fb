//! What `BACKEND` on the command line may be.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::anyhow;
use nbd_driver_std::backend::{Backend, Failure, FileBackend, FileOptions, Memory, Null};
use nbd_driver_std::server::Export;
use nbd_proto::limits::MAX_STRING;
use nbd_proto::text::Escaped;

use crate::{report, size};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BackendSpec {
    Memory(u64),
    File(PathBuf),
    Null(u64),
}

/// `NAME=BACKEND`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamedSpec {
    pub(crate) name: String,
    pub(crate) backend: BackendSpec,
}

impl BackendSpec {
    pub(crate) fn parse(text: &OsStr) -> Result<Self, String> {
        if let Some(path) = text.as_bytes().strip_prefix(b"file:") {
            if path.is_empty() {
                return Err("expected a path behind file:".to_owned());
            }
            return Ok(Self::File(OsStr::from_bytes(path).into()));
        }
        match text.to_str().and_then(|text| text.split_once(':')) {
            Some(("memory", size)) => size::disk(size).map(Self::Memory),
            Some(("null", size)) => size::disk(size).map(Self::Null),
            _ => Err(wrong_kind(text)),
        }
    }

    /// An export of it. A file is opened once, so that what is wrong with it shows before the first client comes; after
    /// that, each connection opens it anew.
    pub(crate) fn export(&self, name: &str, read_only: bool) -> anyhow::Result<Export> {
        let export = match self {
            Self::Memory(size) => Export::shared(name, Arc::new(Memory::new(*size))),
            Self::Null(size) => Export::shared(name, Arc::new(Null::new(*size))),
            Self::File(path) => {
                // The directory of work stays as it is, so a relative path does, too.
                let owned = path.clone();
                let open = move || FileBackend::open(&owned, FileOptions { read_only });
                open().map_err(|error| unusable(path, &error))?;
                Export::opened_by(name, move || {
                    let backend: Arc<dyn Backend> = Arc::new(open().map_err(Failure::from)?);
                    Ok(backend)
                })
            }
        };
        Ok(export.read_only(read_only))
    }
}

impl NamedSpec {
    pub(crate) fn parse(text: &OsStr) -> Result<Self, String> {
        let bytes = text.as_bytes();
        let Some(at) = bytes.iter().position(|byte| *byte == b'=') else {
            return Err("expected NAME=BACKEND, such as disk=memory:1G".to_owned());
        };
        let name = std::str::from_utf8(&bytes[..at]).map_err(|_| "the name is not UTF-8".to_owned())?;
        if name.len() > MAX_STRING {
            return Err(format!("the name has {} bytes, and the protocol takes {MAX_STRING}", name.len()));
        }
        let rest = OsStr::from_bytes(&bytes[at + 1..]);
        let hint = if rest.as_bytes().contains(&b'=') { "; the name ends at the first =" } else { "" };
        let backend = BackendSpec::parse(rest).map_err(|error| error + hint)?;
        Ok(Self { name: name.to_owned(), backend })
    }
}

/// What is wrong with a file, and what to do about it.
fn unusable(path: &Path, error: &io::Error) -> anyhow::Error {
    let typed = typed(path);
    let path = shown(path);
    match (error.kind(), typed) {
        (io::ErrorKind::NotFound, Some(typed)) => {
            anyhow!("file:{path}: {error}; `truncate -s 1G {typed}` makes an empty disk of 1 GiB")
        }
        (io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem, _) => {
            anyhow!("file:{path}: {error}; --read-only needs no permission to write")
        }
        _ => anyhow!("file:{path}: {error}"),
    }
}

/// Most probably a file is meant, or a size.
fn wrong_kind(text: &OsStr) -> String {
    let expected = "expected memory:SIZE, file:PATH, or null:SIZE";
    let shown = shown(Path::new(text));
    if text.to_str().is_some_and(|text| size::disk(text).is_ok()) {
        format!("{expected}; do you mean memory:{shown}?")
    } else if Path::new(text).exists() || text.as_bytes().contains(&b'/') {
        format!("{expected}; do you mean file:{shown}?")
    } else {
        expected.to_owned()
    }
}

/// A path as it is typed in a shell; `None` if that would not be plain text.
fn typed(path: &Path) -> Option<String> {
    let path = path.to_str().filter(|path| report::one_line(path) == **path)?;
    // What begins like an option would be taken for one.
    let here = if path.starts_with('-') { "./" } else { "" };
    let plain = |c: char| c.is_alphanumeric() || "/._-+,:@%".contains(c);
    if path.chars().all(plain) {
        return Some(format!("{here}{path}"));
    }
    Some(format!("{here}'{}'", path.replace('\'', r"'\''")))
}

fn shown(path: &Path) -> String {
    Escaped(&path.to_string_lossy()).to_string()
}

#[cfg(test)]
mod tests {
    use super::{BackendSpec, NamedSpec};

    #[test]
    fn there_are_three_kinds() {
        for (text, backend) in [
            ("memory:1M", BackendSpec::Memory(1 << 20)),
            ("memory:0", BackendSpec::Memory(0)),
            ("null:8388607T", BackendSpec::Null(8_388_607 << 40)),
            ("file:disk.img", BackendSpec::File("disk.img".into())),
            ("file:/a:b=c d", BackendSpec::File("/a:b=c d".into())),
            ("file:memory:1M", BackendSpec::File("memory:1M".into())),
        ] {
            assert_eq!(BackendSpec::parse(text.as_ref()), Ok(backend), "{text}");
        }
    }

    #[test]
    fn anything_else_is_told_what_it_might_be() {
        for (text, says) in [
            ("", "expected memory:SIZE"),
            ("disk", "expected memory:SIZE"),
            ("nothing:1", "expected memory:SIZE"),
            ("MEMORY:1M", "expected memory:SIZE"),
            ("memory", "expected memory:SIZE"),
            ("memory:", "a number of bytes"),
            ("memory:-1", "a number of bytes"),
            ("null:8388608T", "at most 9223372036854775807"),
            ("file:", "expected a path"),
            ("64M", "do you mean memory:64M?"),
            ("/dev/null", "do you mean file:/dev/null?"),
            ("some/where", "do you mean file:some/where?"),
            ("/a\u{1b}[2J", "file:/a\\u{1b}[2J?"),
        ] {
            let error = BackendSpec::parse(text.as_ref()).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn a_name_ends_at_the_first_equals_sign() {
        let named = NamedSpec::parse("a b=file:c=d".as_ref()).unwrap();
        assert_eq!(named, NamedSpec { name: "a b".into(), backend: BackendSpec::File("c=d".into()) });
        assert_eq!(NamedSpec::parse("=memory:1".as_ref()).unwrap().name, "");
        for wrong in ["disk", "disk=", "disk=1M:", &format!("{}=memory:1", "x".repeat(4097))] {
            assert!(NamedSpec::parse(wrong.as_ref()).is_err(), "{wrong}");
        }
    }
}
