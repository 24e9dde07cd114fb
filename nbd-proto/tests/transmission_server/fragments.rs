//! Reads that are not to be fragmented: "the server MUST send at most one content chunk".

use nbd_proto::handshake::ReplyStyle;
use nbd_proto::transmission::ReadPart::{Data, Hole};
use nbd_proto::wire::flags::CommandFlags;
use nbd_proto::wire::number::CommandType;

use crate::client::chunks;
use crate::harness::{Link, each_style, each_way, patterns};
use crate::setup::{CHUNKED, Setup};

#[track_caller]
fn play(scene: impl Fn(&mut Link)) {
    for style in CHUNKED {
        each_way(&Setup::new(style), |link| {
            link.ask_with(7, CommandType::READ, CommandFlags::DF, 512, 1536);
            scene(link);
        });
    }
}

#[test]
fn parts_of_data_are_joined() {
    play(|link| {
        link.finish_read(0, &[Data(512), Data(1), Data(1023)]).unwrap();
        let chunks = chunks(&link.send_all());
        assert_eq!((chunks.len(), chunks[0].kind, chunks[0].last), (1, Some(1), true));
        assert_eq!(chunks[0].payload, [&512u64.to_be_bytes()[..], &patterns(512, 1536)].concat());
    });
}

// "If the area being read contains both data and a hole, the server MUST use `NBD_REPLY_TYPE_OFFSET_DATA` with the
// zeroes explicitly present."
#[test]
fn a_hole_beside_data_comes_from_the_buffer() {
    play(|link| {
        link.buffers[0][512..1024].fill(0);
        link.finish_read(0, &[Data(512), Hole(512), Data(512)]).unwrap();
        let chunks = chunks(&link.send_all());
        assert_eq!((chunks.len(), chunks[0].kind, chunks[0].last), (1, Some(1), true));
        assert_eq!(chunks[0].payload[8..], [patterns(512, 512), vec![0; 512], patterns(1536, 512)].concat());
    });
}

#[test]
fn nothing_but_holes_is_one_hole() {
    play(|link| {
        link.finish_read(0, &[Hole(512), Hole(512), Hole(512)]).unwrap();
        let chunks = chunks(&link.send_all());
        assert_eq!((chunks.len(), chunks[0].kind, chunks[0].last), (1, Some(2), true));
        assert_eq!(chunks[0].payload, [&512u64.to_be_bytes()[..], &1536u32.to_be_bytes()].concat());
    });
}

#[test]
fn the_caller_is_told_whether_holes_can_do_without_their_zeroes() {
    each_style(|link| {
        link.ask(7, CommandType::READ, 0, 512);
        link.ask(8, CommandType::CACHE, 0, 512);
        let chunked = link.style != ReplyStyle::Simple;
        assert_eq!((link.requests[0].takes_holes, link.requests[1].takes_holes), (chunked, false));
        if chunked {
            link.ask_with(9, CommandType::READ, CommandFlags::DF, 0, 512);
            assert!(!link.requests[2].takes_holes);
        }
    });
}

// FUA on a read means nothing, and must not be taken for DF.
#[test]
fn without_the_flag_each_part_is_a_chunk() {
    for style in CHUNKED {
        each_way(&Setup::new(style), |link| {
            link.ask_with(7, CommandType::READ, CommandFlags::FUA, 0, 3);
            link.finish_read(0, &[Data(1), Data(1), Hole(1)]).unwrap();
            let last: Vec<_> = chunks(&link.send_all()).iter().map(|chunk| (chunk.kind, chunk.last)).collect();
            assert_eq!(last, [(Some(1), false), (Some(1), false), (Some(2), true)]);
        });
    }
}
