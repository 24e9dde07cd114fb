//! Getting what was written to non-volatile storage, for many threads.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::backend::Failure;

/// Syncs, one after the other.
///
/// The system tells of lost data once, to whichever thread asks first. If another one could ask before the first has
/// noted the answer, it would take what is lost for safe. So one thread asks at a time; those that came while it did
/// share the next sync, which takes no longer than one of their own.
#[derive(Debug, Default)]
pub(super) struct Syncs {
    /// How many were begun.
    begun: AtomicU64,
    ended: Mutex<Ended>,
}

#[derive(Debug, Default)]
struct Ended {
    /// The number of the last one that has ended. They count from 1.
    last: u64,
    /// Why writes that had been answered may be gone.
    lost: Option<Failure>,
}

impl Syncs {
    /// Returns when a sync that began after this call has ended: that of another thread, or this one.
    ///
    /// Once one has failed, all do, in the same way.
    pub(super) fn run(&self, sync: impl FnOnce() -> io::Result<()>) -> Result<(), Failure> {
        self.run_unless_after(self.begun.load(Ordering::SeqCst), sync)
    }

    /// The same for whoever came when so many were begun.
    fn run_unless_after(&self, before: u64, sync: impl FnOnce() -> io::Result<()>) -> Result<(), Failure> {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if ended.last <= before {
            // Changed under the lock only.
            let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
            let failure = sync().err().map(Failure::from);
            ended.lost = ended.lost.take().or(failure);
            ended.last = number;
        }
        ended.lost.clone().map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::Syncs;

    /// Waits until so many threads are in a call, or wait for it.
    fn until_called(called: &AtomicUsize, count: usize) {
        while called.load(Ordering::SeqCst) < count {
            thread::yield_now();
        }
    }

    #[test]
    fn nobody_is_told_of_success_before_a_failure_is_noted() {
        let syncs = Syncs::default();
        let (called, told) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            let failing = scope.spawn(|| {
                syncs.run(|| {
                    called.fetch_add(1, Ordering::SeqCst);
                    until_called(&called, 2);
                    // A chance for the other to get ahead, which it must not.
                    (0..1000).for_each(|_| thread::yield_now());
                    assert_eq!(told.load(Ordering::SeqCst), 0);
                    Err(io::ErrorKind::Other.into())
                })
            });
            until_called(&called, 1);
            called.fetch_add(1, Ordering::SeqCst);
            // The system has told of the failure, and now says that all is well.
            let result = syncs.run(|| Ok(()));
            told.fetch_add(1, Ordering::SeqCst);
            assert_eq!(result, failing.join().unwrap());
            assert!(result.is_err());
        });
    }

    #[test]
    fn each_call_has_a_sync_that_began_after_it() {
        let syncs = Syncs::default();
        let runs = AtomicUsize::new(0);
        let run = || {
            runs.fetch_add(1, Ordering::SeqCst);
            Ok(())
        };
        syncs.run(run).unwrap();
        syncs.run(run).unwrap();
        assert_eq!(runs.load(Ordering::SeqCst), 2);
        // Two that came while the second was going on: theirs is the third.
        syncs.run_unless_after(2, run).unwrap();
        syncs.run_unless_after(2, run).unwrap();
        assert_eq!(runs.load(Ordering::SeqCst), 3);
    }
}
