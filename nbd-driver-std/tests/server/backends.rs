//! The backends of the crate, behind a server.

use std::sync::Arc;

use crate::disk::BASE;
use crate::driver::backend::{Backend, FileBackend, FileOptions, Memory, Null};
use crate::driver::nbd_proto::wire::flags::{CommandFlags, TransmissionFlags};
use crate::driver::{Client, ConnectOptions, Export, ServerOptions};
use crate::support::{KIB, MIB, assert_same, must_end, serve, serve_with, stripes};

const SIZE: u64 = 8 * MIB;

/// Writes, zeroes, trims, and reads all of it back.
fn keeps_what_is_written(backend: Arc<dyn Backend>) {
    let server = serve(backend);
    let client = ConnectOptions::new().meta_context(BASE).connect(&server.uri).unwrap();
    let mut model = vec![0; SIZE as usize];
    let mut all = vec![0xee; model.len()];
    client.read_at(&mut all, 0).unwrap();
    assert_same(&all, &model);
    let data = stripes(3 * MIB as usize, 4);
    model[1000..1000 + data.len()].copy_from_slice(&data);
    client.write_at_with(&data, 1000, CommandFlags::FUA).unwrap();
    model[MIB as usize..][..100_000].fill(0);
    client.write_zeroes(MIB, 100_000).unwrap();
    model[2 * MIB as usize..][..64 << 10].fill(0);
    client.write_zeroes_with(2 * MIB, 64 * KIB, CommandFlags::NO_HOLE).unwrap();
    client.flush().unwrap();
    client.cache(0, MIB).unwrap();
    client.read_at(&mut all, 0).unwrap();
    assert_same(&all, &model);
    let holes: u64 = client
        .block_status(BASE, 0..SIZE)
        .unwrap()
        .map(Result::unwrap)
        .filter(|extent| extent.flags & 2 != 0)
        .map(|extent| {
            assert!(model[extent.offset as usize..][..extent.length as usize].iter().all(|byte| *byte == 0));
            extent.length
        })
        .sum();
    assert!(holes >= 4 * MIB, "{holes}");
    client.trim(0, SIZE).unwrap();
    client.shutdown().unwrap();
    server.end();
}

#[test]
fn memory_keeps_what_is_written() {
    must_end(|| keeps_what_is_written(Arc::new(Memory::new(SIZE))));
}

#[test]
fn a_file_keeps_what_is_written() {
    must_end(|| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        nbd_testkit::sparse_file::<&[u8]>(&path, SIZE, &[]);
        keeps_what_is_written(Arc::new(FileBackend::open(&path, FileOptions::default()).unwrap()));
    });
}

#[test]
fn a_file_is_opened_anew_for_each_client() {
    must_end(|| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        let file = path.clone();
        let export = Export::opened_by("disk", move || {
            let backend = FileBackend::open(&file, FileOptions { read_only: true })?;
            Ok(Arc::new(backend))
        });
        let server = serve_with(ServerOptions::new(), [export]);
        assert!(Client::connect(&server.uri).is_err(), "there is no file yet");
        for size in [KIB, 2 * KIB] {
            nbd_testkit::sparse_file::<&[u8]>(&path, size, &[]);
            let client = server.connect();
            assert_eq!((client.size(), client.is_read_only()), (size, true));
            client.shutdown().unwrap();
        }
        server.end();
    });
}

#[test]
fn nothing_at_all_is_served_as_well() {
    must_end(|| {
        let server = serve(Arc::new(Null::new(1 << 50)));
        let client = server.connect();
        assert!(client.offers(TransmissionFlags::CAN_MULTI_CONN));
        client.write_at(&stripes(100_000, 1), 1 << 49).unwrap();
        let mut back = vec![0xee; 100_000];
        client.read_at(&mut back, 1 << 49).unwrap();
        assert_same(&back, &vec![0; 100_000]);
        client.shutdown().unwrap();
        server.end();
    });
}
