//! Which of the kernel's devices.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// N in `/dev/nbdN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(pub u32);

/// The text names no such device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{}\" is no NBD device: expected /dev/nbdN, nbdN or N", nbd_proto::text::Escaped(&.0.to_string_lossy()))]
pub struct NotADevice(pub OsString);

impl DeviceId {
    /// The node, `/dev/nbdN`.
    pub fn path(self) -> PathBuf {
        PathBuf::from(self.to_string())
    }

    /// The name alone, `nbdN`.
    pub fn name(self) -> String {
        format!("nbd{}", self.0)
    }

    /// Reads `/dev/nbdN`, `nbdN` or `N`.
    pub fn parse(text: &OsStr) -> Result<Self, NotADevice> {
        let name = match text.as_bytes().strip_prefix(b"/dev/") {
            Some(name) => name.strip_prefix(b"nbd"),
            None => text.as_bytes().strip_prefix(b"nbd").or(Some(text.as_bytes())),
        };
        name.filter(|digits| digits.iter().all(u8::is_ascii_digit) && (digits == b"0" || !digits.starts_with(b"0")))
            .and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok())
            .map(Self)
            .ok_or_else(|| NotADevice(text.to_owned()))
    }

    /// The device whose node, or a link to it, this path is.
    pub fn of_path(path: &Path) -> Result<Self, NotADevice> {
        Self::parse(path.as_os_str()).or_else(|error| {
            let real = path.canonicalize().map_err(|_| error)?;
            Self::parse(real.as_os_str())
        })
    }
}

impl FromStr for DeviceId {
    type Err = NotADevice;

    fn from_str(text: &str) -> Result<Self, NotADevice> {
        Self::parse(OsStr::new(text))
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/dev/nbd{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::DeviceId;

    #[test]
    fn a_device_has_three_names() {
        for text in ["/dev/nbd12", "nbd12", "12"] {
            assert_eq!(text.parse(), Ok(DeviceId(12)), "{text}");
        }
        assert_eq!(DeviceId(0).to_string(), "/dev/nbd0");
    }

    #[test]
    fn partitions_and_other_devices_are_no_device() {
        for text in ["", "nbd", "/dev/nbd", "/dev/12", "/dev/nbd0p1", "/dev/sda", "nbd01", "-1", "+1", "4294967296"] {
            assert!(text.parse::<DeviceId>().is_err(), "{text}");
        }
    }
}
