//! Block size and size, as the kernel can take them.

use crate::export::Export;

/// The kernel's own smallest block in bytes, and the unit that it counts a disk in.
pub const SECTOR: u32 = 512;

/// The largest block in bytes that any kernel takes. Before Linux 6.15 it is the page size.
pub(crate) const LARGEST_BLOCK: u32 = 65_536;

/// The least that a server must take in one request: the kernel never asks for less than a page at most.
const SMALLEST_PAYLOAD: u32 = 4096;

/// What the kernel is told of an export's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Geometry {
    /// The device's logical and physical block size in bytes: a power of two, 512 or more.
    pub block_size: u32,
    /// The device's size in bytes: a multiple of the block size.
    pub size: u64,
    /// Bytes at the export's end that fill no block and cannot be reached through the device.
    pub unreachable: u64,
}

/// Why an export cannot be a block device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadGeometry {
    /// The wanted block size is no power of two from 512 on.
    #[error("the block size {0} is no power of two from 512 on")]
    NotABlockSize(u32),
    /// The wanted block size is below the server's minimum.
    #[error("the block size {wanted} is below the server's minimum of {minimum}")]
    BelowMinimum {
        /// What was wanted.
        wanted: u32,
        /// What the server demands.
        minimum: u32,
    },
    /// The block size is more than this kernel takes.
    #[error("a block size of {wanted} bytes is needed, and this kernel takes at most {largest}")]
    AboveKernel {
        /// What the server or the caller wants.
        wanted: u32,
        /// What the kernel takes.
        largest: u32,
    },
    /// The size in bytes does not fit into the kernel's type.
    #[error("the export has {0} bytes, which is too large: the kernel takes at most 9223372036854775807")]
    TooLarge(u64),
    /// There is not even one block.
    #[error("the export has {size} bytes, which is less than one block of {block_size}: there is nothing to attach")]
    Empty {
        /// The export's size in bytes.
        size: u64,
        /// The block size in bytes.
        block_size: u32,
    },
    /// The server takes less at once than the kernel's smallest request.
    #[error("the server takes at most {0} bytes in one request, and the kernel needs 4096")]
    PayloadTooSmall(u32),
}

impl Geometry {
    /// Works it out. Without a wanted block size it is the larger of 512 and the server's minimum; it is never left to
    /// the kernel, whose default fits neither. `largest_block` is what this kernel takes.
    pub(crate) fn new(export: &Export, wanted: Option<u32>, largest_block: u32) -> Result<Self, BadGeometry> {
        let block_size = wanted.unwrap_or(export.minimum_block.max(SECTOR));
        if !block_size.is_power_of_two() || block_size < SECTOR {
            return Err(BadGeometry::NotABlockSize(block_size));
        }
        if block_size < export.minimum_block {
            return Err(BadGeometry::BelowMinimum { wanted: block_size, minimum: export.minimum_block });
        }
        if block_size > largest_block {
            return Err(BadGeometry::AboveKernel { wanted: block_size, largest: largest_block });
        }
        if export.maximum_payload < SMALLEST_PAYLOAD.max(block_size) {
            return Err(BadGeometry::PayloadTooSmall(export.maximum_payload));
        }
        Self::of_size(export.size, block_size)
    }

    /// The same for a block size that is settled.
    pub(crate) fn of_size(size: u64, block_size: u32) -> Result<Self, BadGeometry> {
        if i64::try_from(size).is_err() {
            return Err(BadGeometry::TooLarge(size));
        }
        let unreachable = size % u64::from(block_size);
        if size == unreachable {
            return Err(BadGeometry::Empty { size, block_size });
        }
        Ok(Self { block_size, size: size - unreachable, unreachable })
    }

    /// The size in blocks.
    pub(crate) fn blocks(self) -> u64 {
        self.size / u64::from(self.block_size)
    }
}
