//! What one connection does, and how it knows that each byte is right.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use fastrand::Rng;
use nbd_driver_mio::nbd_proto::wire::number::{CommandType, Cookie};
use nbd_driver_mio::{Client, Stream};
use nbd_testkit::pattern;

/// Bytes at the start of the disk that everybody reads and nobody writes.
pub(crate) const SHARED: usize = 1 << 20;

/// How many requests a connection has in flight.
const LANES: usize = 4;

/// How many bytes of the disk are one lane's own. Only one request at a time touches them, so that it is known what a
/// read is to bring.
const LANE: usize = 2048;

/// How many bytes of the disk are one connection's own.
const REGION: usize = LANES * LANE;

/// What a disk for so many connections holds at first.
pub(crate) fn disk(connections: usize) -> Vec<u8> {
    pattern(SHARED + connections * REGION, 11)
}

/// Random reads and writes, checked against a model of the connection's own region.
pub(crate) struct Worker {
    start: usize,
    /// What the own region holds.
    model: Vec<u8>,
    lanes: [Option<(Cookie, Vec<u8>)>; LANES],
    /// How many requests are still to be handed in.
    left: usize,
    /// How many requests have ended, each as it should.
    pub(crate) done: usize,
    rng: Rng,
}

impl Worker {
    pub(crate) fn new(index: usize, requests: usize, disk: &[u8]) -> Self {
        let start = SHARED + index * REGION;
        let model = disk[start..start + REGION].to_vec();
        let rng = Rng::with_seed(0x5ca1_e000 + index as u64);
        Self { start, model, lanes: Default::default(), left: requests, done: 0, rng }
    }

    /// Takes what has ended, and hands in what there are free lanes for. Says whether it handed in anything.
    pub(crate) fn work<S: Stream>(&mut self, client: &mut Client<S>, shared: &[u8]) -> bool {
        while let Some(done) = client.completion() {
            done.result.unwrap();
            let lane = self.lanes.iter_mut().find_map(|lane| lane.take_if(|(cookie, _)| *cookie == done.cookie));
            let (_, expected) = lane.expect("one completion for each request");
            // Of a write, that is the buffer as it was handed in.
            assert!(done.buffer[..] == expected, "wrong bytes at {}", done.command.offset);
            if done.command.command == CommandType::WRITE {
                let at = done.command.offset as usize - self.start;
                self.model[at..at + expected.len()].copy_from_slice(&expected);
            }
            self.done += 1;
        }
        let mut asked = false;
        for lane in 0..LANES {
            if self.left > 0 && self.lanes[lane].is_none() {
                self.left -= 1;
                self.lanes[lane] = Some(self.ask(lane, client, shared));
                asked = true;
            }
        }
        asked
    }

    fn ask<S: Stream>(&mut self, lane: usize, client: &mut Client<S>, shared: &[u8]) -> (Cookie, Vec<u8>) {
        let own = self.range(lane * LANE, LANE);
        let offset = (self.start + own.start) as u64;
        match self.rng.u8(0..5) {
            0 | 1 => {
                let data: Vec<u8> = (0..own.len()).map(|_| self.rng.u8(..)).collect();
                // Each kind of memory has its turn.
                let taken = match self.rng.u8(0..3) {
                    0 => client.write(data.clone(), offset),
                    1 => client.write(Bytes::copy_from_slice(&data), offset),
                    _ => client.write(BytesMut::from(&data[..]), offset),
                };
                (taken.unwrap(), data)
            }
            2 | 3 => {
                let taken = client.read(vec![0x5a; own.len()], offset);
                (taken.unwrap(), self.model[own].to_vec())
            }
            _ => {
                let range = self.range(0, shared.len());
                let taken = client.read(BytesMut::zeroed(range.len()), range.start as u64);
                (taken.unwrap(), shared[range].to_vec())
            }
        }
    }

    /// A range of at most a lane's length, within one of this start and length.
    fn range(&mut self, start: usize, length: usize) -> Range<usize> {
        let count = self.rng.usize(1..=LANE);
        let from = start + self.rng.usize(0..=length - count);
        from..from + count
    }

    /// Whether the disk holds in the end what the model does.
    pub(crate) fn agrees_with(&self, disk: &[u8]) -> bool {
        disk[self.start..self.start + REGION] == self.model
    }
}
