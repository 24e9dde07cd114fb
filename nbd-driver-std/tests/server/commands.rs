//! Every command, over each kind of socket, gets to the backend as it was meant.

use nbd_testkit::pattern;

use crate::disk::{BASE, Call, TestDisk};
use crate::driver::backend::ZeroMode;
use crate::driver::nbd_proto::handshake::ReplyStyle;
use crate::driver::nbd_proto::wire::flags::CommandFlags;
use crate::driver::{Client, ConnectOptions, Export, Listener, Server, ServerOptions};
use crate::support::{MIB, assert_same, must_end, serve, stripes, unchecked};

/// Does a bit of everything.
fn exercise(client: &Client, disk: &TestDisk) {
    let data = pattern(100_000, 9);
    client.write_at(&data, 12_345).unwrap();
    let mut back = vec![0xee; data.len()];
    client.read_at(&mut back, 12_345).unwrap();
    assert_same(&back, &data);
    client.write_at_with(&data[..10], 0, CommandFlags::FUA).unwrap();
    client.flush().unwrap();
    client.cache(4096, 8192).unwrap();
    client.trim(4096, 4096).unwrap();
    client.trim_with(0, 4096, CommandFlags::FUA).unwrap();
    client.write_zeroes(8192, 4096).unwrap();
    let flags = CommandFlags::FUA | CommandFlags::NO_HOLE | CommandFlags::FAST_ZERO;
    client.write_zeroes_with(16_384, 4096, flags).unwrap();
    let fua = false;
    let mode = ZeroMode::default();
    let expected = [
        Call::Write { offset: 12_345, length: 100_000, fua },
        Call::Read { offset: 12_345, length: 100_000 },
        Call::Write { offset: 0, length: 10, fua: true },
        Call::Flush,
        Call::Cache { offset: 4096, length: 8192 },
        Call::Trim { offset: 4096, length: 4096, fua },
        Call::Trim { offset: 0, length: 4096, fua: true },
        Call::WriteZeroes { offset: 8192, length: 4096, mode },
        Call::WriteZeroes { offset: 16_384, length: 4096, mode: ZeroMode { fua: true, no_hole: true, fast: true } },
    ];
    assert_eq!(disk.calls(), expected);
    // What a short read gets, everything else is checked against.
    let mut all = vec![0; disk.bytes().len()];
    client.read_at(&mut all, 0).unwrap();
    assert_same(&all, &disk.bytes());
    disk.calls();
}

fn over(listener: Listener, disk: TestDisk) {
    must_end(move || {
        let disk = disk.share();
        let uri = listener.uri("a disk/€").unwrap();
        let export = Export::shared("a disk/€", disk.clone());
        let running = Server::new(ServerOptions::new()).export(export).start([listener]).unwrap();
        let client = Client::connect(&uri).unwrap();
        exercise(&client, &disk);
        client.shutdown().unwrap();
        running.stop();
        assert_eq!(running.wait().unwrap().connections, 1);
    });
}

#[test]
fn over_tcp() {
    over(Listener::tcp("127.0.0.1:0").unwrap(), TestDisk::patterned(MIB, 1));
}

#[test]
fn over_tcp_in_the_connections_own_thread() {
    over(Listener::tcp("[::1]:0").unwrap(), TestDisk::patterned(MIB, 1).immediate());
}

#[test]
fn over_a_unix_socket() {
    let dir = tempfile::tempdir().unwrap();
    over(Listener::unix(dir.path().join("a socket")).unwrap(), TestDisk::patterned(MIB, 1));
}

#[test]
fn over_an_abstract_unix_socket() {
    let name = format!("nbd-test-{}-commands\0%", std::process::id());
    over(Listener::unix_abstract(name).unwrap(), TestDisk::patterned(MIB, 1));
}

#[test]
fn in_each_style_of_replies() {
    must_end(|| {
        let disk = TestDisk::patterned(MIB, 1).share();
        let server = serve(disk.clone());
        let options = ConnectOptions::new().meta_context(BASE);
        for (options, style) in [
            (options.clone(), ReplyStyle::Extended),
            (options.clone().extended_headers(false), ReplyStyle::Structured),
            (options.extended_headers(false).structured_replies(false), ReplyStyle::Simple),
        ] {
            let client = options.connect(&server.uri).unwrap();
            assert_eq!(client.negotiated().reply_style, style);
            exercise(&client, &disk);
            client.shutdown().unwrap();
        }
        server.end();
    });
}

#[test]
fn payloads_of_any_size() {
    must_end(|| {
        for disk in [TestDisk::empty(40 * MIB), TestDisk::empty(40 * MIB).immediate()] {
            let server = serve(disk.share());
            let client = server.connect();
            let data = stripes(32 * MIB as usize, 3);
            let mut back = vec![0; data.len()];
            for length in [1, 511, 4095, 4097, 65_535, 65_537, 1 << 20, (1 << 25) - 1, 1 << 25] {
                client.write_at(&data[..length], 77).unwrap();
                client.read_at(&mut back[..length], 77).unwrap();
                assert_same(&back[..length], &data[..length]);
            }
            client.shutdown().unwrap();
            server.end();
        }
    });
}

#[test]
fn what_breaks_the_rules_never_gets_to_the_backend() {
    must_end(|| {
        let disk = TestDisk::patterned(MIB, 1).sizes(512, 4096, 1 << 25).share();
        let server = serve(disk.clone());
        let client = unchecked().connect(&server.uri).unwrap();
        client.read_at(&mut [0; 512], MIB).unwrap_err();
        client.read_at(&mut [0; 100], 0).unwrap_err();
        client.write_at(&[0; 512], MIB - 100).unwrap_err();
        client.read_at_with(&mut [0; 512], 0, CommandFlags::REQ_ONE).unwrap_err();
        assert_eq!(disk.calls(), []);
        client.read_at(&mut [0; 512], 0).unwrap();
        client.shutdown().unwrap();
        server.end();
    });
}
