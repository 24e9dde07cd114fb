//! Payloads of the right length with impossible values in them.

use nbd_proto::error::InvalidMessage;
use nbd_proto::wire::chunk::{Chunk, OffsetHole, Width};
use nbd_proto::wire::info::{BlockSizes, Info};
use nbd_proto::wire::number::{ChunkType, ContextId};

use crate::octets::octets;

fn block_sizes(minimum: u32, preferred: u32, maximum: u32) -> (BlockSizes, Result<BlockSizes, InvalidMessage>) {
    let sizes = BlockSizes { minimum, preferred, maximum };
    let mut payload = Vec::new();
    Info::BlockSize(sizes).emit(&mut payload);
    let parsed = Info::parse(&payload).map(|info| match info {
        Info::BlockSize(sizes) => sizes,
        other => unreachable!("{other:?}"),
    });
    (sizes, parsed)
}

#[track_caller]
fn bad(minimum: u32, preferred: u32, maximum: u32) {
    let (sizes, parsed) = block_sizes(minimum, preferred, maximum);
    assert_eq!(parsed, Err(InvalidMessage::BlockSizes { sizes }));
    assert!(!sizes.keeps_the_specification());
}

#[track_caller]
fn tolerated(minimum: u32, preferred: u32, maximum: u32) {
    let (sizes, parsed) = block_sizes(minimum, preferred, maximum);
    assert_eq!(parsed, Ok(sizes));
    assert!(!sizes.keeps_the_specification());
}

#[track_caller]
fn good(minimum: u32, preferred: u32, maximum: u32) {
    let (sizes, parsed) = block_sizes(minimum, preferred, maximum);
    assert_eq!(parsed, Ok(sizes));
    assert!(sizes.keeps_the_specification());
}

// O4
#[test]
fn minimum_block_size_that_is_no_power_of_two() {
    bad(0, 4096, 1 << 25);
    bad(3, 4096, 1 << 25);
    bad(513, 4096, 1 << 25);
    bad(u32::MAX, u32::MAX, u32::MAX);
}

// O4
#[test]
fn preferred_block_size_that_is_no_power_of_two() {
    bad(1, 0, 1 << 25);
    bad(1, 4095, 1 << 25);
    bad(512, 513, 1 << 25);
}

// O4
#[test]
fn preferred_block_size_below_the_minimum() {
    bad(4096, 2048, 1 << 25);
    bad(2, 1, 1 << 25);
}

// O4
#[test]
fn maximum_payload_below_the_minimum() {
    bad(4096, 4096, 4095);
    bad(1, 4096, 0);
}

// O4
#[test]
fn minimum_block_size_over_65536_is_tolerated() {
    tolerated(1 << 17, 1 << 17, 1 << 25);
    tolerated(1 << 31, 1 << 31, u32::MAX);
}

// O4
#[test]
fn preferred_block_size_below_512_is_tolerated() {
    tolerated(1, 1, 1 << 25);
    tolerated(1, 256, 1 << 25);
}

// O4
#[test]
fn maximum_payload_below_the_preferred_size_is_tolerated() {
    tolerated(1, 4096, 4095);
    tolerated(512, 4096, 512);
}

// O4
#[test]
fn block_sizes_at_the_bounds_of_the_specification() {
    good(1, 512, 512);
    good(512, 4096, 1 << 25);
    good(1 << 16, 1 << 16, 1 << 16);
    good(1, 1 << 31, u32::MAX);
    // The maximum need be neither a power of two nor a multiple of the minimum.
    good(512, 4096, 4097);
}

// O4
#[test]
fn impossible_block_sizes_are_shown() {
    let text = block_sizes(3, 4096, 7).1.unwrap_err().to_string();
    assert!(text.contains("minimum 3, preferred 4096, maximum 7"), "{text}");
}

#[test]
fn hole_of_no_bytes() {
    let payload = octets("0000000000001000 00000000");
    assert_eq!(Chunk::parse(ChunkType::OFFSET_HOLE, &payload), Err(InvalidMessage::EmptyHole));
    assert_eq!(OffsetHole::parse(&payload), Err(InvalidMessage::EmptyHole));
}

#[test]
fn extent_of_no_bytes_in_32_bits() {
    let error = InvalidMessage::EmptyExtent { context: ContextId(7) };
    for payload in ["00000007 00000000 00000003", "00000007 00000200 00000003 00000000 00000000"] {
        assert_eq!(Chunk::parse(ChunkType::BLOCK_STATUS, &octets(payload)), Err(error.clone()));
    }
}

#[test]
fn extent_of_no_bytes_in_64_bits() {
    let error = InvalidMessage::EmptyExtent { context: ContextId(7) };
    for payload in [
        "00000007 00000001 0000000000000000 0000000000000003",
        "00000007 00000002 0000000000000200 0000000000000003 0000000000000000 0000000000000003",
    ] {
        assert_eq!(Chunk::parse(ChunkType::BLOCK_STATUS_EXT, &octets(payload)), Err(error.clone()));
    }
}

#[test]
fn descriptor_count_that_is_not_the_number_of_descriptors() {
    let descriptor = "0000000000000200 0000000000000003";
    for (told, count) in [(0, 1), (2, 1), (1, 2), (u32::MAX, 1)] {
        let payload = octets(&format!("00000007 {told:08x} {}", descriptor.repeat(count as usize)));
        let error = InvalidMessage::DescriptorCount { told, count };
        assert_eq!(Chunk::parse(ChunkType::BLOCK_STATUS_EXT, &payload), Err(error.clone()));
        assert_eq!(Width::Bits64.parse_prefix(&payload, count), Err(error));
    }
}

#[test]
fn error_chunks_that_say_no_error() {
    for (chunk, payload) in [
        (ChunkType::ERROR, "00000000 0000"),
        (ChunkType::ERROR, "00000000 0002 'ok'"),
        (ChunkType::ERROR_OFFSET, "00000000 0000 0000000000001000"),
        (ChunkType(0x8777), "00000000 0000 0102"),
    ] {
        let error = InvalidMessage::ErrorChunkWithoutError { chunk };
        assert_eq!(Chunk::parse(chunk, &octets(payload)), Err(error));
    }
}
