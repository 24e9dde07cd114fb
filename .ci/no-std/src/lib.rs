//! Builds only as long as `nbd-proto` needs nothing but `core` and `alloc`.
//!
//! A program has exactly one panic handler, and std brings one. This library defines its own, so as soon
//! as any crate below it loads std, rustc refuses to build it: `E0152`, a second `panic_impl` lang item.
//! `#![no_std]` in `nbd-proto` alone proves less: a dependency could still bring std in.
//!
//! To see it fail, add `extern crate std;` to `nbd-proto/src/lib.rs` and run `.ci/test nostd`.
#![no_std]

extern crate alloc;

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicUsize, Ordering};

// Naming the crate is what loads it, and with it everything it depends on.
use nbd_proto as _;

const ARENA_BYTES: usize = 64 * 1024;

/// Hands out pieces of a fixed arena and takes none back.
struct Bump {
    arena: UnsafeCell<[u8; ARENA_BYTES]>,
    used: AtomicUsize,
}

// SAFETY: the arena is reached only through `alloc`, which gives each byte away once, by an atomic update.
unsafe impl Sync for Bump {}

// SAFETY: `alloc` returns null or a range inside the arena, aligned as asked, that no other call returned.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let base = self.arena.get().cast::<u8>();
        let mut start = 0;
        let taken = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                let misaligned = (base.addr() + used) % layout.align();
                let padding = if misaligned == 0 {
                    0
                } else {
                    layout.align() - misaligned
                };
                start = used.checked_add(padding)?;
                start
                    .checked_add(layout.size())
                    .filter(|&end| end <= ARENA_BYTES)
            });
        match taken {
            // SAFETY: `start + size` was checked to lie within the arena.
            Ok(_) => unsafe { base.add(start) },
            Err(_) => core::ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static ALLOCATOR: Bump = Bump {
    arena: UnsafeCell::new([0; ARENA_BYTES]),
    used: AtomicUsize::new(0),
};

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}

/// Calls a little of the core, so that its code and the allocator end up in the library.
// SAFETY: no other symbol of this name exists in the library.
#[unsafe(no_mangle)]
pub extern "C" fn nbd_no_std_proof() -> usize {
    alloc::vec![0_u8; 28].len()
}
