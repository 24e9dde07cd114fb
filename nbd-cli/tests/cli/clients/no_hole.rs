//! Zeroes that are to stay allocated take space, whoever sends them.

use std::process::Command;

use nbd_testkit::Tool;

use super::cut::resident;
use super::nbdsh::nbdsh;
use super::site::{Keeper, MIB, Replies, Transport, Way, text};
use crate::common::allocated;

fn over_files() -> impl Iterator<Item = Way> {
    Way::ALL.into_iter().filter(|way| way.keeper == Keeper::File)
}

#[test]
fn nbdsh_fills_a_file() {
    if !nbd_testkit::require(&[Tool::Nbdsh]) {
        return;
    }
    for way in over_files() {
        let site = way.serve(8 * MIB);
        nbdsh(&site, "h.zero(1 << 20, 1 << 20)");
        assert!(allocated(&site.served()) < MIB, "{way:?}: without the flag no space is needed");
        nbdsh(&site, "h.zero(2 << 20, 4 << 20, nbd.CMD_FLAG_NO_HOLE)");
        assert!(allocated(&site.served()) >= 2 * MIB, "{way:?}");
        site.end();
    }
}

/// QEMU wants the space unless it is told that it may be unmapped.
#[test]
fn qemu_io_fills_a_file() {
    if !Tool::QemuIo.at_least(8, 2) {
        return;
    }
    for way in over_files() {
        let site = way.serve(8 * MIB);
        let qemu_io = |line: &str| -> Command {
            let mut command = Tool::QemuIo.command().unwrap();
            command.args(["-f", "raw", "-d", "unmap", "-c", line]).arg(&site.uri);
            command
        };
        text(qemu_io("write -z -u 1M 1M"));
        assert!(allocated(&site.served()) < MIB, "{way:?}: what may be unmapped needs no space");
        text(qemu_io("write -z 4M 2M"));
        assert!(allocated(&site.served()) >= 2 * MIB, "{way:?}");
        site.end();
    }
}

#[test]
fn nbdsh_fills_memory() {
    if !nbd_testkit::require(&[Tool::Nbdsh]) {
        return;
    }
    let site = Way::new(Keeper::Memory, Transport::Unix, Replies::Structured).serve(64 * MIB);
    let lines = "
def types():
    found = []
    h.block_status(32 << 20, 0, lambda name, offset, entries, error: found.extend(entries[1::2]))
    return found
h.zero(32 << 20, 0, FLAGS)
assert types() == [EXPECTED], types()";
    let zero = |flags, expected| nbdsh(&site, &lines.replace("FLAGS", flags).replace("EXPECTED", expected));
    zero("0", "nbd.STATE_HOLE | nbd.STATE_ZERO");
    let before = resident(&site.proc());
    zero("nbd.CMD_FLAG_NO_HOLE", "nbd.STATE_ZERO");
    let after = resident(&site.proc());
    assert!(after >= before + 30 * MIB, "{before} bytes became {after}");
    site.end();
}
