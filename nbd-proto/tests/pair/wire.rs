//! One direction of a connection: bytes arrive late, in order, in other pieces, or not at all.

use std::collections::VecDeque;

#[derive(Default)]
pub(crate) struct Wire {
    pieces: VecDeque<Piece>,
    end: End,
}

struct Piece {
    due: u64,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum End {
    #[default]
    Open,
    /// Nothing more will come behind what is under way.
    Ending,
    /// The receiver has been told.
    Told,
}

impl Wire {
    pub(crate) fn send(&mut self, bytes: Vec<u8>, due: u64) {
        if self.end == End::Open && !bytes.is_empty() {
            self.pieces.push_back(Piece { due, bytes });
        }
    }

    /// Up to `count` bytes, if any have arrived.
    pub(crate) fn receive(&mut self, count: usize, now: u64) -> Option<Vec<u8>> {
        let piece = self.pieces.front_mut().filter(|piece| piece.due <= now)?;
        let rest = piece.bytes.split_off(count.min(piece.bytes.len()));
        let bytes = std::mem::replace(&mut piece.bytes, rest);
        if piece.bytes.is_empty() {
            self.pieces.pop_front();
        }
        Some(bytes)
    }

    /// The sender hangs up.
    pub(crate) fn end(&mut self) {
        if self.end == End::Open {
            self.end = End::Ending;
        }
    }

    /// All but the first `keep` bytes under way are lost, and the receiver will see the end behind them.
    pub(crate) fn cut(&mut self, mut keep: usize) {
        for piece in &mut self.pieces {
            piece.bytes.truncate(keep);
            keep -= piece.bytes.len();
        }
        self.pieces.retain(|piece| !piece.bytes.is_empty());
        self.end();
    }

    /// Whether the end has been reached now, for the first time.
    pub(crate) fn take_end(&mut self) -> bool {
        let reached = self.end == End::Ending && self.pieces.is_empty();
        if reached {
            self.end = End::Told;
        }
        reached
    }

    /// Whether nothing will happen here any more.
    pub(crate) fn is_idle(&self) -> bool {
        self.end == End::Told
    }
}
