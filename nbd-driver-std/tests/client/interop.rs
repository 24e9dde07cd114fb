//! What every server of the matrix does: all that it offers, and a clear refusal of the rest.

use fastrand::Rng;
use nbd_testkit::{Disk, Handshake, NbdServer, Nbdkit, QemuNbd, Server, pattern};

use crate::driver::nbd_proto::error::Refused;
use crate::driver::nbd_proto::handshake::{HandshakeStyle, ReplyStyle};
use crate::driver::nbd_proto::wire::flags::{AllocationFlags, CommandFlags, TransmissionFlags};
use crate::driver::nbd_proto::wire::number::ErrorValue;
use crate::driver::{Client, ConnectOptions, Error};
use crate::support::{KIB, MIB, assert_same, contents, must_end, refused, server_error};

/// A server and how we talk to it.
#[derive(Clone, Copy)]
struct Kind {
    start: fn(Disk) -> Option<Server>,
    structured: bool,
    extended: bool,
    handshake: HandshakeStyle,
    replies: ReplyStyle,
    /// Besides flushing.
    offers: TransmissionFlags,
    status: bool,
    /// Whether it may refuse what it offers. nbdkit 1.32 does so in the old style: all but reads and writes.
    hollow: bool,
}

const FUA: TransmissionFlags = TransmissionFlags::SEND_FUA;
const TRIM: TransmissionFlags = TransmissionFlags::SEND_TRIM;
const ZERO: TransmissionFlags = TransmissionFlags::SEND_WRITE_ZEROES;
const CACHE: TransmissionFlags = TransmissionFlags::SEND_CACHE;
const EVERYTHING: TransmissionFlags = FUA.union(TRIM).union(ZERO).union(CACHE);
const BASE: &str = "base:allocation";

/// An nbdkit or qemu-nbd that hides nothing.
const FULL: Kind = Kind {
    start: |disk| Nbdkit::disk(disk).start(),
    structured: true,
    extended: true,
    handshake: HandshakeStyle::FixedNewstyle,
    replies: ReplyStyle::Structured,
    offers: EVERYTHING.union(TransmissionFlags::SEND_DF),
    status: true,
    hollow: false,
};

/// The same with simple replies.
const SIMPLE: Kind = Kind { replies: ReplyStyle::Simple, offers: EVERYTHING, status: false, ..FULL };

/// Data, holes and written zeroes, at even and odd places.
fn disk() -> Disk {
    Disk::empty(MIB)
        .data(64 * KIB, pattern(100_000, 1))
        .data(512 * KIB, vec![0; 64 << 10])
        .data(700 * KIB + 1, pattern(5, 2))
        .data(MIB - 4, *b"tail")
}

fn with(kind: Kind, test: fn(Kind, &Server, &Client)) {
    must_end(move || {
        let Some(server) = (kind.start)(disk()) else { return };
        let client = options(kind).meta_context(BASE).connect(&server.uri()).unwrap();
        test(kind, &server, &client);
        client.shutdown().unwrap();
    });
}

fn options(kind: Kind) -> ConnectOptions {
    ConnectOptions::new().extended_headers(kind.extended).structured_replies(kind.structured)
}

/// Whether the server did it, as it must but for the one exception.
#[track_caller]
fn done(kind: Kind, result: Result<(), Error>) -> bool {
    if kind.hollow && result.is_err() {
        assert_eq!(server_error(result), ErrorValue::EINVAL);
        return false;
    }
    result.unwrap();
    true
}

fn info(kind: Kind, _: &Server, client: &Client) {
    let facts = client.negotiated();
    assert_eq!((facts.handshake_style, facts.reply_style), (kind.handshake, kind.replies));
    assert_eq!(client.size(), MIB);
    assert!(!client.is_read_only());
    assert!(client.offers(kind.offers | TransmissionFlags::SEND_FLUSH), "{:?}", facts.info.flags);
    let contexts: Vec<_> = facts.contexts.iter().map(|context| &context.name[..]).collect();
    assert_eq!(contexts, if kind.status { vec![BASE] } else { vec![] });
}

// F2, F3
fn list(kind: Kind, server: &Server, _: &Client) {
    let listing = options(kind).list(&server.uri());
    if kind.handshake == HandshakeStyle::Newstyle {
        let error = listing.unwrap_err().to_string();
        assert!(error.contains("list"), "{error}");
        return;
    }
    let listing = listing.unwrap();
    assert_eq!((listing.handshake_style, listing.reply_style), (kind.handshake, kind.replies));
    let names: Vec<_> = listing.exports.iter().map(|export| &export.name[..]).collect();
    assert_eq!(names, [server.export()]);
    match &listing.exports[0].info {
        Some(info) => {
            let size = info.as_ref().unwrap().size;
            // nbd-server 3.24 knows the size only in its answer to GO.
            assert!(size == MIB || size == 0, "{size}");
        }
        None => assert_eq!(kind.handshake, HandshakeStyle::Oldstyle),
    }
    assert_eq!(listing.exports[0].contexts.iter().any(|name| name == BASE), kind.status);
}

fn read(_: Kind, server: &Server, client: &Client) {
    let expected = contents(server);
    assert_same(&expected, &disk().contents());
    let mut random = Rng::with_seed(1);
    for turn in 0..100 {
        let offset = random.u64(..MIB);
        let most = if turn % 10 == 0 { MIB } else { 5000 };
        let length = random.u64(..=most.min(MIB - offset));
        let mut buffer = vec![0xee; length as usize];
        client.read_at(&mut buffer, offset).unwrap();
        assert_same(&buffer, &expected[offset as usize..][..length as usize]);
    }
    let mut all = vec![0xee; MIB as usize];
    client.read_at(&mut all, 0).unwrap();
    assert_same(&all, &expected);
}

fn write(kind: Kind, server: &Server, client: &Client) {
    let mut model = disk().contents();
    let mut random = Rng::with_seed(2);
    for turn in 0..100 {
        let offset = random.u64(..MIB);
        let most = if turn % 10 == 0 { MIB } else { 5000 };
        let length = random.u64(..=most.min(MIB - offset)) as usize;
        let data = pattern(length, turn);
        client.write_at(&data, offset).unwrap();
        model[offset as usize..][..length].copy_from_slice(&data);
    }
    let mut all = vec![0; MIB as usize];
    client.read_at(&mut all, 0).unwrap();
    assert_same(&all, &model);
    done(kind, client.flush());
    assert_same(&contents(server), &model);
}

fn flush(kind: Kind, server: &Server, client: &Client) {
    done(kind, client.flush());
    client.write_at(b"durable", 10).unwrap();
    if done(kind, client.flush()) {
        assert_eq!(&contents(server)[10..17], b"durable");
    }
    if done(kind, client.write_at_with(b"at once", 20, CommandFlags::FUA)) {
        assert_eq!(&contents(server)[20..27], b"at once");
    }
}

fn trim(kind: Kind, server: &Server, client: &Client) {
    let before = contents(server);
    let range = 64 * KIB..128 * KIB;
    done(kind, client.trim(range.start, range.end - range.start));
    done(kind, client.trim_with(range.start, 4096, CommandFlags::FUA));
    let (start, end) = (range.start as usize, range.end as usize);
    let after = contents(server);
    assert_same(&after[..start], &before[..start]);
    assert_same(&after[end..], &before[end..]);
    // What is in there is the server's affair, but it has to be readable.
    client.read_at(&mut vec![0; end - start], range.start).unwrap();
}

fn write_zeroes(kind: Kind, server: &Server, client: &Client) {
    if !kind.offers.contains(ZERO) {
        return assert!(matches!(refused(client.write_zeroes(0, 512)), Refused::NotOffered { .. }));
    }
    let mut model = contents(server);
    let ranges = [(64 * KIB, 4096), (70_001, 7), (100_000, 50_000), (MIB - 3, 3)];
    let flags = [CommandFlags::empty(), CommandFlags::NO_HOLE, CommandFlags::FUA, CommandFlags::empty()];
    for ((offset, length), flags) in ranges.into_iter().zip(flags) {
        if done(kind, client.write_zeroes_with(offset, length, flags)) {
            model[offset as usize..][..length as usize].fill(0);
        }
    }
    let mut all = vec![0xee; MIB as usize];
    client.read_at(&mut all, 0).unwrap();
    assert_same(&all, &model);
    done(kind, client.flush());
    assert_same(&contents(server), &model);
}

fn cache(kind: Kind, server: &Server, client: &Client) {
    if kind.offers.contains(CACHE) {
        done(kind, client.cache(0, MIB));
        done(kind, client.cache(12_345, 6789));
    } else {
        assert!(matches!(refused(client.cache(0, 512)), Refused::NotOffered { .. }));
    }
    assert_same(&contents(server), &disk().contents());
}

fn block_status(kind: Kind, server: &Server, client: &Client) {
    if !kind.status {
        let none = client.block_status(BASE, 0..MIB).err();
        assert!(matches!(none, Some(Error::NoSuchContext { name }) if name == BASE));
        assert_eq!(refused(client.block_status_once(0, 512, CommandFlags::empty())), Refused::NoContexts);
        return;
    }
    let data = contents(server);
    for range in [0..MIB, 65_000..66_000, 63 * KIB..600 * KIB, MIB - 1..MIB, 5..5] {
        let mut at = range.start;
        for extent in client.block_status(BASE, range.clone()).unwrap() {
            let extent = extent.unwrap();
            assert_eq!(extent.offset, at);
            at += extent.length;
            if extent.flags & AllocationFlags::ZERO.bits() != 0 {
                assert_same(&data[extent.offset as usize..at as usize], &vec![0; extent.length as usize]);
            }
        }
        assert_eq!(at, range.end);
    }
    // And it is not all called data: the disk begins with a hole.
    let first = client.block_status(BASE, 0..MIB).unwrap().next().unwrap().unwrap();
    assert_eq!(first.flags, (AllocationFlags::ZERO | AllocationFlags::HOLE).bits());
}

macro_rules! matrix {
    ($($(#[$meta:meta])* $name:ident: $kind:expr;)*) => {$(
        $(#[$meta])*
        mod $name {
            use super::*;

            const KIND: Kind = $kind;
            matrix!(@tests info list read write flush trim write_zeroes cache block_status);
        }
    )*};
    (@tests $($test:ident)*) => {$(
        #[test]
        fn $test() {
            with(KIND, super::$test);
        }
    )*};
}

matrix! {
    nbdkit_oldstyle: Kind {
        start: |disk| Nbdkit::disk(disk).mode(Handshake::Oldstyle).start(),
        handshake: HandshakeStyle::Oldstyle,
        hollow: true,
        ..SIMPLE
    };
    nbdkit_newstyle: Kind {
        start: |disk| Nbdkit::disk(disk).mode(Handshake::Newstyle).start(),
        handshake: HandshakeStyle::Newstyle,
        ..SIMPLE
    };
    nbdkit_fixed: FULL;
    nbdkit_fixed_with_zeroes: Kind {
        start: |disk| Nbdkit::disk(disk).mode(Handshake::FixedWithZeroes).start(),
        ..FULL
    };
    nbdkit_no_structured_replies: Kind {
        start: |disk| Nbdkit::disk(disk).no_structured_replies().start(),
        ..SIMPLE
    };
    qemu_simple: Kind {
        start: |disk| QemuNbd::new(disk).start(),
        structured: false,
        extended: false,
        ..SIMPLE
    };
    qemu_structured: Kind {
        start: |disk| QemuNbd::new(disk).export("named").start(),
        extended: false,
        ..FULL
    };
    qemu_extended: Kind {
        start: |disk| QemuNbd::new(disk).extended_headers().start(),
        replies: ReplyStyle::Extended,
        offers: FULL.offers.union(TransmissionFlags::BLOCK_STATUS_PAYLOAD),
        ..FULL
    };
    nbd_server: Kind {
        start: |disk| NbdServer::new().export("one", disk).start(),
        offers: FUA.union(TRIM).union(ZERO),
        ..SIMPLE
    };
}
