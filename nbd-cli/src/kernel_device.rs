//! A kernel's device on the command line.

use std::path::Path;

use clap::builder::{OsStringValueParser, TypedValueParser};
use nbd_kernel::DeviceId;

/// `/dev/nbd0`, `nbd0`, `0`, or a link to it.
pub(crate) fn parser() -> impl TypedValueParser<Value = DeviceId> {
    OsStringValueParser::new().try_map(|text| DeviceId::of_path(Path::new(&text)))
}
