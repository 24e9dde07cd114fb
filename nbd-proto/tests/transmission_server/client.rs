//! What clients say, and how they take what they are told. Written in octets, apart from the code under test.

use nbd_proto::handshake::ReplyStyle;
use nbd_proto::wire::flags::CommandFlags;
use nbd_proto::wire::number::CommandType;

use super::harness::Link;

/// A request header as the style has it. A `WRITE` with extended headers says that it has a payload.
pub(crate) fn request(
    style: ReplyStyle,
    cookie: u64,
    command: CommandType,
    flags: CommandFlags,
    offset: u64,
    length: u64,
) -> Vec<u8> {
    let extended = style == ReplyStyle::Extended;
    let payload = extended && command == CommandType::WRITE;
    let flags = if payload { flags | CommandFlags::PAYLOAD_LEN } else { flags };
    raw_request(extended, cookie, command.0, flags.bits(), offset, length)
}

/// A request header without anything being thought for the caller.
pub(crate) fn raw_request(extended: bool, cookie: u64, command: u16, flags: u16, offset: u64, length: u64) -> Vec<u8> {
    let magic: u32 = if extended { 0x21e4_1c71 } else { 0x2560_9513 };
    let mut bytes = magic.to_be_bytes().to_vec();
    bytes.extend(flags.to_be_bytes());
    bytes.extend(command.to_be_bytes());
    bytes.extend(cookie.to_be_bytes());
    bytes.extend(offset.to_be_bytes());
    if extended {
        bytes.extend(length.to_be_bytes());
    } else {
        bytes.extend(u32::try_from(length).expect("a length of 32 bits").to_be_bytes());
    }
    bytes
}

/// The payload form of `BLOCK_STATUS`, whole.
pub(crate) fn filtered_status(cookie: u64, flags: u16, offset: u64, effect_length: u64, contexts: &[u32]) -> Vec<u8> {
    let mut bytes = raw_request(true, cookie, 7, flags | 1 << 5, offset, 8 + 4 * contexts.len() as u64);
    bytes.extend(effect_length.to_be_bytes());
    bytes.extend(contexts.iter().flat_map(|context| context.to_be_bytes()));
    bytes
}

/// A reply, or a chunk of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) cookie: u64,
    /// None in a simple reply.
    pub(crate) kind: Option<u16>,
    pub(crate) last: bool,
    /// That of the header, with extended headers.
    pub(crate) offset: Option<u64>,
    /// The payload; in a simple reply the error.
    pub(crate) payload: Vec<u8>,
}

impl Chunk {
    /// The error, 0 for success.
    pub(crate) fn error(&self) -> u32 {
        match self.kind {
            None | Some(0x8001 | 0x8002) => number(&self.payload[..4]) as u32,
            Some(_) => 0,
        }
    }

    /// The words of an error chunk.
    pub(crate) fn message(&self) -> &str {
        std::str::from_utf8(&self.payload[6..6 + number(&self.payload[4..6]) as usize]).unwrap()
    }

    /// Context and extents of a block status: length and flags of each.
    pub(crate) fn extents(&self) -> (u32, Vec<(u64, u64)>) {
        let (prefix, half) = match self.kind {
            Some(5) => (4, 4),
            Some(6) => (8, 8),
            other => panic!("no block status: {other:?}"),
        };
        let descriptors = self.payload[prefix..].chunks(2 * half);
        let extents: Vec<_> = descriptors.map(|one| (number(&one[..half]), number(&one[half..]))).collect();
        if prefix == 8 {
            assert_eq!(number(&self.payload[4..8]), extents.len() as u64, "the count of descriptors");
        }
        (number(&self.payload[..4]) as u32, extents)
    }
}

pub(crate) fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Takes a stream of replies apart, of which no simple one has data.
pub(crate) fn chunks(mut bytes: &[u8]) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    while !bytes.is_empty() {
        let magic = number(&bytes[..4]);
        if magic == 0x6744_6698 {
            let (payload, cookie) = (bytes[4..8].to_vec(), number(&bytes[8..16]));
            chunks.push(Chunk { cookie, kind: None, last: true, offset: None, payload });
            bytes = &bytes[16..];
            continue;
        }
        let header = match magic {
            0x668e_33ef => 20,
            0x6e8a_278c => 32,
            other => panic!("no magic of a reply: {other:#x}"),
        };
        let offset = (header == 32).then(|| number(&bytes[16..24]));
        let length = number(&bytes[header - if header == 32 { 8 } else { 4 }..header]) as usize;
        let (flags, kind) = (number(&bytes[4..6]), number(&bytes[6..8]) as u16);
        assert!(flags <= 1, "unknown reply flags {flags:#x}");
        let payload = bytes[header..header + length].to_vec();
        let (cookie, last) = (number(&bytes[8..16]), flags == 1);
        chunks.push(Chunk { cookie, kind: Some(kind), last, offset, payload });
        bytes = &bytes[header + length..];
    }
    chunks
}

impl Link {
    /// Sends all there is, and gives the cookie and the error of each answer, 0 for success. Answers have one part
    /// here, and a simple one no data.
    pub(crate) fn answers(&mut self) -> Vec<(u64, u32)> {
        let style = self.style;
        let answer = |chunk: Chunk| {
            assert!(chunk.last);
            match style {
                ReplyStyle::Simple => assert_eq!(chunk.kind, None),
                ReplyStyle::Structured => assert_eq!(chunk.offset, None),
                ReplyStyle::Extended => assert!(chunk.offset.is_some()),
            }
            (chunk.cookie, chunk.error())
        };
        chunks(&self.send_all()).into_iter().map(answer).collect()
    }
}
