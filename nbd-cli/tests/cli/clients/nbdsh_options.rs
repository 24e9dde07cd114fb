//! `nbdsh` haggles: one option after the other, and in old ways.

use nbd_testkit::Tool;

use super::nbdsh::unconnected;
use super::site::{Keeper, MIB, Replies, Transport, Way, text};

const OPTIONS: [&str; 3] = ["--description=the first", "--export=other=null:2M", "--export=third=memory:3M"];

#[test]
fn each_option_is_answered_and_the_haggling_goes_on() {
    if !nbd_testkit::require(&[Tool::Nbdsh]) {
        return;
    }
    for replies in [Replies::Structured, Replies::Extended] {
        for transport in [Transport::Unix, Transport::Tcp] {
            let site = Way::new(Keeper::Memory, transport, replies).serve_with(MIB, &OPTIONS);
            let lines = "
h.set_opt_mode(True)
h.connect_uri(uri)
exports = []
assert h.opt_list(lambda name, text: exports.append((name, text))) == 3
assert exports == [('', 'the first'), ('other', ''), ('third', '')], exports
contexts = []
h.set_full_info(True)
for name, size in [('other', 2 << 20), ('third', 3 << 20), ('', 1 << 20)]:
    h.set_export_name(name)
    h.opt_info()
    assert h.get_size() == size, (name, h.get_size())
    h.opt_list_meta_context(contexts.append)
assert contexts == ['base:allocation'] * 3, contexts
h.opt_info()
assert h.get_export_description() == 'the first'
h.set_export_name('nothing')
try:
    h.opt_info()
    assert False, 'it is there'
except nbd.Error as error:
    assert error.errno == 'ENOENT', error
try:
    h.opt_go()
    assert False, 'it is there'
except nbd.Error as error:
    assert error.errno == 'ENOENT', error
none = []
h.set_export_name('third')
h.add_meta_context('x:y')
h.opt_list_meta_context(none.append)
assert none == [], none
h.clear_meta_contexts()
h.add_meta_context('base:')
h.opt_list_meta_context(none.append)
assert none == ['base:allocation'], none
h.clear_meta_contexts()
h.add_meta_context('base:allocation')
h.opt_go()
assert h.get_size() == 3 << 20 and h.can_meta_context('base:allocation')
h.pwrite(b'third', 0)
assert h.pread(5, 0) == b'third'
h.shutdown()";
            text(unconnected(&site, lines));
            site.end().assert_agreed_by_libnbd(replies);
        }
    }
}

#[test]
fn a_client_may_leave_in_the_middle() {
    if !nbd_testkit::require(&[Tool::Nbdsh]) {
        return;
    }
    for way in Way::ALL {
        let site = way.serve(MIB);
        text(unconnected(&site, "h.set_opt_mode(True); h.connect_uri(uri); h.opt_info(); h.opt_abort()"));
        assert_eq!(site.end().replies(), [""; 0], "{way:?}");
    }
}

/// As clients were before there were options that can be refused.
#[test]
fn old_clients_are_served() {
    if !nbd_testkit::require(&[Tool::Nbdsh]) {
        return;
    }
    for way in Way::ALL {
        for flags in ["0", "nbd.HANDSHAKE_FLAG_FIXED_NEWSTYLE", "nbd.HANDSHAKE_FLAG_NO_ZEROES"] {
            let site = way.serve(MIB);
            let lines = "
h.set_handshake_flags(FLAGS)
h.set_request_structured_replies(False)
h.connect_uri(uri)
assert not h.get_structured_replies_negotiated()
assert h.get_size() == 1 << 20
h.pwrite(b'old', 5)
assert h.pread(5, 4) == b'\\0old\\0'
h.shutdown()";
            text(unconnected(&site, &lines.replace("FLAGS", flags)));
            site.end().assert_agreed(Replies::Simple);
        }
    }
}
