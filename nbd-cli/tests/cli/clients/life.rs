//! All bytes that a client says in a life, without waiting for any answer.

use super::site::Replies;

const OPT_LIST: u32 = 3;
const OPT_GO: u32 = 7;
const OPT_STRUCTURED_REPLY: u32 = 8;
const OPT_SET_META_CONTEXT: u32 = 10;
const OPT_EXTENDED_HEADERS: u32 = 11;

const READ: u16 = 0;
const WRITE: u16 = 1;
const DISC: u16 = 2;
const FLUSH: u16 = 3;
const TRIM: u16 = 4;
const CACHE: u16 = 5;
const WRITE_ZEROES: u16 = 6;
const BLOCK_STATUS: u16 = 7;

const PAYLOAD_LEN: u16 = 1 << 5;

const MIB: u64 = 1 << 20;

/// A life, and where its handshake ends.
pub(super) struct Life {
    pub(super) bytes: Vec<u8>,
    pub(super) handshake: usize,
}

impl Life {
    /// A life on this export, which must have 8 MiB.
    pub(super) fn new(replies: Replies, export: &str) -> Self {
        let mut life = Self { bytes: 3_u32.to_be_bytes().to_vec(), handshake: 0 };
        life.handshake(replies, export);
        life.handshake = life.bytes.len();
        for round in 0..8 {
            life.request(replies, READ, round * MIB / 2, MIB);
            life.request(replies, WRITE, round * MIB / 3, 60_000);
            life.request(replies, FLUSH, 0, 0);
            life.request(replies, WRITE_ZEROES, round * MIB / 5, 100_000);
            life.request(replies, CACHE, 0, MIB);
            life.request(replies, READ, round * 1000, 4096);
            life.request(replies, TRIM, 7 * MIB, MIB);
            if replies != Replies::Simple {
                life.request(replies, BLOCK_STATUS, 0, 8 * MIB);
            }
            // One that is refused, with its payload.
            life.request(replies, WRITE, 8 * MIB - 1, 30_000);
        }
        life.request(replies, DISC, 0, 0);
        life
    }

    fn handshake(&mut self, replies: Replies, export: &str) {
        let name = [&u32::try_from(export.len()).unwrap().to_be_bytes()[..], export.as_bytes()].concat();
        self.option(OPT_LIST, &[]);
        match replies {
            Replies::Simple => {}
            Replies::Structured => self.option(OPT_STRUCTURED_REPLY, &[]),
            Replies::Extended => self.option(OPT_EXTENDED_HEADERS, &[]),
        }
        if replies != Replies::Simple {
            let context = b"base:allocation";
            let length = u32::try_from(context.len()).unwrap().to_be_bytes();
            self.option(OPT_SET_META_CONTEXT, &[&name[..], &1_u32.to_be_bytes(), &length, context].concat());
        }
        self.option(OPT_GO, &[&name[..], &[0, 0]].concat());
    }

    fn option(&mut self, option: u32, payload: &[u8]) {
        self.bytes.extend(b"IHAVEOPT");
        self.bytes.extend(option.to_be_bytes());
        self.bytes.extend(u32::try_from(payload.len()).unwrap().to_be_bytes());
        self.bytes.extend(payload);
    }

    /// Also the payload, of a write. Its cookie is where it begins.
    fn request(&mut self, replies: Replies, command: u16, offset: u64, length: u64) {
        let extended = replies == Replies::Extended;
        let (magic, flags) = match (extended, command) {
            (true, WRITE) => (0x21e4_1c71_u32, PAYLOAD_LEN),
            (true, _) => (0x21e4_1c71, 0),
            (false, _) => (0x2560_9513, 0),
        };
        let cookie = self.bytes.len() as u64;
        self.bytes.extend(magic.to_be_bytes());
        self.bytes.extend(flags.to_be_bytes());
        self.bytes.extend(command.to_be_bytes());
        self.bytes.extend(cookie.to_be_bytes());
        self.bytes.extend(offset.to_be_bytes());
        if extended {
            self.bytes.extend(length.to_be_bytes());
        } else {
            self.bytes.extend(u32::try_from(length).unwrap().to_be_bytes());
        }
        if command == WRITE {
            self.bytes.resize(self.bytes.len() + usize::try_from(length).unwrap(), 0x5a);
        }
    }
}
