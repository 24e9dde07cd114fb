//! Short reads that need not wait are done without a change of threads.

use crate::disk::{Call, TestDisk};
use crate::driver::backend::Failure;
use crate::driver::nbd_proto::wire::number::ErrorValue;
use crate::support::{MIB, assert_same, message, must_end, serve, server_error};

#[test]
fn what_can_be_had_at_once_is_and_the_rest_is_waited_for() {
    must_end(|| {
        let disk = TestDisk::patterned(MIB, 1).cached(65_536).share();
        let server = serve(disk.clone());
        let client = server.connect();
        let expected = disk.bytes();
        for (offset, length) in [(0, 4096), (65_535, 2), (65_536, 4096), (0, 100_000)] {
            let mut buffer = vec![0; length];
            client.read_at(&mut buffer, offset as u64).unwrap();
            assert_same(&buffer, &expected[offset..offset + length]);
        }
        let expected = [
            Call::TryRead { offset: 0, length: 4096 },
            Call::TryRead { offset: 65_535, length: 2 },
            Call::Read { offset: 65_536, length: 4096 },
            // As long as that, another thread copies it.
            Call::Read { offset: 0, length: 100_000 },
        ];
        assert_eq!(disk.calls(), expected);
        client.shutdown().unwrap();
        server.end();
    });
}

#[test]
fn its_failures_and_panics_are_those_of_the_request() {
    must_end(|| {
        let disk = TestDisk::patterned(MIB, 1).cached(MIB).hook(|call| match call {
            Call::TryRead { offset: 0, .. } => panic!("a bug in the backend, on purpose"),
            Call::TryRead { offset: 1, .. } => Err(Failure::new(ErrorValue::ENOMEM, "not today")),
            _ => Ok(()),
        });
        let server = serve(disk.share());
        let client = server.connect();
        assert_eq!(server_error(client.read_at(&mut [0; 512], 0)), ErrorValue::EIO);
        let text = message(client.read_at(&mut [0; 512], 1));
        assert!(text.contains("not today"), "{text}");
        client.read_at(&mut [0; 512], 2).unwrap();
        client.shutdown().unwrap();
        server.end();
    });
}
