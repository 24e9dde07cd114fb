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
    /// The generation of a new place: above those of places that were given back.
    first: u32,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    taken: bool,
    value: T,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        // Generations begin at 1, so that no key is 0.
        Self { places: Vec::new(), free: Vec::new(), taken: 0, first: 1 }
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
            self.places.push(Slot { generation: self.first, taken: true, value: fresh() });
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

    /// Gives back the memory of free places behind the last one that is taken. Their keys stay used up.
    pub(super) fn shrink(&mut self) {
        let kept = self.places.iter().rposition(|slot| slot.taken).map_or(0, |last| last + 1);
        self.first = self.places[kept..].iter().map(|slot| slot.generation).fold(self.first, u32::max);
        self.places.truncate(kept);
        self.places.shrink_to_fit();
        self.free.retain(|index| (*index as usize) < kept);
        self.free.shrink_to_fit();
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

#[cfg(test)]
mod tests {
    use super::Slots;

    #[test]
    fn a_key_of_a_place_that_was_given_back_is_never_given_again() {
        let mut slots = Slots::<u8>::default();
        let mut used = alloc::vec::Vec::new();
        for _ in 0..3 {
            let [kept, one, two] = [0, 1, 2].map(|value| slots.insert(|| value, |old| *old = value));
            for index in [one, two] {
                assert!(!used.contains(&slots.key(index)));
                used.push(slots.key(index));
                slots.release(index);
            }
            slots.shrink();
            assert_eq!((slots.places.len(), slots.free.len()), (kept as usize + 1, 0));
            assert!(slots.find(slots.key(kept)).is_some());
            assert!(used.iter().all(|key| slots.find(*key).is_none()));
        }
        assert_eq!(slots.len(), 3);
    }
}
