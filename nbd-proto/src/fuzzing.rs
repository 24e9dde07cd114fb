//! Bodies of the fuzz targets in `fuzz/`, kept here so that every build with all features compiles them and
//! `cargo test` replays their seeds. Internal: no promise of stability.
//!
//! Each body takes any bytes at all and panics if one of the invariants at its top does not hold.

mod client;
mod client_session;
mod option_reply;
mod pair;
mod server;
mod server_session;
mod structured_chunk;
mod uri;
mod verdict;
mod wire_roundtrip;

pub use client_session::{ClientSessionHeader, client_session};
pub use option_reply::option_reply;
pub use pair::pair;
pub use server_session::{ServerSessionHeader, server_session};
pub use structured_chunk::structured_chunk;
pub use uri::uri;
pub use wire_roundtrip::wire_roundtrip;

use alloc::vec::Vec;
use core::iter::Cycle;

use crate::wire::magic;
use crate::wire::number::OptionCode;
use crate::wire::option::OptionHeader;

/// How a stream is cut: the sizes come from the data, over and over.
#[derive(Clone)]
struct Pace(Cycle<core::array::IntoIter<u8, 4>>);

impl Pace {
    fn new(sizes: [u8; 4]) -> Self {
        Self(sizes.into_iter().cycle())
    }

    /// The next piece's size, 1 to 128, and a coin to go with it.
    fn next(&mut self) -> (usize, bool) {
        let byte = self.0.next().unwrap_or(0);
        (usize::from(byte & 0x7f) + 1, byte & 0x80 != 0)
    }

    /// Cuts the next piece off a stream. `None` when nothing is left.
    fn cut<'a>(&mut self, stream: &mut &'a [u8]) -> Option<&'a [u8]> {
        if stream.is_empty() {
            return None;
        }
        let (piece, rest) = stream.split_at(self.next().0.min(stream.len()));
        *stream = rest;
        Some(piece)
    }
}

/// Takes `count` bytes off the front, fewer if there are not so many.
fn take<'a>(data: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (front, rest) = data.split_at(count.min(data.len()));
    *data = rest;
    front
}

/// Takes up to `count` bytes off the front of a buffer, all at once: a fuzzer follows each step of a loop.
fn take_front(buffer: &mut Vec<u8>, count: usize) -> Vec<u8> {
    let rest = buffer.split_off(count.min(buffer.len()));
    core::mem::replace(buffer, rest)
}

/// Puts the number of the option that was asked into a reply at the start of a stream that has none.
fn patch_option(stream: &mut [u8], out: &[u8]) {
    if stream.len() < 12 || stream[..8] != magic::OPTION_REPLY.to_be_bytes() || stream[8..12] != [0; 4] {
        return;
    }
    if let Some(asked) = requests(out).last() {
        stream[8..12].copy_from_slice(&asked.0.to_be_bytes());
    }
}

/// The options in what a client has sent, behind the client flags.
fn requests(out: &[u8]) -> impl Iterator<Item = OptionCode> {
    let mut rest = out.get(4..).unwrap_or(&[]);
    core::iter::from_fn(move || {
        // An oldstyle server gets a request of the transmission phase.
        let Ok(Some((header, length))) = OptionHeader::parse(rest) else { return None };
        rest = rest.get(length + header.length as usize..)?;
        Some(header.option)
    })
}
