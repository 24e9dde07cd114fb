//! An export in memory, of any size: what lies behind the bytes that there are reads as zeroes, and drops what is
//! written.

use alloc::vec;
use alloc::vec::Vec;

use crate::transmission::ReadPart;
use crate::wire::chunk::Descriptor;
use crate::wire::flags::AllocationFlags;

/// How many bytes there are, at most.
const KEPT: usize = 1024;

/// The granularity of holes.
const BLOCK: usize = 64;

/// Some data, a hole, some data, a hole.
const FULL: [u8; KEPT] = {
    let (mut bytes, mut at) = ([0; KEPT], 0);
    while at < KEPT {
        if at % 512 < 320 {
            bytes[at] = at as u8 | 1;
        }
        at += 1;
    }
    bytes
};

const EMPTY: [u8; KEPT] = [0; KEPT];

#[derive(Clone, Debug, PartialEq)]
pub(in crate::fuzzing) struct Disk {
    pub(in crate::fuzzing) size: u64,
    bytes: Vec<u8>,
}

impl Disk {
    pub(in crate::fuzzing) fn new(size: u64) -> Self {
        let kept = size.min(KEPT as u64) as usize;
        Self { size, bytes: FULL[..kept].to_vec() }
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

    /// What a read of that range is answered with.
    pub(super) fn read_parts(&self, offset: u64, length: u64) -> Vec<ReadPart> {
        let range = self.kept(offset, length);
        let behind = length - range.len() as u64;
        let mut parts = parts(&self.bytes[range], BLOCK);
        if behind > 0 {
            parts.push(ReadPart::Hole(behind));
        }
        parts
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
        let told = |part: &ReadPart| match *part {
            ReadPart::Data(length) => Descriptor { length, flags: 0 },
            ReadPart::Hole(length) => Descriptor { length, flags: empty },
        };
        let mut extents: Vec<_> = parts(&self.bytes[at..], BLOCK.max(minimum as usize)).iter().map(told).collect();
        // A block that lies there in part counts as there.
        let kept = (self.bytes.len() as u64).next_multiple_of(minimum.into()).min(self.size);
        if let Some(last) = extents.last_mut() {
            last.length += kept - self.bytes.len() as u64;
        }
        let behind = self.size - kept.max(offset);
        if behind > 0 {
            extents.push(Descriptor { length: behind, flags: empty });
        }
        extents
    }
}

/// Data and holes, block by block.
fn parts(data: &[u8], size: usize) -> Vec<ReadPart> {
    let mut parts: Vec<ReadPart> = Vec::new();
    for block in data.chunks(size) {
        let (empty, count) = (block == &EMPTY[..block.len()], block.len() as u64);
        match parts.last_mut() {
            Some(ReadPart::Hole(length)) if empty => *length += count,
            Some(ReadPart::Data(length)) if !empty => *length += count,
            _ => parts.push(if empty { ReadPart::Hole(count) } else { ReadPart::Data(count) }),
        }
    }
    parts
}
