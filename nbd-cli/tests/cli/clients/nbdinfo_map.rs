//! `nbdinfo --map` draws what was written.

use std::process::Command;

use nbd_driver_std::Client;
use nbd_testkit::{Tool, pattern};
use serde_json::Value;

use super::site::{KIB, MIB, Replies, Site, Way, output, text};

const DATA: u64 = 0;
const HOLE: u64 = 3;

fn nbdinfo_map(site: &Site) -> Command {
    let mut command = Tool::Nbdinfo.command().unwrap();
    command.args(["--map", "--json"]).arg(&site.uri);
    command
}

/// Offset, length and type of each extent.
fn map(site: &Site) -> Vec<(u64, u64, u64)> {
    let map: Value = serde_json::from_str(&text(nbdinfo_map(site))).unwrap();
    let field = |extent: &Value, name: &str| extent[name].as_u64().unwrap();
    let extents = map.as_array().unwrap().iter();
    extents.map(|extent| (field(extent, "offset"), field(extent, "length"), field(extent, "type"))).collect()
}

fn ways_with_extents() -> impl Iterator<Item = Way> {
    Way::ALL.into_iter().filter(|way| way.replies != Replies::Simple)
}

#[test]
fn data_and_holes_are_where_they_were_made() {
    if !nbd_testkit::require(&[Tool::Nbdinfo]) {
        return;
    }
    for way in ways_with_extents() {
        let site = way.serve(8 * MIB);
        assert_eq!(map(&site), [(0, 8 * MIB, HOLE)], "{way:?}");
        site.fill(&[(MIB, pattern(3 << 20, 1)), (6 * MIB, pattern(64 << 10, 2))]);
        let client = Client::connect(&site.uri).unwrap();
        client.trim(2 * MIB, MIB).unwrap();
        client.shutdown().unwrap();
        let expected = [
            (0, MIB, HOLE),
            (MIB, MIB, DATA),
            (2 * MIB, MIB, HOLE),
            (3 * MIB, MIB, DATA),
            (4 * MIB, 2 * MIB, HOLE),
            (6 * MIB, 64 * KIB, DATA),
            (6 * MIB + 64 * KIB, 2 * MIB - 64 * KIB, HOLE),
        ];
        assert_eq!(map(&site), expected, "{way:?}");
        site.end().assert_agreed_by_libnbd(way.replies);
    }
}

#[test]
fn hundreds_of_extents_come_whole() {
    if !nbd_testkit::require(&[Tool::Nbdinfo]) {
        return;
    }
    for way in ways_with_extents() {
        let site = way.serve(64 * MIB);
        let step = 128 * KIB;
        let data: Vec<_> = (0..512).map(|n| (n * step, vec![7; 64 << 10])).collect();
        site.fill(&data);
        let expected: Vec<_> =
            (0..512).flat_map(|n| [(n * step, 64 * KIB, DATA), (n * step + 64 * KIB, 64 * KIB, HOLE)]).collect();
        assert_eq!(map(&site), expected, "{way:?}");
        site.end();
    }
}

#[test]
fn without_structured_replies_there_is_no_map() {
    if !nbd_testkit::require(&[Tool::Nbdinfo]) {
        return;
    }
    for way in Way::ALL.into_iter().filter(|way| way.replies == Replies::Simple) {
        let site = way.serve(MIB);
        let refused = output(nbdinfo_map(&site));
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        assert!(String::from_utf8_lossy(&refused.stderr).contains("base:allocation"), "{refused:?}");
        site.end();
    }
}
