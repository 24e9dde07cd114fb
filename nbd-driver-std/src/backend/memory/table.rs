//! Where the groups are.

use std::ops::RangeInclusive;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::budget::{Budget, reserve};
use super::group::Group;
use crate::backend::Failure;

/// A power of two: more than the processors of most machines.
const SHARDS: usize = 64;

/// The groups that are there, by number. A group's number says which shard it is in.
pub(super) struct Table {
    shards: [Shard; SHARDS],
}

/// Groups by number, in ascending order. Shards on one cache line would slow each other down.
#[derive(Default)]
#[repr(align(64))]
struct Shard(RwLock<Vec<(u64, Group)>>);

impl Shard {
    fn read(&self) -> RwLockReadGuard<'_, Vec<(u64, Group)>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Vec<(u64, Group)>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a group is in its shard, or belongs.
fn place(groups: &[(u64, Group)], number: u64) -> Result<usize, usize> {
    groups.binary_search_by_key(&number, |(number, _)| *number)
}

impl Table {
    pub(super) fn new() -> Self {
        Self { shards: std::array::from_fn(|_| Shard::default()) }
    }

    /// Spreads numbers at any regular distance over the shards.
    fn shard(&self, number: u64) -> &Shard {
        let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        &self.shards[(spread >> (u64::BITS - SHARDS.ilog2())) as usize]
    }

    /// Does something with a group, if it is there.
    pub(super) fn with<R>(&self, number: u64, run: impl FnOnce(&Group) -> R) -> Option<R> {
        let groups = self.shard(number).read();
        place(&groups, number).ok().map(|at| run(&groups[at].1))
    }

    /// Does something with a group, and makes it first where it is absent.
    pub(super) fn with_new(
        &self,
        number: u64,
        budget: &Budget,
        run: impl FnOnce(&Group) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let shard = self.shard(number);
        {
            let groups = shard.read();
            if let Ok(at) = place(&groups, number) {
                return run(&groups[at].1);
            }
        }
        let mut groups = shard.write();
        let at = match place(&groups, number) {
            Ok(at) => at,
            Err(at) => {
                if groups.len() == groups.capacity() {
                    let more = groups.len().max(4);
                    reserve(&mut groups, more)?;
                }
                groups.insert(at, (number, Group::new(budget)?));
                at
            }
        };
        let result = run(&groups[at].1);
        if groups[at].1.is_empty() {
            groups.remove(at).1.free(budget);
        }
        result
    }

    /// Gives up a group that holds nothing any more.
    pub(super) fn drop_if_empty(&self, number: u64, budget: &Budget) {
        if self.with(number, Group::is_empty) != Some(true) {
            return;
        }
        let mut groups = self.shard(number).write();
        // Whoever fills it does so under this lock: what is empty now stays so.
        if let Ok(at) = place(&groups, number) {
            if groups[at].1.is_empty() {
                groups.remove(at).1.free(budget);
            }
        }
    }

    /// The first group in a range of numbers that is there.
    pub(super) fn next(&self, numbers: RangeInclusive<u64>) -> Option<u64> {
        let (first, last) = numbers.into_inner();
        // In a disk that is full it is the first.
        if self.with(first, |_| ()).is_some() {
            return Some(first);
        }
        if first == last {
            return None;
        }
        let after = |shard: &Shard| {
            let groups = shard.read();
            let at = groups.partition_point(|(number, _)| *number <= first);
            groups.get(at).map(|(number, _)| *number)
        };
        self.shards.iter().filter_map(after).min().filter(|number| *number <= last)
    }
}
