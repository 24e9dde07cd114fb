//! What the servers serve is what the test described, as another project's client sees it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::ops::Range;
use std::process::Command;

use nbd_testkit::{Disk, NbdServer, Nbdkit, QemuNbd, Server, Tool, require};

const MIB: u64 = 1 << 20;

fn disk() -> Disk {
    Disk::empty(MIB).data(65536, nbd_testkit::pattern(65536, 1)).data(MIB - 4, *b"tail")
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn copy(server: &Server) -> Vec<u8> {
    let target = server.dir().join("copy");
    output(Tool::Nbdcopy.command().unwrap().arg(server.uri()).arg(&target));
    std::fs::read(target).unwrap()
}

#[test]
fn every_server_serves_the_disk() {
    if !require(&[Tool::Nbdcopy]) {
        return;
    }
    let servers = [
        Nbdkit::disk(disk()).start(),
        QemuNbd::new(disk()).export("named").start(),
        QemuNbd::new(disk()).qcow2().tcp().start(),
        NbdServer::new().export("one", disk()).start(),
        NbdServer::new().export("one", disk()).tcp().start(),
    ];
    for server in servers.into_iter().flatten() {
        assert!(copy(&server) == disk().contents(), "{}", server.uri());
    }
}

#[test]
fn nbd_server_lists_its_exports() {
    let server = NbdServer::new().export("one", disk()).export("two", Disk::empty(MIB)).readonly();
    let (Some(mut nbdinfo), Some(server)) = (Tool::Nbdinfo.command(), server.start()) else {
        return;
    };
    let list = output(nbdinfo.arg("--list").arg(server.uri_of("")));
    assert!(list.contains("export=\"one\"") && list.contains("export=\"two\""), "{list}");
    let mut nbdinfo = Tool::Nbdinfo.command().unwrap();
    let two = output(nbdinfo.arg(server.uri_of("two")));
    assert!(two.contains("is_read_only: true"), "{two}");
}

/// The parts of a map that have this type.
fn map(server: &Server, context: &str, kind: u32) -> Vec<Range<u64>> {
    let mut nbdinfo = Tool::Nbdinfo.command().unwrap();
    let text = output(nbdinfo.arg(format!("--map={context}")).arg(server.uri()));
    let mut parts = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let mut number = || words.next().unwrap().parse::<u64>().unwrap();
        let (offset, len, this) = (number(), number(), number());
        if this == u64::from(kind) {
            parts.push(offset..offset + len);
        }
    }
    parts
}

#[test]
fn a_bitmap_is_dirty_where_it_was_told_to_be() {
    if !require(&[Tool::Nbdinfo, Tool::Nbdcopy]) {
        return;
    }
    let dirty = [0..65536, 131_072..262_144];
    let qemu = QemuNbd::new(disk())
        .bitmap("b0", 65536, &dirty)
        .bitmap("b1", 512, std::slice::from_ref(&(1024..1536)))
        .allocation_depth();
    for qemu in [qemu.clone(), qemu.readonly()] {
        let Some(server) = qemu.start() else { return };
        assert_eq!(map(&server, "qemu:dirty-bitmap:b0", 1), dirty);
        let b1 = map(&server, "qemu:dirty-bitmap:b1", 1);
        assert_eq!(b1, std::slice::from_ref(&(1024..1536)));
        // The parts that were made dirty, and those with data, are allocated.
        let depth = map(&server, "qemu:allocation-depth", 1);
        assert_eq!(depth, [0..262_144, MIB - 65536..MIB]);
        assert!(copy(&server) == disk().contents());
    }
}

#[test]
fn extended_headers_need_a_new_qemu() {
    let Some(server) = QemuNbd::new(disk()).extended_headers().start() else {
        return;
    };
    assert!(Tool::QemuNbd.version() >= Some((8, 2)), "{}", server.uri());
}
