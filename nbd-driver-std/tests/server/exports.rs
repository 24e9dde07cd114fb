//! Exports: by name, by default, listed, opened when needed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::disk::TestDisk;
use crate::driver::backend::{Backend, Failure, Features};
use crate::driver::nbd_proto::handshake::HandshakeStyle;
use crate::driver::nbd_proto::wire::number::ErrorValue;
use crate::driver::{Client, ConnectOptions, Export, ServerOptions};
use crate::raw::{DISC, ERR_POLICY, ERR_UNKNOWN, OPT_EXPORT_NAME, OPT_LIST, REP_ACK, Raw};
use crate::support::{KIB, message, must_end, serve_with};

pub(crate) fn sized(name: &str, size: u64) -> Export {
    Export::shared(name, TestDisk::empty(size).share())
}

#[test]
fn are_found_by_name() {
    must_end(|| {
        let server = serve_with(ServerOptions::new(), [sized("a", KIB), sized("", 2 * KIB), sized("ü", 3 * KIB)]);
        for (name, size) in [("a", KIB), ("", 2 * KIB), ("%C3%BC", 3 * KIB)] {
            let client = Client::connect(&server.uri_of(name)).unwrap();
            assert_eq!(client.size(), size, "{name}");
            client.shutdown().unwrap();
        }
        server.end();
    });
}

#[test]
fn that_are_not_there_are_told_by_their_name() {
    must_end(|| {
        let server = serve_with(ServerOptions::new(), [sized("a", KIB)]);
        let mut raw = Raw::greeted(&server.socket());
        let (error, text) = raw.go("b\n").unwrap_err();
        assert_eq!((error, &text[..]), (ERR_UNKNOWN, "there is no export \"b\\n\" here"));
        let (error, text) = raw.go("").unwrap_err();
        assert_eq!(error, ERR_UNKNOWN);
        assert!(text.contains("no default export"), "{text}");
        // The handshake goes on.
        raw.go("a").unwrap();
        server.end();
    });
}

#[test]
fn are_listed_with_their_descriptions() {
    must_end(|| {
        let described = sized("b", 2 * KIB).description("the second one");
        let server = serve_with(ServerOptions::new(), [sized("a", KIB), described]);
        let listing = ConnectOptions::new().list(&server.uri).unwrap();
        let [a, b] = &listing.exports[..] else { panic!("{listing:?}") };
        assert_eq!((&a.name[..], &b.name[..]), ("a", "b"));
        assert_eq!(b.description, "the second one");
        assert_eq!(b.info.as_ref().unwrap().as_ref().unwrap().size, 2 * KIB);
        server.end();
    });
}

#[test]
fn tell_what_the_backend_can_do() {
    must_end(|| {
        let some = Features::WRITE | Features::TRIM | Features::ROTATIONAL;
        let disk = TestDisk::empty(4096).features(some).sizes(512, 1024, 1 << 20);
        let server = serve_with(ServerOptions::new(), [Export::shared("disk", disk.share())]);
        let client = server.connect();
        let info = &client.negotiated().info;
        assert_eq!(info.flags.bits() & 0b1_1111_1111_1111 & !(1 << 12 | 1 << 7), 0b11_0001, "{:?}", info.flags);
        let sizes = info.block_sizes.unwrap();
        assert_eq!((sizes.minimum, sizes.preferred, sizes.maximum), (512, 1024, 1 << 20));
        client.shutdown().unwrap();
        server.end();
    });
}

#[test]
fn offer_no_larger_payload_than_there_may_be_memory_for() {
    must_end(|| {
        let disk = TestDisk::empty(4096).sizes(4096, 4096, u32::MAX);
        let options = ServerOptions::new().max_memory((40 << 20) + 1);
        let server = serve_with(options, [Export::shared("disk", disk.share())]);
        let client = server.connect();
        assert_eq!(client.negotiated().info.block_sizes.unwrap().maximum, 40 << 20);
        client.shutdown().unwrap();
        server.end();
    });
}

/// A backend that counts how many of its kind there are.
struct Counted(TestDisk, Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Backend for Counted {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn features(&self) -> Features {
        Backend::features(&self.0)
    }

    fn read(&self, buffer: &mut [u8], offset: u64) -> Result<(), Failure> {
        self.0.read(buffer, offset)
    }

    fn write(&self, data: &[u8], offset: u64, fua: bool) -> Result<(), Failure> {
        self.0.write(data, offset, fua)
    }
}

#[test]
fn are_opened_for_each_client_and_closed_behind_it() {
    must_end(|| {
        let open = Arc::new(AtomicUsize::new(0));
        let opened = Arc::new(AtomicUsize::new(0));
        let counts = (open.clone(), opened.clone());
        let export = Export::opened_by("disk", move || {
            open.fetch_add(1, Ordering::SeqCst);
            opened.fetch_add(1, Ordering::SeqCst);
            Ok(Arc::new(Counted(TestDisk::empty(KIB), open.clone())))
        });
        let (open, opened) = counts;
        let server = serve_with(ServerOptions::new(), [export]);
        let mut raw = Raw::greeted(&server.socket());
        raw.option(OPT_LIST, &[]);
        while raw.option_reply().0 != REP_ACK {}
        assert_eq!(opened.load(Ordering::SeqCst), 0, "a list opens nothing");
        drop(raw);
        let [first, second] = [server.connect(), server.connect()];
        assert_eq!(open.load(Ordering::SeqCst), 2);
        first.shutdown().unwrap();
        second.shutdown().unwrap();
        server.end();
        assert_eq!(open.load(Ordering::SeqCst), 0);
    });
}

#[test]
fn are_not_opened_for_whoever_is_turned_away() {
    must_end(|| {
        let opened = Arc::new(AtomicUsize::new(0));
        let counter = opened.clone();
        let export = Export::opened_by("disk", move || {
            counter.fetch_add(1, Ordering::SeqCst);
            Ok(TestDisk::empty(KIB).share())
        });
        let server = serve_with(ServerOptions::new().max_connections(1), [export]);
        let mut first = Raw::simple(&server.socket());
        assert_eq!(opened.load(Ordering::SeqCst), 1);
        let mut second = Raw::greeted(&server.socket());
        assert_eq!(second.go("disk").unwrap_err().0, ERR_POLICY);
        second.option(OPT_EXPORT_NAME, b"disk");
        second.expect_end();
        assert_eq!(opened.load(Ordering::SeqCst), 1);
        first.request(DISC, 0, 0, 0);
        first.expect_end();
        server.end();
    });
}

#[test]
fn that_cannot_be_opened_say_why() {
    must_end(|| {
        let fails = Export::opened_by("fails", || Err(Failure::new(ErrorValue::EIO, "the disk is on fire")));
        let panics = Export::opened_by("panics", || panic!("a bug in the backend, on purpose"));
        let server = serve_with(ServerOptions::new(), [fails, panics, sized("disk", KIB)]);
        let mut raw = Raw::greeted(&server.socket());
        assert_eq!(raw.go("fails"), Err((ERR_POLICY, "the disk is on fire".into())));
        assert_eq!(raw.go("panics"), Err((ERR_POLICY, "the server failed to open the export".into())));
        raw.go("disk").unwrap();
        let text = message(Client::connect(&server.uri_of("fails")));
        assert!(text.contains("the disk is on fire"), "{text}");
        server.end();
    });
}

#[test]
fn are_had_by_old_clients_too() {
    must_end(|| {
        let server = serve_with(ServerOptions::new(), [sized("disk", KIB)]);
        let mut raw = Raw::greeted(&server.socket());
        raw.option(OPT_EXPORT_NAME, b"disk");
        assert_eq!(u64::from_be_bytes(raw.bytes()), KIB);
        let _flags: [u8; 2] = raw.bytes();
        raw.request(0, 5, 0, 16);
        assert_eq!(raw.simple_reply(), (0, 5));
        assert_eq!(raw.many(16), [0; 16]);
        raw.request(DISC, 0, 0, 0);
        raw.expect_end();
        let mut raw = Raw::greeted(&server.socket());
        raw.option(OPT_EXPORT_NAME, b"none");
        raw.expect_end();
        server.end();
    });
}

#[test]
fn are_had_in_each_style_of_handshake() {
    must_end(|| {
        for style in [HandshakeStyle::Oldstyle, HandshakeStyle::Newstyle, HandshakeStyle::FixedNewstyle] {
            for no_zeroes in [false, true] {
                let options = ServerOptions::new().handshake_style(style).no_zeroes(no_zeroes);
                let server = serve_with(options, [sized("", KIB)]);
                let client = Client::connect(&server.uri_of("")).unwrap();
                assert_eq!((client.negotiated().handshake_style, client.size()), (style, KIB));
                client.read_at(&mut [1; 100], 0).unwrap();
                client.shutdown().unwrap();
                server.end();
            }
        }
    });
}

/// Against the specification, but whoever does it is answered all the same.
#[test]
fn are_listed_again_for_who_does_not_await_the_first_list() {
    must_end(|| {
        // One list is more than the server has on its way at once, and less than a socket holds.
        let exports = (0..70).map(|number| Export::shared(format!("{number:01000}"), TestDisk::empty(512).share()));
        let server = serve_with(ServerOptions::new().handshake_timeout(None), exports);
        let mut raw = Raw::connect(&server.socket());
        let list = [&b"IHAVEOPT"[..], &3u32.to_be_bytes(), &0u32.to_be_bytes()].concat();
        raw.send(&[&3u32.to_be_bytes()[..], &list, &list].concat());
        let _greeting: [u8; 18] = raw.bytes();
        for reply in 0..2 * 71 {
            let header: [u8; 20] = raw.bytes();
            let length = u32::from_be_bytes(header[16..].try_into().unwrap()) as usize;
            assert_eq!(length, if reply % 71 == 70 { 0 } else { 1004 });
            raw.many(length);
        }
        server.end();
    });
}
