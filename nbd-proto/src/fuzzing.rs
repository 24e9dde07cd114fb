//! Bodies of the fuzz targets in `fuzz/`, kept here so that every build with all features compiles them and
//! `cargo test` replays their seeds. Internal: no promise of stability.
//!
//! Each body takes any bytes at all and panics if one of the invariants at its top does not hold.

mod option_reply;
mod structured_chunk;

pub use option_reply::option_reply;
pub use structured_chunk::structured_chunk;

use core::iter::Cycle;

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
