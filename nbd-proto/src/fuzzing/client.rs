//! A client as its caller runs it: commands and what came of them, held against what the engine promises.

mod calls;
mod cookies;
mod end;
mod transmission;

pub(super) use calls::{Call, Calls, Seen};
pub(super) use cookies::patch;
pub(super) use end::{ClientEnd, End, Plan};
pub(super) use transmission::{Outcome, Transmission};

use core::iter;

/// What a `WRITE` carries: different for each of its bytes, and for each command.
pub(super) fn payload(number: usize, length: usize) -> alloc::vec::Vec<u8> {
    let mut next = number as u8;
    iter::repeat_with(|| {
        next = next.wrapping_mul(5).wrapping_add(0x3b);
        next
    })
    .take(length)
    .collect()
}
