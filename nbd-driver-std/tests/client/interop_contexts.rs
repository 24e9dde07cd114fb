//! Several metadata contexts at once, on the one server that has them.

use std::collections::BTreeSet;

use nbd_testkit::{Disk, Nbdkit, QemuNbd, Server, pattern};

use crate::driver::nbd_proto::handshake::ReplyStyle;
use crate::driver::nbd_proto::wire::flags::{CommandFlags, TransmissionFlags};
use crate::driver::{Client, ConnectOptions, Error};
use crate::support::{KIB, MIB, must_end, refused};

const BASE: &str = "base:allocation";
const DEPTH: &str = "qemu:allocation-depth";
const MONDAY: &str = "qemu:dirty-bitmap:monday";
const TUESDAY: &str = "qemu:dirty-bitmap:tuesday";
const ALL: [&str; 4] = [BASE, DEPTH, MONDAY, TUESDAY];

fn server() -> Option<Server> {
    let disk = Disk::empty(MIB).data(256 * KIB, pattern(64 << 10, 1));
    QemuNbd::new(disk)
        .bitmap("monday", 65536, &[0..64 * KIB, 512 * KIB..768 * KIB])
        .bitmap("tuesday", 65536, &[MIB - 64 * KIB..MIB])
        .allocation_depth()
        .extended_headers()
        .start()
}

/// What a context says of every byte: runs of equal flags, joined.
fn runs(client: &Client, context: &str, range: std::ops::Range<u64>) -> Vec<(u64, u64, u64)> {
    let mut runs: Vec<(u64, u64, u64)> = Vec::new();
    for extent in client.block_status(context, range).unwrap() {
        let extent = extent.unwrap();
        let end = extent.offset + extent.length;
        match runs.last_mut() {
            Some(last) if last.1 == extent.offset && last.2 == extent.flags => last.1 = end,
            _ => runs.push((extent.offset, end, extent.flags)),
        }
    }
    runs
}

fn every_context_tells_its_own(style: ReplyStyle) {
    must_end(move || {
        let Some(server) = server() else { return };
        let mut options = ConnectOptions::new().extended_headers(style == ReplyStyle::Extended);
        for name in ALL {
            options = options.meta_context(name);
        }
        let client = options.connect(&server.uri()).unwrap();
        assert_eq!(client.negotiated().reply_style, style);
        let names: Vec<_> = client.negotiated().contexts.iter().map(|context| &context.name[..]).collect();
        assert_eq!(names.len(), ALL.len(), "{names:?}");
        // With extended headers, the walk asks for one context at a time.
        let filter = client.offers(TransmissionFlags::BLOCK_STATUS_PAYLOAD);
        assert_eq!(filter, style == ReplyStyle::Extended);

        let monday = [(0, 65536, 1), (65536, 512 * KIB, 0), (512 * KIB, 768 * KIB, 1), (768 * KIB, MIB, 0)];
        assert_eq!(runs(&client, MONDAY, 0..MIB), monday);
        assert_eq!(runs(&client, TUESDAY, 0..MIB), [(0, MIB - 65536, 0), (MIB - 65536, MIB, 1)]);
        assert_eq!(runs(&client, MONDAY, 600 * KIB..700 * KIB), [(600 * KIB, 700 * KIB, 1)]);
        // 3: a hole that reads as zeroes. What was written again for the bitmaps is allocated.
        let allocated = |at| runs(&client, BASE, at..at + 512)[0].2;
        assert_eq!([allocated(100 * KIB), allocated(256 * KIB)], [3, 0]);
        let depth = |at| runs(&client, DEPTH, at..at + 512)[0].2;
        assert_eq!([depth(100 * KIB), depth(256 * KIB)], [0, 1]);

        let all = client.block_status_once(0, MIB, CommandFlags::empty()).unwrap();
        let by: BTreeSet<_> = all.iter().map(|told| told.context.0).collect();
        assert_eq!(by.len(), ALL.len(), "{all:?}");
        let one = client.block_status_once(0, MIB, CommandFlags::REQ_ONE).unwrap();
        assert_eq!(one.len(), ALL.len());
        assert!(one.iter().all(|told| told.extents.len() == 1), "{one:?}");
        client.shutdown().unwrap();
    });
}

#[test]
fn every_context_tells_its_own_by_structured_replies() {
    every_context_tells_its_own(ReplyStyle::Structured);
}

#[test]
fn every_context_tells_its_own_by_extended_headers() {
    every_context_tells_its_own(ReplyStyle::Extended);
}

#[test]
fn contexts_are_listed_on_demand() {
    must_end(|| {
        let Some(server) = server() else { return };
        let client = ConnectOptions::new().list_contexts(true).connect(&server.uri()).unwrap();
        assert_eq!(client.negotiated().contexts, []);
        let mut available = client.negotiated().available_contexts.clone().unwrap();
        available.sort();
        assert_eq!(available, ALL);
        let client = Client::connect(&server.uri()).unwrap();
        assert_eq!(client.negotiated().available_contexts, None);
    });
}

#[test]
fn a_context_that_the_server_lacks_is_no_error_until_it_is_used() {
    must_end(|| {
        let Some(server) = Nbdkit::memory("1M").start() else { return };
        let options = ConnectOptions::new().meta_context(BASE).meta_context(MONDAY);
        let client = options.connect(&server.uri()).unwrap();
        assert!(client.block_status(BASE, 0..MIB).unwrap().all(|extent| extent.is_ok()));
        let error = client.block_status(MONDAY, 0..MIB).err().unwrap();
        assert!(matches!(&error, Error::NoSuchContext { name } if name == MONDAY));
        assert!(error.to_string().contains(MONDAY), "{error}");
    });
}

#[test]
fn a_walk_past_the_end_is_refused() {
    must_end(|| {
        let Some(server) = Nbdkit::memory("1M").start() else { return };
        let client = ConnectOptions::new().meta_context(BASE).connect(&server.uri()).unwrap();
        let mut walk = client.block_status(BASE, 0..MIB + 1).unwrap();
        refused(walk.next().unwrap());
        assert!(walk.next().is_none(), "it ends with the error");
        assert!(client.block_status(BASE, 0..MIB).unwrap().all(|extent| extent.is_ok()));
    });
}
