//! An allocator that counts, for tests of what memory is used. Each thread is counted for itself, because the test
//! harness allocates on its own threads whenever it likes.

#![allow(dead_code, reason = "each binary uses its own part")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, and two counts beside it.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    /// Far from 0, because a thread may free what another one allocated.
    static BYTES: Cell<usize> = const { Cell::new(usize::MAX / 2) };
}

/// How often this thread has asked for memory so far.
pub(crate) fn allocations() -> usize {
    ALLOCATIONS.get()
}

/// How many bytes this thread has allocated and not freed, on top of some constant.
pub(crate) fn bytes() -> usize {
    BYTES.get()
}

fn count(more: usize, less: usize) {
    ALLOCATIONS.set(ALLOCATIONS.get() + usize::from(more > 0));
    BYTES.set(BYTES.get() + more - less);
}

// SAFETY: every call goes to `System` as it came, and what `System` promises is what is promised here; counting
// touches no memory but two cells of the thread, which need neither allocation nor destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: `pointer` came from `System` by one of these methods, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, layout.size());
        // SAFETY: `pointer` came from `System` by one of these methods, with this layout; the caller answers for
        // `size`.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: as for `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }
}

#[global_allocator]
static GLOBAL: Counting = Counting;
