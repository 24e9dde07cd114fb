//! `nbdcopy` copies both ways, and keeps holes.

use std::fs;
use std::path::Path;
use std::process::Command;

use nbd_testkit::{Tool, pattern, sparse_file};

use super::site::{Keeper, MIB, Replies, Site, Way, text, utf8};
use crate::common::{allocated, assert_same, nbd};

const SIZE: u64 = 8 * MIB;

/// Mostly a hole: so much else is in it.
const DATA: u64 = 3 * MIB;

fn data() -> [(u64, Vec<u8>); 2] {
    [(MIB, pattern(2 << 20, 1)), (5 * MIB, pattern(1 << 20, 2))]
}

fn sparse(path: &Path) -> Vec<u8> {
    sparse_file(path, SIZE, &data());
    fs::read(path).unwrap()
}

/// Four connections, where the server allows that.
fn nbdcopy(from: &str, to: &str) {
    let mut command: Command = Tool::Nbdcopy.command().unwrap();
    command.args(["--connections=4", "--threads=4", "--flush", from, to]);
    text(command);
}

/// What the server says takes up room.
fn mapped(site: &Site) -> String {
    nbd(["info", "--map", &site.uri]).ok().text().to_owned()
}

fn map_of_data() -> [[u64; 3]; 5] {
    [[0, MIB, 3], [MIB, 2 * MIB, 0], [3 * MIB, 2 * MIB, 3], [5 * MIB, MIB, 0], [6 * MIB, 2 * MIB, 3]]
}

#[track_caller]
fn assert_sparse(site: &Site, way: Way) {
    if way.keeper == Keeper::File {
        let room = allocated(&site.served());
        assert!(room < DATA + MIB, "{way:?}: {room}");
    }
    if way.replies != Replies::Simple {
        let map = mapped(site);
        let extents: Vec<Vec<u64>> = map
            .lines()
            .map(|line| line.split_whitespace().take(3).map(|number| number.parse().unwrap()).collect())
            .collect();
        assert_eq!(extents, map_of_data(), "{way:?}");
    }
}

#[test]
fn a_sparse_image_is_copied_in_over_garbage() {
    if !nbd_testkit::require(&[Tool::Nbdcopy]) {
        return;
    }
    for way in Way::ALL {
        let site = way.serve(SIZE);
        site.fill(&[(0, vec![0xa5; 8 << 20])]);
        let image = site.path("image");
        let expected = sparse(&image);
        let before = site.clients();
        nbdcopy(utf8(&image), &site.uri);
        assert!(site.clients() - before >= 4, "{way:?}: it took fewer connections");
        assert_same(&site.contents(), &expected);
        assert_sparse(&site, way);
        site.end().assert_agreed_by_libnbd(way.replies);
    }
}

#[test]
fn a_sparse_disk_is_copied_out() {
    if !nbd_testkit::require(&[Tool::Nbdcopy]) {
        return;
    }
    for way in Way::ALL {
        let site = way.serve(SIZE);
        let (image, copy) = (site.path("image"), site.path("copy"));
        let expected = sparse(&image);
        site.fill(&data());
        let before = site.clients();
        nbdcopy(&site.uri, utf8(&copy));
        assert!(site.clients() - before >= 4, "{way:?}: it took fewer connections");
        assert_same(&fs::read(&copy).unwrap(), &expected);
        assert!(allocated(&copy) < DATA + MIB, "{way:?}: {}", allocated(&copy));
        site.end().assert_agreed_by_libnbd(way.replies);
    }
}

#[test]
fn one_server_is_copied_to_another() {
    if !nbd_testkit::require(&[Tool::Nbdcopy]) {
        return;
    }
    for (way, other) in Way::ALL.into_iter().zip(Way::ALL.into_iter().rev()) {
        let (from, to) = (way.serve(SIZE), other.serve(SIZE));
        from.fill(&data());
        to.fill(&[(0, vec![0xa5; 8 << 20])]);
        nbdcopy(&from.uri, &to.uri);
        assert_same(&to.contents(), &from.contents());
        assert_sparse(&to, other);
        from.end();
        to.end();
    }
}

#[test]
fn a_flush_is_asked_for_and_done() {
    if !nbd_testkit::require(&[Tool::Nbdcopy]) {
        return;
    }
    for way in Way::ALL {
        let site = way.serve_traced(SIZE);
        let image = site.path("image");
        sparse(&image);
        nbdcopy(utf8(&image), &site.uri);
        let log = site.end();
        assert!(log.has_request("NBD_CMD_FLUSH", "0x0"), "{way:?}");
        assert!(log.has_request("NBD_CMD_WRITE", "0x0"), "{way:?}");
    }
}

#[test]
fn a_size_that_is_no_multiple_of_anything_is_copied_whole() {
    if !nbd_testkit::require(&[Tool::Nbdcopy]) {
        return;
    }
    let odd = 1_234_567;
    for way in Way::ALL {
        let site = way.serve(odd as u64);
        let (image, copy) = (site.path("image"), site.path("copy"));
        fs::write(&image, pattern(odd, 5)).unwrap();
        nbdcopy(utf8(&image), &site.uri);
        nbdcopy(&site.uri, utf8(&copy));
        assert_same(&fs::read(&copy).unwrap(), &pattern(odd, 5));
        assert_same(&site.contents(), &pattern(odd, 5));
        site.end();
    }
}

#[test]
fn a_disk_that_is_only_read_can_be_copied_and_is_not_written_to() {
    if !nbd_testkit::require(&[Tool::Nbdcopy]) {
        return;
    }
    for way in Way::ALL.into_iter().filter(|way| way.keeper == Keeper::File) {
        let site = way.serve_with(SIZE, &["--read-only"]);
        let image = site.path("image");
        let expected = sparse(&image);
        // Behind its back.
        sparse_file(&site.served(), SIZE, &data());
        let copy = site.path("copy");
        nbdcopy(&site.uri, utf8(&copy));
        assert_same(&fs::read(&copy).unwrap(), &expected);
        let mut refused = Tool::Nbdcopy.command().unwrap();
        fs::write(&image, vec![0xa5; 8 << 20]).unwrap();
        refused.args([utf8(&image), &site.uri]);
        assert!(!super::site::output(refused).status.success(), "{way:?}");
        assert_same(&site.contents(), &expected);
        site.end();
    }
}

#[test]
fn each_export_is_a_disk_of_its_own() {
    if !nbd_testkit::require(&[Tool::Nbdcopy]) {
        return;
    }
    for way in Way::ALL {
        let site = way.serve_with(MIB, &["--export=one=memory:1M", "--export=b c=memory:2M"]);
        let uri_of = |name: &str| match site.uri.split_once('?') {
            Some((start, socket)) => format!("{start}{name}?{socket}"),
            None => format!("{}{name}", site.uri),
        };
        let disks = [("", 1 << 20), ("one", 1 << 20), ("b%20c", 2 << 20)];
        for (seed, (name, size)) in (1..).zip(disks) {
            let image = site.path("image");
            fs::write(&image, pattern(size, seed)).unwrap();
            nbdcopy(utf8(&image), &uri_of(name));
        }
        for (seed, (name, size)) in (1..).zip(disks) {
            let copy = site.path("copy");
            nbdcopy(&uri_of(name), utf8(&copy));
            assert_same(&fs::read(&copy).unwrap(), &pattern(size, seed));
        }
        site.end();
    }
}
