//! Writes whose fate is known.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use crate::server::DISK;
use crate::support::{Aligned, open_direct, read_direct, until};

/// What one write writes.
const PIECE: usize = 16_384;

/// Writes a part of the disk again and again, past the page cache, each time something else. Every write has to be
/// answered, no answer may be an error, and what was answered has to be there in the end.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    /// Returns which round of which piece was the last.
    thread: JoinHandle<BTreeMap<usize, usize>>,
}

#[derive(Default)]
struct Shared {
    enough: AtomicBool,
    written: AtomicUsize,
}

impl Writer {
    /// The part is a range of pieces.
    pub(crate) fn start(device: &Path, part: Range<usize>) -> Self {
        let shared = Arc::new(Shared::default());
        let (path, own) = (device.to_owned(), Arc::clone(&shared));
        let thread = thread::spawn(move || {
            let file = open_direct(&path);
            let mut last = BTreeMap::new();
            for round in 0.. {
                for number in part.clone() {
                    if own.enough.load(Ordering::SeqCst) {
                        file.sync_all().unwrap();
                        return last;
                    }
                    file.write_all_at(Aligned::of(&contents(number, round)).bytes(), at(number)).unwrap();
                    last.insert(number, round);
                    own.written.fetch_add(1, Ordering::SeqCst);
                }
            }
            last
        });
        Self { shared, thread }
    }

    /// Waits until so many more writes have been answered.
    pub(crate) fn wait_for(&self, writes: usize) {
        let before = self.written();
        until(|| self.thread.is_finished() || self.written() >= before + writes);
        assert!(!self.thread.is_finished(), "a write has failed");
    }

    fn written(&self) -> usize {
        self.shared.written.load(Ordering::SeqCst)
    }

    /// Ends it, and looks at what is there.
    pub(crate) fn finish(self, device: &Path) {
        self.shared.enough.store(true, Ordering::SeqCst);
        let last = self.thread.join().unwrap();
        assert!(!last.is_empty());
        let (file, disk) = (open_direct(device), fs::File::open(DISK).unwrap());
        for (number, round) in last {
            let expected = contents(number, round);
            assert!(read_direct(&file, PIECE, at(number)).unwrap() == expected, "piece {number} through the kernel");
            let mut found = vec![0; PIECE];
            disk.read_exact_at(&mut found, at(number)).unwrap();
            assert!(found == expected, "piece {number} on the server's disk");
        }
    }
}

fn at(number: usize) -> u64 {
    (number * PIECE) as u64
}

/// No other write has these, and a disk has none of them at first. To make them takes next to no time, so that mostly
/// something is in flight.
fn contents(number: usize, round: usize) -> Vec<u8> {
    ((round << 16 | number) as u64 + 1).to_le_bytes().repeat(PIECE / 8)
}
