//! Block status: each context, ranges, and one extent at a time.

use crate::disk::{BASE, Call, TestDisk};
use crate::driver::ConnectOptions;
use crate::driver::nbd_proto::wire::flags::CommandFlags;
use crate::raw::{BLOCK_STATUS, ERR_UNKNOWN, Raw};
use crate::support::{KIB, MIB, must_end, serve};

/// Data, a hole, data again.
fn disk() -> TestDisk {
    let mut bytes = nbd_testkit::pattern(MIB as usize, 1);
    bytes[64 * KIB as usize..128 * KIB as usize].fill(0);
    TestDisk::new(bytes).contexts(&[BASE, "test:seven"])
}

#[test]
fn tells_holes_and_data() {
    must_end(|| {
        let server = serve(disk().share());
        for extended in [false, true] {
            let options = ConnectOptions::new().extended_headers(extended).meta_context(BASE);
            let client = options.connect(&server.uri).unwrap();
            let extents: Vec<_> = client
                .block_status(BASE, 0..MIB)
                .unwrap()
                .map(|extent| extent.map(|extent| (extent.offset, extent.length, extent.flags)).unwrap())
                .collect();
            let expected = [(0, 64 * KIB, 0), (64 * KIB, 64 * KIB, 3), (128 * KIB, MIB - 128 * KIB, 0)];
            assert_eq!(extents, expected);
            client.shutdown().unwrap();
        }
        server.end();
    });
}

#[test]
fn asks_the_backend_for_each_selected_context() {
    must_end(|| {
        let disk = disk().share();
        let server = serve(disk.clone());
        let client = ConnectOptions::new().meta_context("test:seven").meta_context(BASE).connect(&server.uri).unwrap();
        let found = client.block_status_once(4096, 8192, CommandFlags::empty()).unwrap();
        let name = |id| client.negotiated().contexts.iter().find(|context| context.id == id).unwrap().name.clone();
        let mut flags: Vec<_> = found.iter().map(|found| (name(found.context), found.extents[0].flags)).collect();
        flags.sort();
        assert_eq!(flags, [(BASE.to_owned(), 0), ("test:seven".to_owned(), 7)]);
        assert_eq!(disk.calls().len(), 2);
        client.shutdown().unwrap();
        server.end();
    });
}

/// With extended headers a request can name its contexts.
#[test]
fn asks_the_backend_for_the_named_context_alone() {
    must_end(|| {
        let disk = disk().share();
        let server = serve(disk.clone());
        let client = ConnectOptions::new().meta_context("test:seven").meta_context(BASE).connect(&server.uri).unwrap();
        let extents: Vec<_> = client.block_status(BASE, 0..4096).unwrap().map(Result::unwrap).collect();
        assert_eq!((extents.len(), extents[0].flags), (1, 0));
        assert_eq!(disk.calls(), [Call::Extents { context: BASE.into(), offset: 0, length: 4096, one: false }]);
        client.shutdown().unwrap();
        server.end();
    });
}

#[test]
fn passes_on_that_one_extent_is_enough() {
    must_end(|| {
        let disk = disk().share();
        let server = serve(disk.clone());
        let client = ConnectOptions::new().meta_context(BASE).connect(&server.uri).unwrap();
        let found = client.block_status_once(0, MIB, CommandFlags::REQ_ONE).unwrap();
        assert_eq!(found[0].extents.len(), 1);
        assert_eq!(disk.calls(), [Call::Extents { context: BASE.into(), offset: 0, length: MIB, one: true }]);
        client.shutdown().unwrap();
        server.end();
    });
}

#[test]
fn is_not_had_without_a_context() {
    must_end(|| {
        let server = serve(TestDisk::empty(MIB).contexts(&[]).share());
        let client = ConnectOptions::new().meta_context(BASE).connect(&server.uri).unwrap();
        assert_eq!(client.negotiated().contexts, []);
        client.shutdown().unwrap();
        server.end();
    });
}

#[test]
fn is_not_had_with_a_context_whose_selection_was_followed_by_one_that_failed() {
    must_end(|| {
        let disk = disk().share();
        let server = serve(disk.clone());
        let mut raw = Raw::with_replies_in_chunks(&server.socket());
        raw.set_context("disk", BASE).unwrap();
        let (error, _) = raw.set_context("none", BASE).unwrap_err();
        assert_eq!(error, ERR_UNKNOWN);
        raw.go("disk").unwrap();
        raw.request(BLOCK_STATUS, 1, 0, 512);
        let answer = raw.chunk();
        // NBD_REPLY_TYPE_ERROR, and the payload begins with EINVAL.
        assert_eq!((answer.last, answer.kind, &answer.payload[..4]), (true, 0x8001, &[0, 0, 0, 22][..]));
        assert_eq!(disk.calls(), []);
        server.end();
    });
}
