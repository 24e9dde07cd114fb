//! `nbdsh` sends each command, with each flag.

use std::process::Command;

use nbd_testkit::{Tool, pattern};

use super::site::{Keeper, MIB, Replies, Site, Transport, Way, text};
use crate::common::assert_same;

/// Runs Python with `h` for a handle that is not connected, and `uri`. An assertion there is one here.
pub(super) fn unconnected(site: &Site, lines: &str) -> Command {
    let mut command = Tool::Nbdsh.command().unwrap();
    command.env("uri", &site.uri).args(["-c", "import os; uri = os.environ['uri']", "-c", lines]);
    command
}

/// The same, connected and ready for commands, and with `base:allocation` where there is that.
#[track_caller]
pub(super) fn nbdsh(site: &Site, lines: &str) {
    let connect = "h.add_meta_context(nbd.CONTEXT_BASE_ALLOCATION); h.connect_uri(uri)\n";
    text(unconnected(site, &(connect.to_owned() + lines)));
}

#[test]
fn what_is_written_anywhere_is_read_again() {
    if !nbd_testkit::require(&[Tool::Nbdsh]) {
        return;
    }
    for way in Way::ALL {
        let site = way.serve_traced(MIB + 1);
        let lines = "
expected = bytearray(h.get_size())
def put(bytes, at, flags=0):
    h.pwrite(bytes, at, flags)
    expected[at:at + len(bytes)] = bytes
put(b'a', 0)
put(b'the end', h.get_size() - 7)
put(b'x' * 70001, 65535)
put(b'y' * 4096, 4095, nbd.CMD_FLAG_FUA)
for at, count in [(0, h.get_size()), (65534, 3), (h.get_size() - 1, 1), (4000, 5000)]:
    assert h.pread(count, at) == expected[at:at + count], (at, count)
h.cache(h.get_size(), 0)
h.flush()
h.shutdown()";
        nbdsh(&site, lines);
        let mut expected = vec![0; (1 << 20) + 1];
        expected[0] = b'a';
        expected[(1 << 20) - 6..].copy_from_slice(b"the end");
        expected[65535..135_536].fill(b'x');
        expected[4095..8191].fill(b'y');
        assert_same(&site.contents(), &expected);
        let log = site.end();
        for (command, flags) in [("WRITE", "FUA"), ("READ", "0x0"), ("CACHE", "0x0"), ("FLUSH", "0x0")] {
            assert!(log.has_request(&format!("NBD_CMD_{command}"), flags), "{way:?}: {command} {flags}");
        }
        log.assert_agreed_by_libnbd(way.replies);
    }
}

#[test]
fn zeroes_and_trims_do_what_their_flags_say() {
    if !nbd_testkit::require(&[Tool::Nbdsh]) {
        return;
    }
    for way in Way::ALL {
        let site = way.serve_traced(MIB);
        site.fill(&[(0, pattern(1 << 20, 1))]);
        // A file system may have no fast way, and then nothing may have changed.
        let (fast_may_fail, knows_space) =
            if way.keeper == Keeper::File { ("True", "False") } else { ("False", "True") };
        let lines = "
def types(at):
    found = []
    h.block_status(65536, at, lambda name, offset, entries, error: found.extend(entries[1::2]))
    return found
K = 1024
fast = nbd.CMD_FLAG_FAST_ZERO
h.zero(64 * K, 0)
h.zero(64 * K, 64 * K, nbd.CMD_FLAG_NO_HOLE)
h.zero(64 * K, 128 * K, nbd.CMD_FLAG_FUA | nbd.CMD_FLAG_NO_HOLE)
h.trim(64 * K, 192 * K)
h.trim(64 * K, 256 * K, nbd.CMD_FLAG_FUA)
h.zero(1, 1000 * K + 3)
try:
    h.zero(64 * K, 320 * K, fast)
except nbd.Error as error:
    assert FAST_MAY_FAIL and error.errno == 'ENOTSUP', error
    h.zero(64 * K, 320 * K)
assert h.pread(384 * K, 0) == bytes(384 * K)
if h.can_meta_context(nbd.CONTEXT_BASE_ALLOCATION):
    hole = nbd.STATE_HOLE | nbd.STATE_ZERO
    assert types(0) == [hole], types(0)
    assert types(192 * K) == [hole] and types(256 * K) == [hole]
    # File systems may call space a hole that is allocated and was not written since.
    for at in [64 * K, 128 * K] if KNOWS_SPACE else []:
        assert types(at) == [nbd.STATE_ZERO], types(at)
h.shutdown()";
        nbdsh(&site, &lines.replace("FAST_MAY_FAIL", fast_may_fail).replace("KNOWS_SPACE", knows_space));
        let mut expected = pattern(1 << 20, 1);
        expected[..384 << 10].fill(0);
        expected[(1000 << 10) + 3] = 0;
        assert_same(&site.contents(), &expected);
        let log = site.end();
        for (command, flags) in [
            ("WRITE_ZEROES", "0x0"),
            ("WRITE_ZEROES", "NO_HOLE"),
            ("WRITE_ZEROES", "FUA | NO_HOLE"),
            ("WRITE_ZEROES", "FAST_ZERO"),
            ("TRIM", "0x0"),
            ("TRIM", "FUA"),
        ] {
            assert!(log.has_request(&format!("NBD_CMD_{command}"), flags), "{way:?}: {command} {flags}");
        }
    }
}

#[test]
fn one_extent_comes_to_whoever_wants_one() {
    if !nbd_testkit::require(&[Tool::Nbdsh]) {
        return;
    }
    for way in Way::ALL.into_iter().filter(|way| way.replies != Replies::Simple) {
        let site = way.serve(4 * MIB);
        site.fill(&[(MIB, pattern(1 << 20, 1)), (3 * MIB, pattern(1 << 20, 2))]);
        let lines = "
def extents(count, at, flags=0):
    found = []
    def each(name, offset, entries, error):
        assert (name, offset, error.value) == ('base:allocation', at, 0)
        found.extend(zip(entries[::2], entries[1::2]))
    h.block_status(count, at, each, flags)
    return found
M = 1 << 20
one = nbd.CMD_FLAG_REQ_ONE
assert extents(4 * M, 0) == [(M, 3), (M, 0), (M, 3), (M, 0)], extents(4 * M, 0)
assert extents(4 * M, 0, one) == [(M, 3)], extents(4 * M, 0, one)
assert extents(M, 3 * M // 2, one) == [(M // 2, 0)]
# With this flag no extent may be longer than what was asked about.
assert extents(M // 2, 0, one) == [(M // 2, 3)]
h.shutdown()";
        nbdsh(&site, lines);
        site.end();
    }
}

#[test]
fn a_read_comes_with_its_holes_or_in_one_piece() {
    if !nbd_testkit::require(&[Tool::Nbdsh]) {
        return;
    }
    for way in Way::ALL.into_iter().filter(|way| way.replies != Replies::Simple) {
        let site = way.serve(4 * MIB);
        site.fill(&[(MIB, vec![7; 1 << 20])]);
        let lines = "
M = 1 << 20
def chunks(flags):
    seen = []
    def each(part, offset, status, error):
        seen.append((offset, len(part), status))
    assert h.pread_structured(3 * M, 0, each, flags) == bytes(M) + b'\\7' * M + bytes(M)
    assert sum(length for _, length, _ in seen) == 3 * M
    return seen
whole = chunks(nbd.CMD_FLAG_DF)
assert len(whole) == 1 and whole[0][2] == nbd.READ_DATA, whole
pieces = chunks(0)
holes = sum(length for _, length, status in pieces if status == nbd.READ_HOLE)
assert holes == 2 * M, pieces
h.shutdown()";
        nbdsh(&site, lines);
        site.end();
    }
}

#[test]
fn many_requests_at_once_are_answered_each_with_its_own() {
    if !nbd_testkit::require(&[Tool::Nbdsh]) {
        return;
    }
    for way in Way::ALL {
        let site = way.serve(4 * MIB);
        let lines = "
def all_done(cookies):
    while h.aio_in_flight() > 0:
        h.poll(-1)
    for cookie in cookies:
        assert h.aio_command_completed(cookie)
size = 8192
sources = [nbd.Buffer.from_bytearray(bytearray([n % 251]) * size) for n in range(500)]
all_done([h.aio_pwrite(buffer, n * size) for n, buffer in enumerate(sources)])
buffers = [nbd.Buffer(size) for _ in range(500)]
all_done([h.aio_pread(buffer, n * size) for n, buffer in enumerate(buffers)])
for n, buffer in enumerate(buffers):
    assert buffer.to_bytearray() == bytearray([n % 251]) * size, n
h.shutdown()";
        nbdsh(&site, lines);
        site.end();
    }
}

#[test]
fn of_several_contexts_those_there_are_can_be_used() {
    if !nbd_testkit::require(&[Tool::Nbdsh]) {
        return;
    }
    for replies in [Replies::Structured, Replies::Extended] {
        let site = Way::new(Keeper::Memory, Transport::Unix, replies).serve(MIB);
        let lines = "
wanted = ['qemu:dirty-bitmap:none', 'base:allocation', 'x-own:context', 'base:nothing']
for name in wanted:
    h.add_meta_context(name)
h.connect_uri(uri)
assert [h.can_meta_context(name) for name in wanted] == [False, True, False, False]
names = []
h.block_status(512, 0, lambda name, offset, entries, error: names.append(name))
assert names == ['base:allocation'], names
h.shutdown()";
        text(unconnected(&site, lines));
        site.end();
    }
}
