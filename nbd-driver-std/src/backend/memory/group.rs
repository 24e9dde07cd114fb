//! Consecutive chunks that are found together.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::budget::Budget;
use super::chunk::{self, Chunk};
use crate::backend::Failure;
use crate::backend::extents::Extents;

/// Chunks in a group.
const CHUNKS: usize = 64;

/// Consecutive chunks, each behind a lock of its own. Offsets count from its start.
pub(super) struct Group {
    chunks: Vec<RwLock<Chunk>>,
    /// How many chunks take memory. Changed only while the chunk's lock is held.
    present: AtomicUsize,
}

impl Group {
    /// Bytes of the disk in a group.
    pub(super) const BYTES: u64 = (CHUNKS * chunk::SIZE) as u64;

    /// Bytes of memory that an empty one takes.
    const COST: u64 = (size_of::<Self>() + CHUNKS * size_of::<RwLock<Chunk>>()) as u64;

    /// A group of absent chunks.
    pub(super) fn new(budget: &Budget) -> Result<Self, Failure> {
        let mut chunks = budget.vec(CHUNKS, Self::COST)?;
        chunks.resize_with(CHUNKS, RwLock::default);
        Ok(Self { chunks, present: AtomicUsize::new(0) })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.present.load(Ordering::Relaxed) == 0
    }

    /// The end of an empty group.
    pub(super) fn free(self, budget: &Budget) {
        debug_assert!(self.is_empty(), "its chunks would stay counted");
        budget.give_back(Self::COST);
    }

    pub(super) fn read(&self, offset: u64, mut buffer: &mut [u8]) {
        for (index, range) in by_chunk(offset, buffer.len() as u64) {
            let (now, later) = buffer.split_at_mut(range.len());
            self.chunk(index).read(range.start, now);
            buffer = later;
        }
    }

    pub(super) fn write(&self, offset: u64, mut data: &[u8], budget: &Budget) -> Result<(), Failure> {
        for (index, range) in by_chunk(offset, data.len() as u64) {
            let (now, later) = data.split_at(range.len());
            self.change(index, |chunk| chunk.write(range.start, now, budget))?;
            data = later;
        }
        Ok(())
    }

    /// Zeroes a range, all of which then takes memory.
    pub(super) fn zero(&self, offset: u64, length: u64, budget: &Budget) -> Result<(), Failure> {
        for (index, range) in by_chunk(offset, length) {
            self.change(index, |chunk| chunk.allocate(budget).map(|()| chunk.zero(range)))?;
        }
        Ok(())
    }

    /// Zeroes a range. A chunk that lies in it whole takes no memory any more.
    pub(super) fn clear(&self, offset: u64, length: u64, budget: &Budget) {
        for (index, range) in by_chunk(offset, length) {
            self.change(index, |chunk| if range.len() == chunk::SIZE { chunk.free(budget) } else { chunk.zero(range) });
        }
    }

    /// Appends what is in a range. `false`: there was no more room.
    pub(super) fn extents(&self, offset: u64, length: u64, extents: &mut Extents<'_>) -> bool {
        by_chunk(offset, length).all(|(index, range)| {
            let flags = self.chunk(index).flags();
            extents.push(range.len() as u64, flags)
        })
    }

    fn chunk(&self, index: usize) -> RwLockReadGuard<'_, Chunk> {
        self.chunks[index].read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes a chunk, and keeps count of those that take memory.
    fn change<R>(&self, index: usize, change: impl FnOnce(&mut Chunk) -> R) -> R {
        let mut chunk: RwLockWriteGuard<'_, Chunk> = self.chunks[index].write().unwrap_or_else(PoisonError::into_inner);
        let was_absent = chunk.is_absent();
        let result = change(&mut chunk);
        if was_absent && !chunk.is_absent() {
            self.present.fetch_add(1, Ordering::Relaxed);
        } else if !was_absent && chunk.is_absent() {
            self.present.fetch_sub(1, Ordering::Relaxed);
        }
        result
    }
}

/// The chunks that a range lies in, each with the part that is in it, counted from its start.
fn by_chunk(offset: u64, length: u64) -> impl Iterator<Item = (usize, Range<usize>)> {
    let mut at = offset as usize;
    let end = at + length as usize;
    std::iter::from_fn(move || {
        let (index, start) = (at / chunk::SIZE, at % chunk::SIZE);
        let stop = chunk::SIZE.min(start + (end - at));
        at += stop - start;
        (start < stop).then_some((index, start..stop))
    })
}
