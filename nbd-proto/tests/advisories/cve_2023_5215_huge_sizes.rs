//! CVE-2023-5215: a server tells a size of 2^63 bytes or more. The specification allows it; who keeps sizes in signed
//! numbers takes it for an error, or for a negative size, and misbehaves.
//!
//! We promise: every 64-bit size is a size, in both roles; whatever is computed from it is checked and does not wrap. What
//! the command and the hand-over to the kernel make of such sizes is tested where they are.

use nbd_proto::error::Refused;
use nbd_proto::handshake::{Connect, Offer, ReplyStyle};
use nbd_proto::transmission::Command;
use nbd_proto::wire::flags::TransmissionFlags;
use nbd_proto::wire::number::CommandType;

use crate::accept::bytes as option;
use crate::accept::session::Session;
use crate::client::harness::{STYLES, Seen, Setup};
use crate::client::server::{LAST, OK, data, simple};
use crate::connect::bytes::{self, GO, UNSUP};
use crate::connect::peer::{Peer, bare};
use crate::server::setup::Setup as Export;
use crate::server::verdict::asked;

const SIZES: [u64; 4] = [1 << 63, (1 << 63) + 1, u64::MAX - 1, u64::MAX];

#[test]
fn a_client_is_told_such_a_size_as_it_is_by_every_way_to_tell_it() {
    for size in SIZES {
        let named = Peer::fixed().refuse(GO, UNSUP).refuse(bytes::LIST, UNSUP).then(bytes::export_facts(size, 1));
        for peer in [Peer::fixed().export(GO, size, 1), named, Peer::says(bytes::oldstyle(size, 1))] {
            assert_eq!(peer.run(Connect::new(bare(""))).success().info.size, size);
        }
    }
}

#[test]
fn a_client_can_use_all_of_it_and_not_a_byte_more() {
    for (style, size) in STYLES.into_iter().flat_map(|style| SIZES.map(|size| (style, size))) {
        let mut link = Setup { size, ..Setup::new(style) }.link();
        let read = link.submit(Command::read(size - 512, 512));
        let reply = match style {
            ReplyStyle::Simple => [simple(read, OK), vec![7; 512]].concat(),
            _ => link.chunk(read, LAST, &data(size - 512, &[7; 512])),
        };
        link.feed(&reply);
        assert_eq!(link.seen().last(), Some(&Seen::Done(read, Ok(()))), "{:?}", link.error);
        assert_eq!(link.buffers[&read], [7; 512]);
        link.submit(Command::write(0, 512));
        for (offset, length) in [(size - 511, 512), (size, 1), (u64::MAX, 512)] {
            let refused = link.client.submit(Command::write(offset, length));
            assert_eq!(refused, Err(Refused::OutOfBounds { offset, length, size }));
        }
    }
}

#[test]
fn a_server_offers_such_a_size_and_serves_all_of_it() {
    for size in SIZES {
        let mut session = Session::fixed();
        let answer = session.offered(&option::go("", &[]), &Offer::new(size, TransmissionFlags::empty()));
        assert_eq!(answer[22..30], size.to_be_bytes());
        assert_eq!(session.negotiated().info.size, size);
        for style in STYLES {
            let export = Export::new(style).with_size(size);
            for (command, past_the_end) in [(CommandType::READ, 22), (CommandType::WRITE, 28), (CommandType::TRIM, 22)]
            {
                asked(command, size - 512, 512).expect(&export, None);
                asked(command, size - 511, 512).expect(&export, Some(past_the_end));
                asked(command, u64::MAX, 512).expect(&export, Some(past_the_end));
            }
        }
    }
}
