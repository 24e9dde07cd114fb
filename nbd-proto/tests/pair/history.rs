//! What each byte of a disk may be, given what a client that replaces its connections has asked and been told.
//!
//! Changes that overlap are carried out in the order in which they were submitted. So each byte goes through the values
//! that changes give it one after the other, and it is enough to know how far it must have come.

/// The number of a change, by its submission; 0 is what was there at first.
type Step = u64;

pub(crate) struct History {
    bytes: Vec<Byte>,
    steps: Step,
}

#[derive(Clone)]
struct Byte {
    /// Each value that it was given, and by which change.
    values: Vec<(Step, u8)>,
    /// It has come this far: a change was told.
    told: Step,
    /// The same, or a read has shown it.
    seen: Step,
    /// It has come this far on non-volatile storage.
    safe: Step,
}

impl History {
    pub(crate) fn new(size: usize) -> Self {
        Self { bytes: vec![Byte { values: vec![(0, 0)], told: 0, seen: 0, safe: 0 }; size], steps: 0 }
    }

    /// A change is submitted.
    pub(crate) fn change(&mut self, at: usize, bytes: &[u8]) -> Step {
        self.steps += 1;
        for (byte, value) in self.bytes[at..].iter_mut().zip(bytes) {
            byte.values.push((self.steps, *value));
        }
        self.steps
    }

    /// A change was told to have been made; and if it was written through, it stays.
    pub(crate) fn changed(&mut self, at: usize, length: usize, step: Step, through: bool) {
        for byte in &mut self.bytes[at..at + length] {
            byte.told = byte.told.max(step);
            byte.seen = byte.seen.max(step);
            if through {
                byte.safe = byte.safe.max(step);
            }
        }
    }

    /// How far each byte has come by what was told, which is what a flush that is submitted now covers.
    pub(crate) fn told(&self) -> Vec<Step> {
        self.bytes.iter().map(|byte| byte.told).collect()
    }

    /// A flush was told to have succeeded, which was submitted when so much had been `told`.
    pub(crate) fn flushed(&mut self, told: &[Step]) {
        for (byte, told) in self.bytes.iter_mut().zip(told) {
            byte.safe = byte.safe.max(*told);
        }
    }

    /// How far a range has come for sure, which is where a read that is submitted now begins.
    pub(crate) fn seen(&self, at: usize, length: usize) -> Vec<Step> {
        self.bytes[at..at + length].iter().map(|byte| byte.seen).collect()
    }

    /// A read has brought this, which was submitted when its range had been `seen` so.
    pub(crate) fn read(&mut self, at: usize, seen: &[Step], came: &[u8]) {
        for (offset, ((byte, seen), came)) in self.bytes[at..].iter_mut().zip(seen).zip(came).enumerate() {
            let mut possible = byte.values.iter().filter(|(step, value)| step >= seen && value == came);
            let Some((step, _)) = possible.next() else {
                panic!("byte {} reads as {came}, but was {:?} from {seen} on", at + offset, byte.values);
            };
            byte.seen = byte.seen.max(*step);
        }
    }

    /// A server that restarts has this.
    pub(crate) fn restarted(&self, disk: &[u8]) {
        for (at, (byte, found)) in self.bytes.iter().zip(disk).enumerate() {
            let possible = byte.values.iter().any(|(step, value)| *step >= byte.safe && value == found);
            assert!(
                possible,
                "byte {at} is {found} after a restart, but {:?} was safe from {}",
                byte.values, byte.safe
            );
        }
    }

    /// Everything was told, and flushed: there is only one thing that the disk may be.
    pub(crate) fn ended(&self, disk: &[u8]) {
        for (at, (byte, found)) in self.bytes.iter().zip(disk).enumerate() {
            assert_eq!(byte.values.last().map(|(_, value)| value), Some(found), "byte {at} at the end");
        }
    }
}
