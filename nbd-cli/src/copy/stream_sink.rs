//! A destination that takes bytes in order only: standard output, a pipe, a character device.

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::Context as _;

use super::pipeline::{Intake, Piece};

static ZEROES: [u8; 64 * 1024] = [0; 64 * 1024];

pub(crate) struct StreamSink {
    name: String,
    stream: Box<dyn Write + Send>,
}

impl StreamSink {
    pub(crate) fn new(name: String, stream: Box<dyn Write + Send>) -> Self {
        Self { name, stream }
    }

    /// Pieces that come early are kept. The one that is missing has a buffer of its own, so it does come.
    pub(crate) fn run(mut self, intake: &Intake) -> anyhow::Result<()> {
        let mut early: BTreeMap<u64, Piece> = BTreeMap::new();
        let mut at = 0;
        while let Some(piece) = intake.wait() {
            early.insert(piece.offset, piece);
            while let Some(piece) = early.remove(&at) {
                self.write(&piece).with_context(|| format!("writing to {} at byte {at}", self.name))?;
                at += piece.length;
                intake.finished(piece.length, piece.buffer);
            }
        }
        self.stream.flush().with_context(|| format!("writing to {}", self.name))
    }

    fn write(&mut self, piece: &Piece) -> std::io::Result<()> {
        if !piece.zero {
            return self.stream.write_all(&piece.buffer);
        }
        let mut left = piece.length;
        while left > 0 {
            let length = left.min(ZEROES.len() as u64);
            self.stream.write_all(&ZEROES[..length as usize])?;
            left -= length;
        }
        Ok(())
    }
}
