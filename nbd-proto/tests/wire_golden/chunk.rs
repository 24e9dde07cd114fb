//! Payloads of reply chunks.

use nbd_proto::error::{Expected, Field, InvalidMessage, Message};
use nbd_proto::wire::chunk::{Chunk, Descriptor, Descriptors, ErrorChunk, OffsetHole, Width};
use nbd_proto::wire::flags::AllocationFlags;
use nbd_proto::wire::number::{ChunkType, ContextId, ErrorValue};

use crate::octets::octets;
use crate::{emitted, patched, payload};

/// `cuts`: the lengths at which a prefix of the payload is a sound payload too.
#[track_caller]
fn chunk(golden: &str, value: &Chunk<'_>, cuts: impl IntoIterator<Item = usize>) {
    let golden = octets(golden);
    payload(&golden, value, cuts, |bytes| Chunk::parse(value.chunk(), bytes));
    emitted(&golden, |out| value.emit(out));
}

#[test]
fn none() {
    chunk("", &Chunk::None, []);
}

#[test]
fn offset_data() {
    chunk("0000000000001000 'data'", &Chunk::OffsetData { offset: 4096, data: b"data" }, 9..12);
    chunk("ffffffffffffffff 00", &Chunk::OffsetData { offset: u64::MAX, data: b"\0" }, []);
}

#[test]
fn offset_hole() {
    chunk("0000000000001000 00000200", &Chunk::OffsetHole(OffsetHole { offset: 4096, length: 512 }), []);
    chunk("ffffffffffffffff ffffffff", &Chunk::OffsetHole(OffsetHole { offset: u64::MAX, length: u32::MAX }), []);
}

/// Checks a block status chunk, then the descriptors one by one.
#[track_caller]
fn block_status(
    golden: &str,
    width: Width,
    context: u32,
    expected: &[Descriptor],
    cuts: impl IntoIterator<Item = usize>,
) {
    let bytes = octets(golden);
    let extents = Descriptors::new(width, &bytes[width.prefix()..]);
    assert_eq!((extents.width(), extents.len()), (width, expected.len()));
    assert_eq!(extents.as_bytes(), &bytes[width.prefix()..]);
    assert_eq!(extents.clone().collect::<Vec<_>>(), expected);
    for (descriptor, octets) in expected.iter().zip(extents.as_bytes().chunks(width.descriptor())) {
        emitted(octets, |out| descriptor.emit(width, out));
    }
    let value = Chunk::BlockStatus { context: ContextId(context), extents };
    assert_eq!(Width::of(value.chunk()), Some(width));
    chunk(golden, &value, cuts);
}

#[test]
fn block_status_of_32_bits() {
    let expected = [Descriptor { length: 512, flags: 0 }, Descriptor { length: 0xffff_fe00, flags: 0x8000_0003 }];
    block_status("00000007 00000200 00000000 fffffe00 80000003", Width::Bits32, 7, &expected, [12]);
}

#[test]
fn block_status_of_64_bits() {
    let expected = [Descriptor { length: 1 << 32, flags: 3 }, Descriptor { length: 512, flags: 1 << 63 }];
    let golden = "fffffffe 00000002 0000000100000000 0000000000000003 0000000000000200 8000000000000000";
    block_status(golden, Width::Bits64, 0xffff_fffe, &expected, []);
}

#[test]
fn each_allocation_flag_has_its_bit() {
    assert_eq!(AllocationFlags::HOLE.bits(), 1);
    assert_eq!(AllocationFlags::ZERO.bits(), 2);
}

#[test]
fn the_start_of_a_block_status_is_awaited_byte_by_byte() {
    for (golden, width) in [("00000007", Width::Bits32), ("00000007 00000002", Width::Bits64)] {
        let golden = octets(golden);
        assert_eq!(golden.len(), width.prefix());
        for length in 0..golden.len() {
            assert_eq!(width.parse_prefix(&golden[..length], 2), Ok(None));
        }
        assert_eq!(width.parse_prefix(&golden, 2), Ok(Some(ContextId(7))));
        assert_eq!(width.parse_prefix(&[&golden[..], &[0xff; 9]].concat(), 2), Ok(Some(ContextId(7))));
    }
}

#[test]
fn an_incomplete_descriptor_is_left_out() {
    let bytes = octets("00000200 00000000 00000400 00000003");
    for length in 0..=bytes.len() {
        assert_eq!(Descriptors::new(Width::Bits32, &bytes[..length]).len(), length / 8);
        assert_eq!(Descriptors::new(Width::Bits64, &bytes[..length]).len(), length / 16);
    }
}

fn error(chunk: u16, error: u32, message: &[u8], offset: Option<u64>, rest: &'static [u8]) -> Chunk<'static> {
    let message = message.to_vec().leak();
    Chunk::Error(ErrorChunk { chunk: ChunkType(chunk), error: ErrorValue(error), message, offset, rest })
}

#[test]
fn error_chunk() {
    chunk("00000005 0008 'no'20'space'", &error(0x8001, 5, b"no space", None, b""), []);
    chunk("0000006c 0000", &error(0x8001, 108, b"", None, b""), []);
    // An error number nobody knows, and a message that is no UTF-8.
    chunk("deadbeef 0002 'a'ff", &error(0x8001, 0xdead_beef, b"a\xff", None, b""), []);
}

#[test]
fn error_chunk_with_offset() {
    chunk("0000001c 0004 'full' 0000000000002000", &error(0x8002, 28, b"full", Some(8192), b""), []);
    chunk("00000005 0000 ffffffffffffffff", &error(0x8002, 5, b"", Some(u64::MAX), b""), []);
}

#[test]
fn error_chunk_of_unknown_type() {
    chunk("00000016 0003 'bad' 01020304", &error(0x8777, 22, b"bad", None, b"\x01\x02\x03\x04"), 9..13);
    chunk("00000016 0000", &error(0xffff, 22, b"", None, b""), []);
}

#[test]
fn unknown_chunks_are_kept() {
    chunk("'xyz'", &Chunk::Unknown { chunk: ChunkType(3), payload: b"xyz" }, 0..3);
    chunk("", &Chunk::Unknown { chunk: ChunkType(0x7fff), payload: b"" }, []);
}

#[track_caller]
fn wrong_message_length(kind: ChunkType, golden: &str, with: u16, expected: &Result<Chunk<'_>, InvalidMessage>) {
    let golden = octets(golden);
    assert!(Chunk::parse(kind, &golden).is_ok());
    assert_eq!(&Chunk::parse(kind, &patched(&golden, 4, &with.to_be_bytes())), expected);
}

fn over_room(length: u64, room: u64) -> Result<Chunk<'static>, InvalidMessage> {
    Err(InvalidMessage::InnerLength { field: Field::ErrorMessage, length, room })
}

fn trailing(extra: u64) -> Result<Chunk<'static>, InvalidMessage> {
    Err(InvalidMessage::TrailingBytes { message: Message::ErrorChunk, extra })
}

#[test]
fn wrong_inner_length_of_an_error_message() {
    let golden = "00000005 0003 'bad'";
    wrong_message_length(ChunkType::ERROR, golden, 0, &trailing(3));
    wrong_message_length(ChunkType::ERROR, golden, 4, &over_room(4, 3));
    wrong_message_length(ChunkType::ERROR, golden, 2, &trailing(1));
    wrong_message_length(ChunkType::ERROR, golden, u16::MAX, &over_room(0xffff, 3));
}

#[test]
fn wrong_inner_length_of_an_error_message_before_an_offset() {
    let golden = "00000005 0003 'bad' 0000000000002000";
    wrong_message_length(ChunkType::ERROR_OFFSET, golden, 0, &trailing(3));
    wrong_message_length(ChunkType::ERROR_OFFSET, golden, 4, &over_room(4, 3));
    wrong_message_length(ChunkType::ERROR_OFFSET, golden, 2, &trailing(1));
    wrong_message_length(ChunkType::ERROR_OFFSET, golden, u16::MAX, &over_room(0xffff, 3));
}

#[test]
fn wrong_inner_length_of_a_message_in_an_unknown_error_chunk() {
    let golden = "00000005 0003 'bad' 0102";
    let kind = ChunkType(0x8777);
    // As long as it fits, nobody can tell that it is wrong.
    wrong_message_length(kind, golden, 0, &Ok(error(0x8777, 5, b"", None, b"bad\x01\x02")));
    wrong_message_length(kind, golden, 4, &Ok(error(0x8777, 5, b"bad\x01", None, b"\x02")));
    wrong_message_length(kind, golden, 2, &Ok(error(0x8777, 5, b"ba", None, b"d\x01\x02")));
    wrong_message_length(kind, golden, 6, &over_room(6, 5));
    wrong_message_length(kind, golden, u16::MAX, &over_room(0xffff, 5));
}

#[test]
fn wrong_number_of_descriptors() {
    let golden = octets("00000007 00000002 0000000000000200 00*8 0000000000000400 00*8");
    for told in [0, 1, 3, u32::MAX] {
        let wrong = patched(&golden, 4, &told.to_be_bytes());
        let error = InvalidMessage::DescriptorCount { told, count: 2 };
        assert_eq!(Width::Bits64.parse_prefix(&wrong, 2), Err(error.clone()));
        assert_eq!(Chunk::parse(ChunkType::BLOCK_STATUS_EXT, &wrong), Err(error));
    }
}

#[test]
fn the_other_width_is_told_by_the_length() {
    // 64-bit descriptors under the 32-bit type, and the other way round.
    let wide = octets("00000007 00000001 0000000000000200 0000000000000000");
    let narrow = octets("00000007 00000200 00000000 00000400 00000003");
    let wrong = |base, of, got| {
        let expected = Expected::PositiveMultiple { base, of };
        Err(InvalidMessage::Length { message: Message::BlockStatus, expected, got })
    };
    assert_eq!(Chunk::parse(ChunkType::BLOCK_STATUS, &wide), wrong(4, 8, 24));
    assert_eq!(Chunk::parse(ChunkType::BLOCK_STATUS_EXT, &narrow), wrong(8, 16, 20));
}

#[test]
fn descriptors_are_shown_one_by_one() {
    let bytes = octets("00000200 00000000 00000400 00000003");
    let shown = format!("{:?}", Descriptors::new(Width::Bits32, &bytes));
    let one = |length, flags| format!("{:?}", Descriptor { length, flags });
    assert_eq!(shown, format!("[{}, {}]", one(512, 0), one(1024, 3)));
}
