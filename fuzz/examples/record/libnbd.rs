//! libnbd's clients, with nbdkit and with our server.

use nbd_testkit::{Disk, Handshake, Nbdkit, Tool, pattern};

use crate::book::Book;
use crate::served::{KIB, Served, holey, nbdkit, ours};

/// Each command with each flag, where the server offers it.
const COMMANDS: &str = r"
h.add_meta_context('base:allocation')
h.connect_uri(uri)
h.pwrite(b'x' * 700, 65)
h.pwrite(b'y' * 512, 1024, nbd.CMD_FLAG_FUA)
assert h.pread(3, 64) == b'\0xx' or h.pread(2, 65) == b'xx'
h.zero(512, 0)
h.zero(512, 512, nbd.CMD_FLAG_NO_HOLE)
h.zero(512, 1024, nbd.CMD_FLAG_FUA | nbd.CMD_FLAG_NO_HOLE)
if h.can_fast_zero(): h.zero(4096, 8192, nbd.CMD_FLAG_FAST_ZERO)
h.trim(4096, 12288)
h.trim(4096, 16384, nbd.CMD_FLAG_FUA)
h.flush()
if h.can_cache(): h.cache(4096, 0)
h.pread(600, 30)
if h.can_df(): h.pread_structured(600, 32768, lambda *chunk: None, nbd.CMD_FLAG_DF)
if h.get_structured_replies_negotiated(): h.pread_structured(8192, 30000, lambda *chunk: None)
if h.can_meta_context('base:allocation'): h.block_status(65536, 0, lambda *extents: None)
if h.can_meta_context('base:allocation'): h.block_status(65536, 0, lambda *extents: None, nbd.CMD_FLAG_REQ_ONE)
h.shutdown()";

/// Eight requests in flight.
const IN_FLIGHT: &str = r"
h.connect_uri(uri)
buffers = [nbd.Buffer(300) for _ in range(4)]
cookies = [h.aio_pread(buffer, 1000 * n) for n, buffer in enumerate(buffers)]
data = [nbd.Buffer.from_bytearray(bytearray([65 + n]) * 200) for n in range(4)]
cookies += [h.aio_pwrite(buffer, 20000 + 200 * n) for n, buffer in enumerate(data)]
while h.aio_in_flight() > 0: h.poll(-1)
assert all(h.aio_command_completed(cookie) for cookie in cookies)
h.shutdown()";

/// One option after the other.
const OPTIONS: &str = r"
h.set_opt_mode(True)
h.set_full_info(True)
if h.supports_tls(): h.set_tls(nbd.TLS_ALLOW)
h.connect_uri(uri)
h.opt_list(lambda name, description: 0)
h.opt_info()
h.opt_list_meta_context(lambda name: 0)
h.add_meta_context('base:')
h.opt_list_meta_context(lambda name: 0)
h.clear_meta_contexts()
h.add_meta_context('x-no:such')
h.add_meta_context('base:allocation')
h.opt_list_meta_context(lambda name: 0)
h.set_export_name('nothing')
def refused(option):
    try: option()
    except nbd.Error as error: pass
refused(h.opt_info)
h.set_export_name('')
h.opt_go()
h.block_status(4096, 0, lambda *extents: None)
h.pread(512, 0)
h.shutdown()";

const ABORT: &str = r"
h.set_opt_mode(True)
h.connect_uri(uri)
h.opt_info()
h.opt_abort()";

/// As clients were before there were options that can be refused.
const OLD: &str = r"
h.set_handshake_flags(0)
h.set_request_structured_replies(False)
h.connect_uri(uri)
h.pwrite(b'old', 5)
h.pread(5, 4)
h.shutdown()";

/// What a client checks by itself is sent all the same.
const REFUSALS: &str = r"
h.set_strict_mode(0)
h.add_meta_context('base:allocation')
h.connect_uri(uri)
size = h.get_size()
def refused(command, *args):
    try: command(*args)
    except nbd.Error as error: pass
    else: assert False
nothing = lambda *extents: 0
for at in [size - 511, size, (1 << 63) - 512, (1 << 64) - 512]:
    refused(h.pwrite, b'x' * 512, at)
    refused(h.zero, 512, at)
    refused(h.pread, 512, at)
    refused(h.trim, 512, at)
    if h.can_meta_context('base:allocation'): refused(h.block_status, 512, at, nothing)
refused(h.cache, 512, size)
refused(h.pwrite, b'x' * 300, 0, nbd.CMD_FLAG_REQ_ONE)
refused(h.zero, 512, 0, nbd.CMD_FLAG_DF)
refused(h.pread, 512, 0, 1 << 15)
h.pread(0, 5)
h.pwrite(b'', 5)
h.pwrite(b'fine', 0)
h.shutdown()";

fn serve(options: &'static [&'static str]) -> impl FnOnce() -> Served {
    move || ours(&holey(), options)
}

/// 16 KiB with a hole, for those who copy all of it.
fn small(options: &'static [&'static str]) -> impl FnOnce() -> Served {
    move || ours(&Disk::empty(16 << 10).data(0, pattern(4 * KIB, 3)).data(12 << 10, pattern(KIB, 4)), options)
}

fn memory(name: &str) -> Nbdkit {
    Nbdkit::memory(name)
}

fn with_nbdsh(book: &Book) {
    book.record_python("libnbd.ours.structured", COMMANDS, serve(&["--no-extended-headers"]));
    book.record_python("libnbd.ours.simple", COMMANDS, serve(&["--no-structured-replies"]));
    book.record_python("libnbd.ours.in-flight", IN_FLIGHT, serve(&[]));
    book.record_python("libnbd.ours.options", OPTIONS, serve(&["--description=the first", "--export=other=null:2M"]));
    book.record_python("libnbd.ours.abort", ABORT, serve(&[]));
    book.record_python("libnbd.ours.export-name", OLD, serve(&[]));
    book.record_python("libnbd.ours.refusals", REFUSALS, serve(&[]));
    book.record_python("libnbd.ours.refusals-simple", REFUSALS, serve(&["--no-structured-replies"]));
    book.record_python("libnbd.nbdkit.structured", COMMANDS, || nbdkit(memory("64k")));
    book.record_python("libnbd.nbdkit.simple", COMMANDS, || nbdkit(memory("64k").no_structured_replies()));
    book.record_python("libnbd.nbdkit.oldstyle", IN_FLIGHT, || nbdkit(memory("64k").mode(Handshake::Oldstyle)));
    book.record_python("libnbd.nbdkit.newstyle", IN_FLIGHT, || nbdkit(memory("64k").mode(Handshake::Newstyle)));
    book.record_python("libnbd.nbdkit.options", OPTIONS, || nbdkit(memory("64k")));
}

fn with_programs(book: &Book) {
    let (info, copy) = (Tool::Nbdinfo, Tool::Nbdcopy);
    book.record_program("nbdinfo.ours.default", info, &["URI"], 0, serve(&["--description=the only one"]));
    book.record_program("nbdinfo.ours.list", info, &["--list", "URI"], 0, serve(&["--export=other=null:2M"]));
    book.record_program("nbdinfo.ours.map", info, &["--map", "URI"], 0, serve(&[]));
    book.record_program("nbdinfo.nbdkit.map", info, &["--map", "URI"], 0, || {
        nbdkit(Nbdkit::new("sparse-random").arg("64k").arg("seed=1").arg("percent=50").arg("runlength=4096"))
    });
    let requests = ["--connections=1", "--requests=2", "--request-size=4096"];
    let from = [&requests[..], &["URI", "null:"]].concat();
    book.record_program("nbdcopy.ours.from", copy, &from, 0, small(&[]));
    book.record_program("nbdcopy.nbdkit.from", copy, &from, 0, || nbdkit(Nbdkit::new("pattern").arg("16k")));
    let image = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(image.path(), [vec![0; 8 << 10], pattern(6 << 10, 5)].concat()).expect("write a file");
    let to = [&requests[..], &["--flush", image.path().to_str().expect("a path in UTF-8"), "URI"]].concat();
    book.record_program("nbdcopy.ours.to", copy, &to, 0, small(&[]));
}

pub(crate) fn record(book: &Book) {
    with_nbdsh(book);
    with_programs(book);
}
