//! An export in memory, of any size: what lies behind the bytes that there are reads as zeroes, and drops what is
//! written.

use alloc::vec;
use alloc::vec::Vec;

use crate::transmission::ReadPart;
use crate::wire::chunk::Descriptor;
use crate::wire::flags::AllocationFlags;

/// How many bytes there are, at most.
const KEPT: usize = 4 * 1024;

/// The granularity of holes.
const BLOCK: usize = 64;

#[derive(Clone, Debug, PartialEq)]
pub(in crate::fuzzing) struct Disk {
    pub(in crate::fuzzing) size: u64,
    bytes: Vec<u8>,
}

impl Disk {
    pub(in crate::fuzzing) fn new(size: u64) -> Self {
        let kept = size.min(KEPT as u64) as usize;
        let full = |at: usize| if at % 1024 < 640 { at as u8 | 1 } else { 0 };
        Self { size, bytes: (0..kept).map(full).collect() }
    }

    fn kept(&self, offset: u64, length: u64) -> core::ops::Range<usize> {
        let end = offset.checked_add(length).filter(|end| *end <= self.size);
        let Some(end) = end else { unreachable!("{offset} and {length} more are not within the export") };
        let clip = |at: u64| at.min(self.bytes.len() as u64) as usize;
        clip(offset)..clip(end)
    }

    pub(in crate::fuzzing) fn read(&self, offset: u64, length: u64) -> Vec<u8> {
        let mut data = vec![0; length as usize];
        let kept = &self.bytes[self.kept(offset, length)];
        data[..kept.len()].copy_from_slice(kept);
        data
    }

    pub(in crate::fuzzing) fn write(&mut self, offset: u64, data: &[u8]) {
        let range = self.kept(offset, data.len() as u64);
        let kept = &data[..range.len()];
        self.bytes[range].copy_from_slice(kept);
    }

    pub(in crate::fuzzing) fn zero(&mut self, offset: u64, length: u64) {
        let range = self.kept(offset, length);
        self.bytes[range].fill(0);
    }

    /// What is to be told from an offset on.
    pub(in crate::fuzzing) fn extents(&self, offset: u64, minimum: u32) -> Vec<Descriptor> {
        let empty = (AllocationFlags::HOLE | AllocationFlags::ZERO).bits();
        let at = offset.min(self.bytes.len() as u64) as usize;
        let mut extents: Vec<_> = parts(&self.bytes[at..], BLOCK.max(minimum as usize))
            .iter()
            .map(|part| match *part {
                ReadPart::Data(length) => Descriptor { length, flags: 0 },
                ReadPart::Hole(length) => Descriptor { length, flags: empty },
            })
            .collect();
        let behind = self.size - offset.max(self.bytes.len() as u64);
        if behind > 0 {
            extents.push(Descriptor { length: behind, flags: empty });
        }
        extents
    }
}

/// Data and holes of a piece of the export, block by block.
pub(super) fn read_parts(data: &[u8]) -> Vec<ReadPart> {
    parts(data, BLOCK)
}

fn parts(data: &[u8], size: usize) -> Vec<ReadPart> {
    let mut parts: Vec<ReadPart> = Vec::new();
    for block in data.chunks(size) {
        let (empty, count) = (block.iter().all(|byte| *byte == 0), block.len() as u64);
        match parts.last_mut() {
            Some(ReadPart::Hole(length)) if empty => *length += count,
            Some(ReadPart::Data(length)) if !empty => *length += count,
            _ => parts.push(if empty { ReadPart::Hole(count) } else { ReadPart::Data(count) }),
        }
    }
    parts
}
