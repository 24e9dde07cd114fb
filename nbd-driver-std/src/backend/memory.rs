//! A disk in memory that takes memory only for what was written.
//!
//! ```text
//! Memory ─▶ Table: 64 shards, each behind a lock ─▶ Group of 4 MiB ─▶ 64 chunks of 64 KiB, each behind a lock
//!              found by the group's number           absent: a hole     absent: a hole
//! ```
//!
//! Reading and writing take a shard's lock as readers; only a new or an emptied group changes the shard. So two
//! threads wait for each other only at the same chunk, or where a group is new. No thread holds two locks of a kind at
//! once.

mod budget;
mod chunk;
mod group;
mod table;

use std::fmt;
use std::ops::Range;

use nbd_proto::wire::chunk::Descriptor;

use self::budget::Budget;
use self::group::Group;
use self::table::Table;
use super::extents::{BASE_ALLOCATION, Extents, HOLE};
use super::{Backend, Failure, Features, ZeroMode};
use crate::pieces::inward;

/// A disk in memory, of any size. What was never written, or was trimmed, takes none.
///
/// It is volatile: `flush` and `fua` succeed, as there is nothing better to be had. A write is not atomic: one that
/// overlaps others may be mixed with them, in pieces that end at multiples of 64 KiB.
///
/// Memory is taken by 64 KiB, plus a table of some KiB for each 4 MiB with anything in them. When there is no more,
/// the request fails with `ENOSPC`. A system that promises more memory than it has ends the process instead, so for
/// clients that are not trusted set [`with_limit`](Self::with_limit).
///
/// ```
/// use nbd_driver_std::backend::{Backend, Memory};
///
/// let disk = Memory::new(1 << 40).with_limit(64 << 20);
/// disk.write(b"far out", 1 << 39, false)?;
/// assert!(disk.used() < 1 << 20);
/// # Ok::<(), nbd_driver_std::backend::Failure>(())
/// ```
pub struct Memory {
    size: u64,
    budget: Budget,
    table: Table,
}

impl Memory {
    /// An empty disk of so many bytes, without limit on the memory it takes. Clients commonly take no disk of more than
    /// 2⁶³ - 1 bytes.
    pub fn new(size: u64) -> Self {
        Self { size, budget: Budget::new(u64::MAX), table: Table::new() }
    }

    /// The same, empty, and never taking more than so many bytes of memory: what needs more fails with `ENOSPC`.
    #[must_use]
    pub fn with_limit(self, bytes: u64) -> Self {
        Self { size: self.size, budget: Budget::new(bytes), table: Table::new() }
    }

    /// How many bytes of memory it takes now for contents and for where they are.
    pub fn used(&self) -> u64 {
        self.budget.used()
    }

    /// Zeroes a range in the groups that are there, and frees the chunks that lie in it whole.
    fn clear(&self, range: Range<u64>) {
        let mut at = range.start;
        while at < range.end {
            let Some(number) = self.table.next(at / Group::BYTES..=(range.end - 1) / Group::BYTES) else { return };
            let start = at.max(number * Group::BYTES);
            let stop = group_end(start).min(range.end);
            self.table.with(number, |group| group.clear(start % Group::BYTES, stop - start, &self.budget));
            self.table.drop_if_empty(number, &self.budget);
            at = stop;
        }
    }

    /// The range, with the rest of its last chunk where the disk ends within that: there is nothing behind.
    fn up_to_the_end(&self, offset: u64, length: u64) -> Range<u64> {
        let end = offset + length;
        let whole = if end == self.size { end.checked_next_multiple_of(chunk::SIZE as u64) } else { None };
        offset..whole.unwrap_or(end)
    }
}

/// Where the group ends that an offset lies in.
fn group_end(offset: u64) -> u64 {
    (offset - offset % Group::BYTES).saturating_add(Group::BYTES)
}

/// The parts of a range that lie in one group each, in order.
fn by_group(range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let mut at = range.start;
    std::iter::from_fn(move || {
        let part = at..group_end(at).min(range.end);
        at = part.end;
        (!part.is_empty()).then_some(part)
    })
}

impl Backend for Memory {
    fn size(&self) -> u64 {
        self.size
    }

    fn features(&self) -> Features {
        Features::all() - Features::ROTATIONAL
    }

    fn read(&self, mut buffer: &mut [u8], offset: u64) -> Result<(), Failure> {
        for part in by_group(offset..offset + buffer.len() as u64) {
            let (now, later) = buffer.split_at_mut((part.end - part.start) as usize);
            let number = part.start / Group::BYTES;
            let found = self.table.with(number, |group| group.read(part.start % Group::BYTES, now));
            if found.is_none() {
                now.fill(0);
            }
            buffer = later;
        }
        Ok(())
    }

    fn write(&self, mut data: &[u8], offset: u64, _fua: bool) -> Result<(), Failure> {
        for part in by_group(offset..offset + data.len() as u64) {
            let (now, later) = data.split_at((part.end - part.start) as usize);
            let write = |group: &Group| group.write(part.start % Group::BYTES, now, &self.budget);
            self.table.with_new(part.start / Group::BYTES, &self.budget, write)?;
            data = later;
        }
        Ok(())
    }

    fn trim(&self, offset: u64, length: u64, _fua: bool) -> Result<(), Failure> {
        self.clear(inward(&self.up_to_the_end(offset, length), chunk::SIZE as u64));
        Ok(())
    }

    fn write_zeroes(&self, offset: u64, length: u64, mode: ZeroMode) -> Result<(), Failure> {
        let range = self.up_to_the_end(offset, length);
        if !mode.no_hole {
            self.clear(range);
            return Ok(());
        }
        for part in by_group(range) {
            let length = part.end - part.start;
            let zero = |group: &Group| group.zero(part.start % Group::BYTES, length, &self.budget);
            self.table.with_new(part.start / Group::BYTES, &self.budget, zero)?;
        }
        Ok(())
    }

    fn contexts(&self) -> Vec<String> {
        vec![BASE_ALLOCATION.into()]
    }

    fn extents(
        &self,
        _context: &str,
        offset: u64,
        length: u64,
        one: bool,
        extents: &mut Vec<Descriptor>,
    ) -> Result<(), Failure> {
        let mut extents = Extents::new(extents, one);
        let end = offset + length;
        let mut at = offset;
        while at < end {
            // Only groups that are there cost time, not the ranges between them.
            let next = self.table.next(at / Group::BYTES..=(end - 1) / Group::BYTES);
            let start = next.map_or(end, |number| at.max(number * Group::BYTES));
            if !extents.push(start - at, HOLE) {
                break;
            }
            at = start;
            let Some(number) = next else { break };
            let stop = group_end(start).min(end);
            let add = |group: &Group| group.extents(start % Group::BYTES, stop - start, &mut extents);
            match self.table.with(number, add) {
                Some(true) => at = stop,
                Some(false) => break,
                // It was emptied meanwhile: it is part of the next hole.
                None => {}
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("size", &self.size).field("used", &self.used()).finish_non_exhaustive()
    }
}
