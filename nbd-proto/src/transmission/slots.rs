//! Places for requests in flight. A key carries the number of a place and how often the place was given away, so
//! that a look-up costs no search and a key that has been used up is recognised.

use alloc::vec::Vec;

/// The number of a place.
pub(super) type SlotIndex = u32;

#[derive(Debug)]
pub(super) struct Slots<T> {
    places: Vec<Slot<T>>,
    free: Vec<SlotIndex>,
    /// How many are taken.
    taken: usize,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    taken: bool,
    value: T,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { places: Vec::new(), free: Vec::new(), taken: 0 }
    }
}

impl<T> Slots<T> {
    /// How many are taken.
    pub(super) const fn len(&self) -> usize {
        self.taken
    }

    /// Takes a place: one that is free, whose old value is made anew and keeps its memory, or else a new one.
    pub(super) fn insert(&mut self, fresh: impl FnOnce() -> T, reuse: impl FnOnce(&mut T)) -> SlotIndex {
        self.taken += 1;
        if let Some(index) = self.free.pop() {
            let slot = &mut self.places[index as usize];
            slot.taken = true;
            reuse(&mut slot.value);
            index
        } else {
            // Generations begin at 1, so that no key is 0.
            self.places.push(Slot { generation: 1, taken: true, value: fresh() });
            (self.places.len() - 1) as SlotIndex
        }
    }

    pub(super) fn key(&self, index: SlotIndex) -> u64 {
        let generation = self.places[index as usize].generation;
        u64::from(generation) << 32 | u64::from(index)
    }

    /// The place of a key that is not used up.
    pub(super) fn find(&self, key: u64) -> Option<SlotIndex> {
        let index = key as u32;
        let slot = self.places.get(index as usize)?;
        (slot.taken && u64::from(slot.generation) == key >> 32).then_some(index)
    }

    /// The value of a place that [`insert`](Self::insert) or [`find`](Self::find) gave.
    pub(super) fn value(&self, index: SlotIndex) -> &T {
        &self.places[index as usize].value
    }

    /// The same, to be changed.
    pub(super) fn value_mut(&mut self, index: SlotIndex) -> &mut T {
        &mut self.places[index as usize].value
    }

    pub(super) fn release(&mut self, index: SlotIndex) {
        let slot = &mut self.places[index as usize];
        slot.taken = false;
        slot.generation = slot.generation.wrapping_add(1).max(1);
        self.taken -= 1;
        self.free.push(index);
    }

    /// Takes any place away that is taken, with its key. Nothing may be inserted any more after that.
    pub(super) fn pop(&mut self) -> Option<(u64, T)> {
        loop {
            let index = self.places.len().checked_sub(1)? as SlotIndex;
            let key = self.key(index);
            let slot = self.places.pop()?;
            if slot.taken {
                self.taken -= 1;
                return Some((key, slot.value));
            }
        }
    }
}
