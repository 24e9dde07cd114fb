//! A backend that fails, or panics, fails one request and nothing else.

use crate::disk::{BASE, Call, TestDisk};
use crate::driver::backend::Failure;
use crate::driver::nbd_proto::error::CommandError;
use crate::driver::nbd_proto::wire::flags::CommandFlags;
use crate::driver::nbd_proto::wire::number::ErrorValue;
use crate::driver::{ConnectOptions, Error};
use crate::support::{MIB, message, must_end, serve, server_error};

#[test]
fn errors_are_told_with_their_words_and_place() {
    must_end(|| {
        let disk = TestDisk::patterned(MIB, 1).hook(|call| match call {
            Call::Read { offset: 4096.., .. } => {
                Err(Failure { error: ErrorValue::EIO, message: "a scratch on the disk".into(), offset: Some(4100) })
            }
            Call::Write { .. } => Err(Failure::new(ErrorValue::ENOSPC, "the disk is full")),
            Call::Flush => Err(Failure::new(ErrorValue(0), "an error without a number")),
            _ => Ok(()),
        });
        let server = serve(disk.share());
        let client = server.connect();
        match client.read_at(&mut [0; 512], 4096) {
            Err(Error::Command(CommandError::Server(error))) => {
                assert_eq!((error.error, error.offset), (ErrorValue::EIO, Some(4100)));
                assert_eq!(error.message, "a scratch on the disk");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(server_error(client.write_at(&vec![1; 100_000], 0)), ErrorValue::ENOSPC);
        assert_eq!(server_error(client.flush()), ErrorValue::EIO);
        client.read_at(&mut [0; 512], 0).unwrap();
        client.shutdown().unwrap();
        server.end();
    });
}

fn survives_panics(disk: TestDisk) {
    must_end(|| {
        let disk = disk.hook(|call| match call {
            Call::Read { offset: 0, .. } | Call::Write { .. } | Call::Flush | Call::Extents { .. } => {
                panic!("a bug in the backend, on purpose")
            }
            _ => Ok(()),
        });
        let server = serve(disk.share());
        let client = ConnectOptions::new().meta_context(BASE).connect(&server.uri).unwrap();
        for _ in 0..20 {
            let text = message(client.read_at(&mut [0; 512], 0));
            assert!(text.contains("failed to carry out the request"), "{text}");
            assert_eq!(server_error(client.write_at(&[1; 512], 0)), ErrorValue::EIO);
            assert_eq!(server_error(client.flush()), ErrorValue::EIO);
            assert_eq!(server_error(client.block_status_once(0, 512, CommandFlags::empty())), ErrorValue::EIO);
            client.read_at(&mut [0; 512], 512).unwrap();
        }
        client.shutdown().unwrap();
        server.end();
    });
}

#[test]
fn panics_in_workers_fail_the_request() {
    survives_panics(TestDisk::patterned(MIB, 1));
}

#[test]
fn panics_in_the_connections_thread_fail_the_request() {
    survives_panics(TestDisk::patterned(MIB, 1).immediate());
}
