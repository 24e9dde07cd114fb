//! CVE-2025-47712: a client asks for the status of a range of nearly 4 GiB; rounding it to blocks makes a length of 2^32,
//! which does not fit into 32 bits, and the server fails an assertion.
//!
//! We promise: lengths of 2^32-1 and 2^32 and a tail that fills no block are answered rightly, with compact and with
//! extended headers, and none of our own answers breaks the rules of blocks.

use nbd_proto::error::Refused;
use nbd_proto::handshake::ReplyStyle;
use nbd_proto::transmission::Command;
use nbd_proto::wire::chunk::Descriptor;
use nbd_proto::wire::info::BlockSizes;
use nbd_proto::wire::number::CommandType;

use crate::client::harness::{BASE, CHUNKED, Seen, Setup};
use crate::client::server::LAST;
use crate::server::client::chunks;
use crate::server::harness::each_way;
use crate::server::setup::{BASE as ID, Setup as Export};
use crate::server::verdict::asked;

const GIB_4: u64 = 1 << 32;
const STATUS: CommandType = CommandType::BLOCK_STATUS;

#[test]
fn a_server_answers_for_2_to_the_32_less_one_bytes_and_for_2_to_the_32() {
    for (style, length) in [
        (ReplyStyle::Structured, GIB_4 - 1),
        (ReplyStyle::Extended, GIB_4 - 1),
        (ReplyStyle::Extended, GIB_4),
        (ReplyStyle::Extended, GIB_4 + 1),
    ] {
        for size in [length, length + 1, GIB_4 << 8] {
            let setup = Export::new(style).with_size(size).with_contexts(&["base:allocation"]);
            asked(STATUS, 0, length).expect(&setup, None);
            each_way(&setup, |link| {
                link.ask(7, STATUS, 0, length);
                link.finish_status(0, &[(ID, &[Descriptor { length, flags: 0 }])]).unwrap();
                let told = chunks(&link.send_all())[0].extents().1;
                assert_eq!(told.iter().map(|(length, _)| length).sum::<u64>(), length, "{told:?}");
            });
        }
    }
}

/// Extents of a server with a minimum block size are whole blocks, but for a tail at the end of the export.
#[test]
fn cut_extents_are_whole_blocks_and_the_tail_is_told() {
    let tail = 100;
    for block in [512, 4096, 65_536] {
        for size in [GIB_4 + tail, 2 * GIB_4 + tail] {
            let blocks = GIB_4 - u64::from(block);
            let setup = Export::new(ReplyStyle::Structured).with_size(size).with_sizes(block, 1 << 25);
            let setup = setup.with_contexts(&["base:allocation"]);
            each_way(&setup, |link| {
                link.ask(7, STATUS, 0, blocks);
                link.finish_status(0, &[(ID, &[Descriptor { length: size, flags: 0 }])]).unwrap();
                link.ask(8, STATUS, size - tail - u64::from(block), u64::from(block));
                link.finish_status(1, &[(ID, &[Descriptor { length: u64::MAX, flags: 0 }])]).unwrap();
                let answers = chunks(&link.send_all());
                let first = answers[0].extents().1;
                let sum: u64 = first.iter().map(|(length, _)| length).sum();
                let (last, whole) = first.split_last().unwrap();
                assert!(whole.iter().all(|(length, _)| length % u64::from(block) == 0), "{first:?}");
                assert!(last.0 % u64::from(block) == 0 || sum == size, "{first:?}");
                assert!(sum >= blocks, "{first:?}");
                assert_eq!(answers[1].extents().1, [(u64::from(block) + tail, 0)]);
            });
        }
    }
}

#[test]
fn a_client_asks_for_no_more_than_its_headers_can_say_and_takes_the_longest_answer() {
    for style in CHUNKED {
        let sizes = BlockSizes { minimum: 512, preferred: 4096, maximum: 1 << 25 };
        let mut setup = Setup { size: 2 * GIB_4 + 100, sizes: Some(sizes), ..Setup::new(style) };
        setup.contexts.truncate(1);
        let mut link = setup.link();
        let refused = link.client.submit(Command::block_status(0, GIB_4));
        match style {
            ReplyStyle::Extended => assert!(refused.is_ok(), "{refused:?}"),
            _ => assert!(matches!(refused, Err(Refused::TooLong { .. })), "{refused:?}"),
        }
        // A length of 2^32-1 is no whole number of blocks, so it is not ours to ask for, but a server's to tell.
        let mut link = setup.link();
        let unaligned = link.client.submit(Command::block_status(0, GIB_4 - 1));
        assert!(matches!(unaligned, Err(Refused::Unaligned { .. })), "{unaligned:?}");
        let cookie = link.submit(Command::block_status(0, GIB_4 - 512));
        link.feed(&link.status(cookie, LAST, BASE, &[(GIB_4 - 1, 0)]));
        assert_eq!(link.seen().last(), Some(&Seen::Done(cookie, Ok(()))), "{:?}", link.error);
    }
}
