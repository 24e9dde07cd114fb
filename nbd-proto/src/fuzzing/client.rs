//! A client as its caller runs it: commands and what came of them, held against what the engine promises.

mod calls;
mod cookies;
mod end;
mod transmission;

pub(super) use calls::{Call, Calls, Seen};
pub(super) use cookies::patch;
pub(super) use end::{ClientEnd, End, Plan};
pub(super) use transmission::{Outcome, Transmission};

/// Bytes that look like none before them, made beforehand: a fuzzer follows each step of a loop.
const BYTES: [u8; 8 * 1024] = {
    let (mut bytes, mut state, mut at) = ([0; 8 * 1024], 0x2545_f491_u32, 0);
    while at < bytes.len() {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        bytes[at] = state as u8;
        at += 1;
    }
    bytes
};

/// What a `WRITE` of up to 7 KiB carries: something else for each of 256 commands.
pub(super) fn payload(number: usize, length: usize) -> &'static [u8] {
    let start = number % 256 * 4;
    &BYTES[start..start + length]
}
