//! How much memory a disk may take.

use std::sync::atomic::{AtomicU64, Ordering};

use nbd_proto::wire::number::ErrorValue;

use crate::backend::Failure;

/// Bytes taken, and the most that may be.
pub(super) struct Budget {
    limit: u64,
    used: AtomicU64,
}

impl Budget {
    pub(super) const fn new(limit: u64) -> Self {
        Self { limit, used: AtomicU64::new(0) }
    }

    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// An empty vector with room for so many elements, counted as so many bytes.
    pub(super) fn vec<T>(&self, elements: usize, bytes: u64) -> Result<Vec<T>, Failure> {
        self.take(bytes)?;
        let mut vec = Vec::new();
        reserve(&mut vec, elements).inspect_err(|_| self.give_back(bytes))?;
        Ok(vec)
    }

    fn take(&self, bytes: u64) -> Result<(), Failure> {
        let more = |used: u64| used.checked_add(bytes).filter(|used| *used <= self.limit);
        match self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(_) => Ok(()),
            Err(_) => {
                let message = format!("this disk may take {} bytes of memory, which are used up", self.limit);
                Err(Failure::new(ErrorValue::ENOSPC, message))
            }
        }
    }

    pub(super) fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Room for more elements, or an error: never an abort.
///
/// "The server SHOULD NOT return `NBD_ENOMEM` if at all possible" (spec, *Error values*), and to the client it is the
/// disk that is full.
pub(super) fn reserve<T>(vec: &mut Vec<T>, more: usize) -> Result<(), Failure> {
    vec.try_reserve_exact(more).map_err(|_| Failure::new(ErrorValue::ENOSPC, "out of memory"))
}
