//! Between servers of all makers, byte for byte.

use nbd_testkit::{Disk, Handshake, NbdServer, Nbdkit, QemuNbd, Server, pattern};

use crate::common::{assert_same, copy, full_of_garbage, memory, nbd, nbd_fed, read_back};

/// Data and holes at odd places; not a multiple of anything.
fn odd() -> Disk {
    let disk = Disk::empty(5_000_001).data(0, pattern(1_000_001, 1)).data(1_500_000, pattern(7, 2));
    disk.data(2_000_000, pattern(300_000, 3)).data(5_000_000, [9])
}

fn assert_copied(source: Option<Server>, disk: &Disk) {
    let Some(source) = source else { return };
    let expected = disk.contents();
    let run = nbd(["copy", &source.uri(), "-"]).ok();
    assert_same(&run.bytes, &expected);
    let Some(destination) = full_of_garbage(6_000_000) else { return };
    copy(source.uri(), destination.uri());
    let mut all = expected;
    all.resize(6_000_000, 0xa5);
    assert_same(&read_back(&destination.uri()), &all);
}

#[test]
fn from_nbdkit() {
    for mode in Handshake::ALL {
        assert_copied(Nbdkit::disk(odd()).mode(mode).start(), &odd());
    }
    assert_copied(Nbdkit::disk(odd()).no_structured_replies().start(), &odd());
    assert_copied(Nbdkit::disk(odd()).filter("noextents").readonly().start(), &odd());
    assert_copied(Nbdkit::disk(odd()).tcp().start(), &odd());
}

#[test]
fn from_qemu_nbd() {
    // It serves whole sectors, with zeroes behind the last byte.
    let disk = || Disk::empty(5_000_192).data(0, odd().contents());
    let sparse = || Disk::empty(5_000_192).data(4096, pattern(70_000, 4)).data(3_000_000, pattern(512, 5));
    for disk in [disk(), sparse()] {
        assert_copied(QemuNbd::new(disk.clone()).shared(4).start(), &disk);
        assert_copied(QemuNbd::new(disk.clone()).shared(4).qcow2().extended_headers().start(), &disk);
    }
}

#[test]
fn from_nbd_server() {
    let disk = Disk::empty(4096 * 300).data(0, pattern(500_000, 1)).data(1_000_000, pattern(1000, 2));
    assert_copied(NbdServer::new().export("disk", disk.clone()).start(), &disk);
}

#[test]
fn replies_in_any_order() {
    let disk = Disk::patterned(4 << 20, 6);
    let Some(source) =
        Nbdkit::disk(disk.clone()).filter("delay").filter("noextents").arg("delay-read=3ms").threads(8).start()
    else {
        return;
    };
    let run = nbd(["copy", "--request-size=4k", &source.uri(), "-"]).ok();
    assert_same(&run.bytes, &disk.contents());
}

fn assert_filled(destination: Option<Server>) {
    let Some(destination) = destination else { return };
    let mut garbage = vec![0xa5; 5_242_880];
    nbd_fed(["copy", "-", &destination.uri()], &garbage).ok();
    let Some(source) = Nbdkit::disk(odd()).start() else { return };
    copy(source.uri(), destination.uri());
    let expected = odd().contents();
    garbage[..expected.len()].copy_from_slice(&expected);
    assert_same(&read_back(&destination.uri()), &garbage);
}

#[test]
fn to_nbdkit() {
    for mode in Handshake::ALL {
        assert_filled(memory(Nbdkit::memory("5242880").mode(mode)));
    }
    assert_filled(memory(Nbdkit::memory("5242880").tcp()));
}

#[test]
fn to_a_server_that_makes_no_zeroes() {
    assert_filled(memory(Nbdkit::memory("5242880").filter("nozero")));
}

#[test]
fn to_a_server_that_offers_zeroes_and_then_refuses() {
    assert_filled(memory(
        Nbdkit::memory("5242880").filter("error").arg("error-zero-rate=100%").arg("error-zero=EINVAL"),
    ));
}

#[test]
fn to_a_server_with_large_blocks() {
    for (minimum, maximum) in [("512", "64k"), ("4096", "1M"), ("65536", "65536")] {
        let server = Nbdkit::memory("5242880").filter("blocksize-policy");
        let server = server.arg(format!("blocksize-minimum={minimum}")).arg(format!("blocksize-maximum={maximum}"));
        assert_filled(memory(server.arg("blocksize-error-policy=error").arg("blocksize-preferred=65536")));
    }
}

#[test]
fn from_a_server_with_large_blocks() {
    let disk = Disk::empty(5_242_880).data(0, odd().contents());
    let server = Nbdkit::disk(disk.clone()).filter("blocksize-policy").arg("blocksize-minimum=4096");
    let server = server.arg("blocksize-maximum=65536").arg("blocksize-error-policy=error");
    assert_copied(server.arg("blocksize-preferred=4096").start(), &disk);
}

#[test]
fn to_qemu_nbd() {
    if nbd_testkit::require(&[nbd_testkit::Tool::Nbdcopy]) {
        assert_filled(QemuNbd::new(Disk::empty(5_242_880)).shared(4).start());
        assert_filled(QemuNbd::new(Disk::empty(5_242_880)).shared(4).qcow2().extended_headers().start());
    }
}

#[test]
fn to_nbd_server() {
    if nbd_testkit::require(&[nbd_testkit::Tool::Nbdcopy]) {
        assert_filled(NbdServer::new().export("disk", Disk::empty(5_242_880)).start());
    }
}

#[test]
fn an_empty_disk() {
    let Some(source) = Nbdkit::new("null").arg("size=0").start() else { return };
    assert_eq!(nbd(["copy", &source.uri(), "-"]).ok().bytes, b"");
    copy(source.uri(), "null:");
    let Some(destination) = full_of_garbage(1000) else { return };
    copy(source.uri(), destination.uri());
    assert_same(&read_back(&destination.uri()), &[0xa5; 1000]);
}

#[test]
fn a_vast_and_empty_disk_takes_no_time() {
    let Some(source) = Nbdkit::memory("4T").start() else { return };
    copy(source.uri(), "null:");
    let Some(destination) = Nbdkit::memory("4T").start() else { return };
    nbd(["copy", "--destination-is-zero", &source.uri(), &destination.uri()]).ok();
}
