//! A disk with a memory of its own: what was not flushed may be lost, in whole or in part, when the server restarts.

use fastrand::Rng;
use nbd_proto::transmission::Request;
use nbd_proto::wire::flags::CommandFlags;
use nbd_proto::wire::number::CommandType;

pub(crate) struct Store {
    /// What the server reads and writes.
    pub(crate) current: Vec<u8>,
    /// What is on non-volatile storage for sure.
    durable: Vec<u8>,
    /// What has been changed since, in order.
    log: Vec<Change>,
}

struct Change {
    at: usize,
    bytes: Vec<u8>,
    /// Written through: it is safe, but what came before it lies below it.
    safe: bool,
}

impl Store {
    pub(crate) fn new(size: usize) -> Self {
        Self { current: vec![0; size], durable: vec![0; size], log: Vec::new() }
    }

    /// The server has carried out a request.
    pub(crate) fn did(&mut self, request: &Request) {
        match request.command {
            CommandType::FLUSH => {
                self.durable.clone_from(&self.current);
                self.log.clear();
            }
            CommandType::WRITE | CommandType::WRITE_ZEROES | CommandType::TRIM => {
                let at = request.offset as usize;
                let bytes = self.current[at..at + request.length as usize].to_vec();
                self.log.push(Change { at, bytes, safe: request.flags.contains(CommandFlags::FUA) });
            }
            _ => {}
        }
    }

    /// The server is gone, and comes back: of each change that is not safe there is all, a part, or nothing.
    pub(crate) fn restart(&mut self, rng: &mut Rng) {
        for Change { at, bytes, safe } in self.log.drain(..) {
            let luck = rng.u8(..4);
            for (place, byte) in self.durable[at..].iter_mut().zip(bytes) {
                if safe || luck == 0 || luck == 1 && rng.bool() {
                    *place = byte;
                }
            }
        }
        self.current.clone_from(&self.durable);
    }
}
