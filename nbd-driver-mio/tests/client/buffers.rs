//! Buffers of each kind come back as they were handed in: the same memory, in every way a request can end.

use std::mem::{Discriminant, discriminant};

use bytes::{Bytes, BytesMut};
use nbd_driver_mio::nbd_proto::transmission::Command;
use nbd_driver_mio::nbd_proto::wire::number::CommandType;
use nbd_driver_mio::{Buffer, ClientOptions, Rejection};

use crate::peer::{READ, WRITE};
use crate::rig::Rig;
use crate::support::{MIB, must_end};

/// Which memory it is, and of which kind.
#[derive(Debug, PartialEq, Eq)]
struct Identity(Discriminant<Buffer>, *const u8, usize);

fn identity(buffer: &Buffer) -> Identity {
    Identity(discriminant(buffer), buffer.as_ptr(), buffer.len())
}

/// All that can be written from. One is a part of something larger, and one has capacity to spare.
fn sources() -> [Buffer; 4] {
    let mut roomy = Vec::with_capacity(10_000);
    roomy.resize(512, 3);
    [
        Bytes::from(vec![1; 2000]).slice(100..612).into(),
        BytesMut::from(&[2; 512][..]).into(),
        roomy.into(),
        Bytes::from_static(&[4; 512]).into(),
    ]
}

/// All that can be read into.
fn targets() -> [Buffer; 2] {
    [BytesMut::zeroed(512).into(), vec![0; 512].into()]
}

/// A write from each kind of buffer, and a read into each.
fn requests() -> Vec<(Command, Buffer)> {
    let writes = sources().map(|buffer| (Command::write(0, 512), buffer));
    let reads = targets().map(|buffer| (Command::read(512, 512), buffer));
    writes.into_iter().chain(reads).collect()
}

/// Hands all of them in, lets them end in some way, and looks at what comes back.
fn come_back(end: impl FnOnce(&mut Rig, crate::peer::Peer) -> Vec<nbd_driver_mio::Completion>) {
    let (mut rig, peer) = Rig::new(ClientOptions::default());
    let mut expected = std::collections::HashMap::new();
    for (command, buffer) in requests() {
        let identity = identity(&buffer);
        expected.insert(rig.client.submit(command, buffer).unwrap(), identity);
    }
    assert!(rig.turn() != nbd_driver_mio::Turn::Over);
    for completion in end(&mut rig, peer) {
        assert_eq!(expected.remove(&completion.cookie), Some(identity(&completion.buffer)));
    }
    assert!(expected.is_empty());
}

#[test]
fn after_success_filled_where_they_were_read_into() {
    must_end(|| {
        come_back(|rig, mut peer| {
            for fill in [1, 2, 3, 4] {
                let request = peer.expect(WRITE);
                assert_eq!(request.data, [fill; 512]);
                peer.reply(&request, 0, &[]);
            }
            for fill in [5, 6] {
                let request = peer.expect(READ);
                peer.reply(&request, 0, &[fill; 512]);
            }
            let completions = rig.completions(6);
            for (completion, fill) in completions.iter().zip(1..) {
                assert_eq!(completion.result, Ok(()));
                assert_eq!(completion.buffer[..], [fill; 512]);
            }
            completions
        });
    });
}

#[test]
fn after_errors() {
    must_end(|| {
        come_back(|rig, mut peer| {
            for _ in 0..6 {
                let request = peer.request().unwrap();
                peer.reply(&request, 5, &[]);
            }
            let completions = rig.completions(6);
            assert!(completions.iter().all(|completion| completion.result.is_err()));
            completions
        });
    });
}

#[test]
fn after_the_server_hung_up() {
    must_end(|| {
        come_back(|rig, peer| {
            drop(peer);
            rig.run_to_end()
        });
    });
}

#[test]
fn after_the_server_hung_up_in_the_middle_of_a_payload() {
    must_end(|| {
        come_back(|rig, mut peer| {
            let read = std::iter::from_fn(|| peer.request()).find(|request| request.kind == READ).unwrap();
            // Announces more than it sends.
            peer.reply(&read, 0, &[7; 100]);
            drop(peer);
            rig.run_to_end()
        });
    });
}

#[test]
fn after_the_connection_was_given_up() {
    must_end(|| {
        come_back(|rig, _peer| {
            rig.client.give_up("enough");
            rig.run_to_end()
        });
    });
}

#[test]
fn at_once_where_the_request_is_refused() {
    must_end(|| {
        let (mut rig, _peer) = Rig::new(ClientOptions::default());
        for buffer in sources() {
            let before = identity(&buffer);
            let rejected = rig.client.write(buffer, MIB).unwrap_err();
            assert!(matches!(rejected.why, Rejection::Refused(_)), "{rejected}");
            assert!(!rejected.is_not_now());
            assert_eq!(identity(&rejected.buffer), before);
        }
        for kind in [CommandType::READ, CommandType::WRITE] {
            for buffer in sources().into_iter().chain(targets()) {
                let before = identity(&buffer);
                let command = Command { command: kind, ..Command::read(0, 513) };
                let rejected = rig.client.submit(command, buffer).unwrap_err();
                assert!(matches!(rejected.why, Rejection::Buffer(_)), "{rejected}");
                assert_eq!(identity(&rejected.buffer), before);
            }
        }
        rig.client.give_up("enough");
        for buffer in sources() {
            let before = identity(&buffer);
            let rejected = rig.client.write(buffer, 0).unwrap_err();
            assert!(matches!(rejected.why, Rejection::Over(_)), "{rejected}");
            assert_eq!(identity(&rejected.buffer), before);
        }
        assert_eq!(rig.client.in_flight(), 0);
    });
}

#[test]
fn at_once_where_shared_memory_would_be_read_into() {
    must_end(|| {
        let (mut rig, _peer) = Rig::new(ClientOptions::default());
        let shared = Bytes::from(vec![1; 512]);
        let rejected = rig.client.submit(Command::read(0, 512), shared.clone()).unwrap_err();
        assert!(matches!(rejected.why, Rejection::Buffer(_)), "{rejected}");
        assert_eq!(identity(&rejected.buffer), identity(&shared.into()));
    });
}

#[test]
fn what_other_commands_carry_along() {
    must_end(|| {
        let (mut rig, mut peer) = Rig::new(ClientOptions::default());
        let carried = Buffer::from(b"a note".to_vec());
        let before = identity(&carried);
        rig.client.submit(Command::flush(), carried).unwrap();
        assert!(rig.turn() != nbd_driver_mio::Turn::Over);
        let request = peer.expect(3);
        peer.reply(&request, 0, &[]);
        assert_eq!(identity(&rig.completions(1)[0].buffer), before);
    });
}

#[test]
fn another_kind_of_buffer_is_had_without_a_copy() {
    let filled = vec![1; 512];
    let at = filled.as_ptr();
    let buffer = Buffer::from(filled);
    assert_eq!(buffer.clone().into_vec(), [1; 512]);
    assert_eq!(buffer.into_bytes().as_ptr(), at);
    let filled = BytesMut::zeroed(512);
    let at = filled.as_ptr();
    assert_eq!(Buffer::from(filled).into_bytes().as_ptr(), at);
    let filled = vec![1; 512];
    let at = filled.as_ptr();
    let vector = Buffer::from(filled).into_vec();
    assert_eq!(vector.as_ptr(), at);
}
