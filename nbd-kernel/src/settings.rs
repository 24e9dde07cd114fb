//! What both interfaces are told of a device.

use nbd_proto::wire::flags::TransmissionFlags;

use crate::geometry::Geometry;

/// What the kernel is to be told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) geometry: Geometry,
    /// In seconds, 0 for none.
    pub(crate) timeout: u64,
    pub(crate) flags: TransmissionFlags,
}
