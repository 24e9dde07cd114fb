//! Our client, with the servers of others and our own.

use nbd_driver_std::nbd_proto::error::CommandError;
use nbd_driver_std::nbd_proto::transmission::{Checks, Command};
use nbd_driver_std::nbd_proto::wire::flags::{CommandFlags, TransmissionFlags};
use nbd_driver_std::{Client, ConnectOptions, Error};
use nbd_testkit::{Disk, Handshake, NbdServer, Nbdkit, QemuNbd, Recorder, pattern};

use crate::book::{Book, Guest};
use crate::served::{KIB, Served, holey, nbd_server, nbdkit, our_version, ours, qemu_nbd};

const BASE: &str = "base:allocation";

fn guest(lines: &[&str]) -> Guest {
    let version = format!("nbd-driver-std {}", our_version());
    Guest { version, lines: lines.iter().map(|line| (*line).to_owned()).collect() }
}

/// A server's refusal is an answer, too: an oldstyle nbdkit offers FUA and does not take it.
fn answered(result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(Error::Command(CommandError::Server(_))) => Ok(()),
        other => other,
    }
}

/// Every command that the server offers.
fn all_commands(client: &Client) -> Result<(), Error> {
    let offers = |flag| client.offers(flag);
    let mut block = vec![0; KIB];
    answered(client.read_at(&mut block, 0))?;
    if !client.is_read_only() {
        answered(client.write_at(&pattern(2 * KIB, 7), 8192))?;
        if offers(TransmissionFlags::SEND_FUA) {
            answered(client.write_at_with(&pattern(512, 8), 16_384, CommandFlags::FUA))?;
        }
        if offers(TransmissionFlags::SEND_WRITE_ZEROES) {
            answered(client.write_zeroes(8192, 512))?;
            answered(client.write_zeroes_with(9216, 512, CommandFlags::NO_HOLE))?;
        }
        if offers(TransmissionFlags::SEND_TRIM) {
            answered(client.trim(32_768, 4096))?;
        }
    }
    if offers(TransmissionFlags::SEND_CACHE) {
        answered(client.cache(0, 4096))?;
    }
    if offers(TransmissionFlags::SEND_FLUSH) {
        answered(client.flush())?;
    }
    answered(client.read_at(&mut block, 8192))?;
    if offers(TransmissionFlags::SEND_DF) {
        answered(client.read_at_with(&mut block, 4096, CommandFlags::DF))?;
    }
    for context in &client.negotiated().contexts {
        for extent in client.block_status(&context.name, 0..client.size())? {
            extent?;
        }
    }
    Ok(())
}

/// What no sane client asks for.
fn refusals(client: &Client) {
    let mut queue = client.queue();
    let (size, write) = (client.size(), vec![1; 512]);
    for (command, buffer) in [
        (Command::read(size - 256, 512), vec![0; 512]),
        (Command::write(size, 512), write),
        (Command::trim(size, 512), Vec::new()),
        (Command::write_zeroes(u64::MAX - 511, 512), Vec::new()),
        (Command::cache(0, 512).with_flags(CommandFlags::DF), Vec::new()),
        (Command::block_status(size, 512), Vec::new()),
        (Command::read(0, 512), vec![0; 512]),
    ] {
        queue.submit(command, buffer).map_err(|rejected| format!("{rejected:?}")).expect("a place in the queue");
        queue.wait().expect("its end");
    }
}

/// Connects so, sends all commands, and says goodbye.
fn session(book: &Book, name: &str, options: (&str, ConnectOptions), serve: impl FnOnce() -> Served) {
    let lines = [&format!("{}.connect(URI)", options.0)[..], "all commands that are offered", "shutdown()"];
    book.record(name, guest(&lines), serve, |recorder| {
        let client = options.1.connect(&recorder.uri()).expect("a connection");
        all_commands(&client).expect("all commands");
        client.shutdown().expect("a goodbye");
    });
}

fn list(book: &Book, name: &str, serve: impl FnOnce() -> Served) {
    book.record(name, guest(&["ConnectOptions::new().list(URI)"]), serve, |recorder| {
        ConnectOptions::new().list(&recorder.uri()).expect("a list");
    });
}

fn new() -> (&'static str, ConnectOptions) {
    ("ConnectOptions::new()", ConnectOptions::new())
}

fn base() -> (&'static str, ConnectOptions) {
    let text = "ConnectOptions::new().list_contexts(true).meta_context(\"base:allocation\")";
    (text, ConnectOptions::new().list_contexts(true).meta_context(BASE))
}

fn structured() -> (&'static str, ConnectOptions) {
    let text = "ConnectOptions::new().extended_headers(false).meta_context(\"base:allocation\")";
    (text, ConnectOptions::new().extended_headers(false).meta_context(BASE))
}

fn simple() -> (&'static str, ConnectOptions) {
    let text = "ConnectOptions::new().extended_headers(false).structured_replies(false)";
    (text, ConnectOptions::new().extended_headers(false).structured_replies(false))
}

fn with_nbdkit(book: &Book) {
    let memory = || Nbdkit::memory("64k");
    session(book, "ours.nbdkit.structured", base(), || nbdkit(memory()));
    session(book, "ours.nbdkit.simple", new(), || nbdkit(memory().no_structured_replies()));
    session(book, "ours.nbdkit.oldstyle", new(), || nbdkit(memory().mode(Handshake::Oldstyle)));
    session(book, "ours.nbdkit.newstyle", new(), || nbdkit(memory().mode(Handshake::Newstyle)));
    session(book, "ours.nbdkit.fixed-with-zeroes", new(), || nbdkit(memory().mode(Handshake::FixedWithZeroes)));
    session(book, "ours.nbdkit.read-only", base(), || nbdkit(Nbdkit::new("pattern").arg("64k")));
    session(book, "ours.nbdkit.sparse", base(), || {
        nbdkit(Nbdkit::new("sparse-random").arg("64k").arg("seed=1").arg("percent=50").arg("runlength=4096").readonly())
    });
    session(book, "ours.nbdkit.block-sizes", base(), || {
        let policy = memory().filter("blocksize-policy").arg("blocksize-error-policy=error");
        nbdkit(policy.arg("blocksize-minimum=512").arg("blocksize-preferred=4096").arg("blocksize-maximum=32k"))
    });
    let failing = "every command fails, or not";
    let lines = [&format!("{}.connect(URI)", base().0)[..], failing, "shutdown()"];
    for (name, error) in [("ours.nbdkit.eio", "EIO"), ("ours.nbdkit.enospc", "ENOSPC")] {
        let serve = || nbdkit(memory().filter("error").arg(format!("error={error}")).arg("error-rate=100%"));
        book.record(name, guest(&lines), serve, |recorder| {
            let client = base().1.connect(&recorder.uri()).expect("a connection");
            let failures = [
                client.read_at(&mut [0; 512], 0),
                client.write_at(&[1; 512], 0),
                client.write_zeroes(0, 512),
                client.trim(0, 512),
                client.cache(0, 512),
                client.block_status(BASE, 0..512).and_then(|mut extents| extents.next().expect("an answer").map(drop)),
            ];
            assert!(failures.iter().all(Result::is_err), "{failures:?}");
            client.shutdown().expect("a goodbye");
        });
    }
    let named = || Nbdkit::memory("64k").filter("exportname").arg("exportname-strict=true");
    let named = || named().arg("exportname=one").arg("exportname=two").arg("exportname-list=explicit");
    list(book, "ours.nbdkit.list", || nbdkit(named()));
    book.record(
        "ours.nbdkit.unknown-export",
        guest(&["Client::connect(URI/nothing)"]),
        || nbdkit(named()),
        |recorder| {
            Client::connect(&recorder.uri_of("nothing")).expect_err("no such export");
        },
    );
    out_of_order(book);
}

/// Four reads wait, and four writes overtake them.
fn out_of_order(book: &Book) {
    let serve = || nbdkit(Nbdkit::memory("64k").filter("delay").arg("delay-read=100ms").threads(8));
    let lines = ["ConnectOptions::new().connect(URI)", "4 times: read and write in flight", "shutdown()"];
    book.record("ours.nbdkit.out-of-order", guest(&lines), serve, |recorder| {
        let client = Client::connect(&recorder.uri()).expect("a connection");
        let mut queue = client.queue();
        for number in 0..4 {
            queue.read(vec![0; 600], number * 700).expect("a place in the queue");
            queue.write(pattern(300, number), 32_768 + number * 300).expect("a place in the queue");
        }
        while let Some(completion) = queue.wait() {
            completion.result.expect("success");
        }
        client.shutdown().expect("a goodbye");
    });
}

fn with_qemu(book: &Book) {
    let disk = || QemuNbd::new(holey()).bitmap("b", 4096, &[0..4096, 32_768..36_864]).allocation_depth();
    let disk = || disk().export("disk").description("with a bitmap");
    for (name, extended) in [("ours.qemu-nbd.extended", true), ("ours.qemu-nbd.structured", false)] {
        let contexts = "all three contexts";
        let lines =
            [&format!("ConnectOptions::new().extended_headers({extended}), {contexts}, .connect(URI/disk)")[..]];
        let lines = [lines[0], "all commands that are offered", "what cannot be done", "shutdown()"];
        book.record(
            name,
            guest(&lines),
            || qemu_nbd(disk()),
            |recorder| {
                let options =
                    ConnectOptions::new().extended_headers(extended).list_contexts(true).checks(Checks::empty());
                let options = options.meta_context(BASE).meta_context("qemu:dirty-bitmap:b");
                let options = options.meta_context("qemu:allocation-depth");
                let client = options.connect(&recorder.uri_of("disk")).expect("a connection");
                all_commands(&client).expect("all commands");
                refusals(&client);
                client.shutdown().expect("a goodbye");
            },
        );
    }
    session(book, "ours.qemu-nbd.simple", simple(), || qemu_nbd(QemuNbd::new(holey())));
    session(book, "ours.qemu-nbd.read-only", base(), || qemu_nbd(QemuNbd::new(holey()).readonly()));
    list(book, "ours.qemu-nbd.list", || qemu_nbd(disk()));
    book.record(
        "ours.qemu-nbd.unknown-export",
        guest(&["Client::connect(URI)"]),
        || qemu_nbd(disk()),
        |recorder| {
            Client::connect(&recorder.uri()).expect_err("no such export");
        },
    );
}

fn with_nbd_server(book: &Book) {
    let disks = || NbdServer::new().export("disk", holey()).export("other", Disk::empty(1 << 20)).readonly();
    let lines = ["Client::connect(URI/disk)", "all commands that are offered", "shutdown()"];
    book.record(
        "ours.nbd-server.simple",
        guest(&lines),
        || nbd_server(disks()),
        |recorder| {
            let client = Client::connect(&recorder.uri_of("disk")).expect("a connection");
            all_commands(&client).expect("all commands");
            client.shutdown().expect("a goodbye");
        },
    );
    list(book, "ours.nbd-server.list", || nbd_server(disks()));
}

fn with_ours(book: &Book) {
    let serve = |options: &'static [&'static str]| move || ours(&holey(), options);
    session(book, "ours.ours.extended", base(), serve(&["--description", "our own"]));
    session(book, "ours.ours.structured", structured(), serve(&[]));
    session(book, "ours.ours.simple", simple(), serve(&[]));
    list(book, "ours.ours.list", serve(&["--export=other=null:2M", "--description", "our own"]));
    let lines = [&format!("{}.connect(URI)", base().0)[..], "what cannot be done", "shutdown()"];
    book.record("ours.ours.refusals", guest(&lines), serve(&["--read-only"]), |recorder: &Recorder| {
        let client = base().1.checks(Checks::empty()).connect(&recorder.uri()).expect("a connection");
        refusals(&client);
        client.shutdown().expect("a goodbye");
    });
}

pub(crate) fn record(book: &Book) {
    with_nbdkit(book);
    with_qemu(book);
    with_nbd_server(book);
    with_ours(book);
}
