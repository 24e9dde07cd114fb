//! `nbdsh` asks for what it must not have. It is told so, and is served as before.

use nbd_testkit::{Tool, pattern};

use super::nbdsh::nbdsh;
use super::site::{Keeper, MIB, Replies, Transport, Way};
use crate::common::assert_same;

/// `refused(errno, command, arguments…)`; what a client of libnbd checks by itself is off.
const PRELUDE: &str = "
h.set_strict_mode(0)
size = h.get_size()
first = h.pread(16, 0)
def refused(errno, command, *args):
    try:
        getattr(h, command)(*args)
    except nbd.Error as error:
        assert error.errno == errno, (command, args[-2:], error.errno)
    else:
        assert False, (command, args[-2:], 'went well')
    assert h.pread(16, 0) == first, 'after ' + command
nothing = lambda *args: 0
status = h.can_meta_context(nbd.CONTEXT_BASE_ALLOCATION)
";

#[track_caller]
fn refusals(way: Way, options: &[&str], lines: &str) {
    let site = way.serve_with(MIB, options);
    if options.is_empty() {
        site.fill(&[(0, pattern(1 << 20, 1))]);
    }
    let before = site.contents();
    nbdsh(&site, &(PRELUDE.to_owned() + lines + "\nh.shutdown()"));
    assert_same(&site.contents(), &before);
    site.end();
}

#[test]
fn what_lies_past_the_end() {
    if !nbd_testkit::require(&[Tool::Nbdsh]) {
        return;
    }
    for way in Way::ALL {
        let lines = "
for at in [size - 511, size, size + 512, (1 << 63) - 512, (1 << 64) - 512, (1 << 64) - 1]:
    refused('ENOSPC', 'pwrite', bytes(512), at)
    refused('ENOSPC', 'zero', 512, at)
    refused('EINVAL', 'pread', 512, at)
    refused('EINVAL', 'trim', 512, at)
    refused('EINVAL', 'cache', 512, at)
    if status:
        refused('EINVAL', 'block_status', 512, at, nothing)
";
        refusals(way, &[], lines);
    }
}

#[test]
fn flags_that_do_not_belong_there() {
    if !nbd_testkit::require(&[Tool::Nbdsh]) {
        return;
    }
    for way in Way::ALL {
        // FUA goes with any command.
        let lines = "
no_hole, df, one, fast = nbd.CMD_FLAG_NO_HOLE, nbd.CMD_FLAG_DF, nbd.CMD_FLAG_REQ_ONE, nbd.CMD_FLAG_FAST_ZERO
unknown = [1 << 6, 1 << 15]
for flag in [no_hole, df, one, fast] + unknown:
    refused('EINVAL', 'pwrite', bytes(512), 0, flag)
    refused('EINVAL', 'trim', 512, 0, flag)
    refused('EINVAL', 'cache', 512, 0, flag)
    refused('EINVAL', 'flush', flag)
for flag in [no_hole, one, fast] + unknown:
    refused('EINVAL', 'pread', 512, 0, flag)
for flag in [df, one] + unknown:
    refused('EINVAL', 'zero', 512, 0, flag)
if status:
    for flag in [no_hole, df, fast] + unknown:
        refused('EINVAL', 'block_status', 512, 0, nothing, flag)
else:
    refused('EINVAL', 'pread', 512, 0, df)
assert h.pread(16, 0, nbd.CMD_FLAG_FUA) == first
h.flush(nbd.CMD_FLAG_FUA)
";
        refusals(way, &[], lines);
    }
}

#[test]
fn writing_to_what_is_only_read() {
    if !nbd_testkit::require(&[Tool::Nbdsh]) {
        return;
    }
    for way in Way::ALL {
        let lines = "
assert h.is_read_only()
for flags in [0, nbd.CMD_FLAG_FUA]:
    refused('EPERM', 'pwrite', bytes(512), 0, flags)
    refused('EPERM', 'pwrite', bytes(1 << 20), 0, flags)
    refused('EPERM', 'zero', 512, 0, flags)
    refused('EPERM', 'trim', 512, 0, flags)
";
        refusals(way, &["--read-only"], lines);
    }
}

/// What was refused comes with its payload all the same, and the next request is found behind it.
#[test]
fn payloads_that_are_too_long() {
    if !nbd_testkit::require(&[Tool::Nbdsh]) {
        return;
    }
    for replies in [Replies::Simple, Replies::Structured, Replies::Extended] {
        let site = Way::new(Keeper::Memory, Transport::Tcp, replies).serve(64 * MIB);
        let lines = "
M = 1 << 20
# The one error is for clients who know DF, which goes with structured replies.
too_long = 'EOVERFLOW' if h.get_structured_replies_negotiated() else 'EINVAL'
refused(too_long, 'pread', 32 * M + 1, 0)
refused(too_long, 'pread', 64 * M, 0)
refused('EINVAL', 'pwrite', b'x' * (32 * M + 1), 0)
h.pwrite(b'x' * 32 * M, 32 * M)
assert h.pread(32 * M, 32 * M) == b'x' * 32 * M
h.zero(64 * M, 0)
h.trim(64 * M, 0)
h.cache(64 * M, 0)
h.shutdown()";
        nbdsh(&site, &(PRELUDE.to_owned() + lines));
        site.end();
    }
}

#[test]
fn requests_for_nothing() {
    if !nbd_testkit::require(&[Tool::Nbdsh]) {
        return;
    }
    for way in Way::ALL {
        let lines = "
if status:
    refused('EINVAL', 'block_status', 0, 0, nothing)
assert h.pread(0, 5) == b''
for done in [lambda: h.pwrite(b'', 5), lambda: h.trim(0, 5), lambda: h.zero(0, 5), lambda: h.cache(0, 5)]:
    done()
    assert h.pread(16, 0) == first
";
        refusals(way, &[], lines);
    }
}
