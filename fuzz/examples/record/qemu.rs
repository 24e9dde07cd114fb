//! QEMU's clients, with our server in each style of replies, and with nbdkit.

use std::fs;

use nbd_testkit::{Disk, Nbdkit, Tool, pattern};

use crate::book::Book;
use crate::served::{KIB, Served, holey, nbdkit, ours};

/// What goes before the commands of `qemu-io`.
const PLAIN: [&str; 6] = ["-f", "raw", "-t", "none", "-d", "unmap"];

const COMMANDS: [&str; 11] = [
    "write -q -P 0x11 0 4k",
    "write -q -f -P 0x22 4k 1k",
    "write -q -z 8k 4k",
    "write -q -z -u 12k 4k",
    "discard -q 16k 4k",
    "aio_write -q -P 0x33 20k 700",
    "aio_write -q -P 0x44 24k 700",
    "aio_flush",
    "flush",
    "read -q -P 0x11 0 1k",
    "readv -q -P 0x22 4k 512 512",
];

fn serve(options: &'static [&'static str]) -> impl FnOnce() -> Served {
    move || ours(&holey(), options)
}

/// 16 KiB with a hole, for those who copy all of it.
fn small() -> Served {
    ours(&Disk::empty(16 << 10).data(0, pattern(4 * KIB, 3)).data(12 << 10, pattern(KIB, 4)), &[])
}

fn io<'a>(options: &[&'a str], commands: &[&'a str]) -> Vec<&'a str> {
    let mut args = [&PLAIN, options].concat();
    for command in commands {
        args.extend(["-c", command]);
    }
    args.push("URI");
    args
}

fn with_io(book: &Book) {
    let all = io(&[], &COMMANDS);
    for (name, options) in [
        ("qemu-io.ours.extended", &[][..]),
        ("qemu-io.ours.structured", &["--no-extended-headers"]),
        ("qemu-io.ours.simple", &["--no-structured-replies"]),
    ] {
        book.record_program(name, Tool::QemuIo, &all, 0, serve(options));
    }
    book.record_program("qemu-io.nbdkit.structured", Tool::QemuIo, &all, 0, || nbdkit(Nbdkit::memory("64k")));
    let read = io(&["-r"], &["read -q 0 1k", "read -q 60k 1k"]);
    book.record_program("qemu-io.ours.read-only", Tool::QemuIo, &read, 0, serve(&["--read-only"]));
    let failing = io(&[], &["read -q 0 512", "write -q 0 512", "write -q -z 0 4k", "discard -q 0 4k", "flush"]);
    book.record_program("qemu-io.nbdkit.errors", Tool::QemuIo, &failing, 1, || {
        nbdkit(Nbdkit::memory("64k").filter("error").arg("error=EIO").arg("error-rate=100%"))
    });
}

fn with_images(book: &Book) {
    let image = Tool::QemuImg;
    book.record_program("qemu-img.ours.info", image, &["info", "--output=json", "URI"], 0, small);
    book.record_program("qemu-img.ours.map", image, &["map", "--output=json", "-f", "raw", "URI"], 0, serve(&[]));
    let directory = tempfile::tempdir().expect("a directory");
    let [from, to] = ["from", "to"].map(|name| directory.path().join(name).to_str().expect("UTF-8").to_owned());
    fs::write(&from, [vec![0; 8 << 10], pattern(8 << 10, 5)].concat()).expect("write a file");
    book.record_program("qemu-img.ours.convert-from", image, &["convert", "-f", "raw", "URI", &to], 0, small);
    let into = ["convert", "-n", "-f", "raw", "-O", "raw", &from, "URI"];
    book.record_program("qemu-img.ours.convert-to", image, &into, 0, small);
    book.record_program("qemu-img.nbdkit.convert-from", image, &["convert", "-f", "raw", "URI", &to], 0, || {
        nbdkit(Nbdkit::new("sparse-random").arg("16k").arg("seed=1").arg("percent=50").arg("runlength=4096"))
    });
}

pub(crate) fn record(book: &Book) {
    with_io(book);
    with_images(book);
}
