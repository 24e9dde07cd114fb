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

use alloc::vec::Vec;

use nbd_proto::handshake::{Connect, ConnectSettings, Flow};
use nbd_proto::transmission::{Client, ClientSettings, Command};
use nbd_proto::wire::flags::TransmissionFlags;
use nbd_proto::wire::greeting::{ExportFacts, Greeting};

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
        let taken = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            let misaligned = (base.addr() + used) % layout.align();
            let padding = if misaligned == 0 { 0 } else { layout.align() - misaligned };
            start = used.checked_add(padding)?;
            start.checked_add(layout.size()).filter(|&end| end <= ARENA_BYTES)
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
static ALLOCATOR: Bump = Bump { arena: UnsafeCell::new([0; ARENA_BYTES]), used: AtomicUsize::new(0) };

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}

/// Runs a handshake and a read over canned bytes, so that both engines and the allocator end up in the library.
/// Returns the export's size, or 0.
// SAFETY: no other symbol of this name exists in the library.
#[unsafe(no_mangle)]
pub extern "C" fn nbd_no_std_proof() -> u64 {
    let mut server = Vec::new();
    let facts = ExportFacts { size: 512, flags: TransmissionFlags::HAS_FLAGS };
    Greeting::Oldstyle(facts).emit(&mut server);
    let mut flow = Connect::new(ConnectSettings::new(""));
    let mut out = Vec::new();
    if flow.input(&server, &mut out).is_err() {
        return 0;
    }
    let Ok(negotiated) = flow.finish() else { return 0 };
    let mut client = Client::new(negotiated, ClientSettings::default());
    let submitted = client.submit(Command::read(0, 512)).is_ok();
    if submitted && client.wants_write() { client.negotiated().info.size } else { 0 }
}
