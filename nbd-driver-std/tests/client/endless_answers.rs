//! Servers that send without end: memory stays within a bound that is told, and so does the number of messages.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nbd_testkit::{PATIENCE, newstyle_greeting};

use crate::counting;
use crate::driver::nbd_proto::error::CommandError;
use crate::driver::nbd_proto::limits::{DEFAULT_STATUS_MEMORY, MAX_ERROR_CHUNKS, MAX_EXTENTS};
use crate::driver::nbd_proto::transmission::Command;
use crate::driver::nbd_proto::wire::flags::CommandFlags;
use crate::driver::{Client, ConnectOptions, Error};
use crate::peer::{ALL, Facts, Peer, Request, newstyle};
use crate::support::{MIB, connection_error, must_end};

const BLOCK_STATUS: u16 = 7;
const FLUSH: u16 = 3;
pub(crate) const GIB: u64 = 1 << 30;

/// Chunk types: nothing, data, extents, an error.
const NONE: u16 = 0;
const DATA: u16 = 1;
pub(crate) const EXTENTS: u16 = 5;
const ERROR: u16 = 0x8001;

pub(crate) fn structured(
    options: &ConnectOptions,
    contexts: &'static [&'static str],
    serve: impl FnOnce(&mut Peer) + Send + 'static,
) -> (Client, JoinHandle<()>) {
    let options = contexts.iter().fold(options.clone(), |options, &context| options.meta_context(context));
    newstyle(&options, Facts { size: GIB, flags: ALL, structured: true, contexts, ..Facts::default() }, serve)
}

/// So many extents of one context.
pub(crate) fn extents(context: u32, count: u32) -> Vec<u8> {
    let one = [512u32.to_be_bytes(), [0; 4]].concat();
    [&context.to_be_bytes()[..], &one.repeat(count as usize)].concat()
}

/// Answers each request about one context with so many extents, and another kind of request as it wants.
pub(crate) fn serve_extents(peer: &mut Peer, count: u32) {
    let payload = extents(1, count);
    while let Some(request) = peer.request() {
        match request.kind {
            BLOCK_STATUS => peer.chunk(&request, true, EXTENTS, &payload),
            _ => peer.chunk(&request, true, NONE, &[]),
        }
    }
}

fn too_large(result: Result<(), Error>) -> Option<usize> {
    match result {
        Ok(()) => None,
        Err(Error::Command(CommandError::StatusTooLarge { limit })) => Some(limit),
        Err(other) => panic!("{other}"),
    }
}

/// Each request gets the longest answer that there may be, and none of them is ended before all have come.
#[test]
fn answers_to_block_status_in_flight_have_a_bound_together() {
    const REQUESTS: usize = 8;
    must_end(|| {
        let (client, server) = structured(&ConnectOptions::new(), &["base:allocation"], |peer| {
            let requests: Vec<_> = (0..REQUESTS).map(|_| peer.expect(BLOCK_STATUS)).collect();
            let payload = extents(1, MAX_EXTENTS);
            for request in &requests {
                peer.chunk(request, false, EXTENTS, &payload);
            }
            peer.chunk(&requests[0], true, NONE, &[]);
            let flush = peer.expect(FLUSH);
            for request in &requests[1..] {
                peer.chunk(request, true, NONE, &[]);
            }
            peer.chunk(&flush, true, NONE, &[]);
            serve_extents(peer, MAX_EXTENTS);
        });
        let before = counting::bytes();
        let mut queue = client.queue();
        for _ in 0..REQUESTS {
            queue.submit(Command::block_status(0, GIB), Vec::new()).unwrap();
        }
        // All that is to come has come when the first ends.
        let first = queue.wait().unwrap();
        let grown = counting::bytes() - before;
        assert!(grown > DEFAULT_STATUS_MEMORY / 2 && grown <= DEFAULT_STATUS_MEMORY + (1 << 20), "{grown} bytes");
        assert_eq!(first.contexts[0].extents.len(), MAX_EXTENTS as usize);
        first.result.unwrap();
        drop(first.contexts);
        client.flush().unwrap();
        let mut refused = 0;
        while let Some(done) = queue.wait() {
            if let Err(error) = &done.result {
                assert!(error.to_string().contains("more than 134217728 bytes"), "{error}");
                assert!(done.contexts.is_empty());
                refused += 1;
            }
            assert!(too_large(done.result).is_none_or(|limit| limit == DEFAULT_STATUS_MEMORY));
        }
        assert_eq!(refused, REQUESTS - 5);
        // The connection goes on, and what was given back can be had again.
        for _ in 0..3 {
            let whole = client.block_status_once(0, GIB, CommandFlags::empty()).unwrap();
            assert_eq!(whole[0].extents.len(), MAX_EXTENTS as usize);
        }
        drop((queue, client));
        server.join().unwrap();
    });
}

#[test]
fn one_command_whose_answer_has_no_room_fails_alone() {
    must_end(|| {
        let options = ConnectOptions::new().max_status_memory(1 << 20);
        let (client, server) = structured(&options, &["base:allocation", "x:a", "x:b"], |peer| {
            while let Some(request) = peer.request() {
                // Each context for itself would fit.
                let count = if request.length == 5120 { 10 } else { 20_000 };
                for context in 1..=3 {
                    peer.chunk(&request, context == 3, EXTENTS, &extents(context, count));
                }
            }
        });
        let before = counting::bytes();
        for round in 0..20 {
            let error = client.block_status_once(0, 10 * MIB, CommandFlags::empty()).unwrap_err();
            assert!(error.to_string().contains("1048576 bytes"), "{error}");
            assert_eq!(too_large(Err(error)), Some(1 << 20), "round {round}");
            let all = client.block_status_once(0, 5120, CommandFlags::empty()).unwrap();
            assert_eq!(all.iter().map(|context| context.extents.len()).collect::<Vec<_>>(), [10; 3]);
        }
        let grown = counting::bytes().saturating_sub(before);
        assert!(grown <= 1 << 20, "{grown} bytes were left behind");
        let walk = client.block_status("x:a", 0..10 * MIB).unwrap().next().unwrap();
        assert_eq!(too_large(walk.map(drop)), Some(1 << 20), "a walk tells it too");
        drop(client);
        server.join().unwrap();
    });
}

/// Sends the same message again and again, until the client has had enough.
fn repeat(peer: &mut Peer, message: &[u8]) {
    let many = message.repeat(1 + (1 << 16) / message.len());
    while peer.0.write_all(&many).is_ok() {}
}

fn chunk(request: &Request, kind: u16, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap();
    let header = [&0x668e_33ef_u32.to_be_bytes()[..], &[0, 0], &kind.to_be_bytes(), &request.cookie.to_be_bytes()];
    [&header.concat()[..], &length.to_be_bytes(), payload].concat()
}

/// What a client says of a server that answers its read of 512 bytes with one chunk that it repeats for ever; and how
/// much memory that has left behind.
fn endless_chunks(kind: u16, payload: Vec<u8>) -> (String, usize) {
    let (client, server) = structured(&ConnectOptions::new(), &["base:allocation"], move |peer| {
        let request = peer.request().unwrap();
        repeat(peer, &chunk(&request, kind, &payload));
    });
    let before = counting::bytes();
    let error = match kind {
        EXTENTS => connection_error(client.block_status_once(0, 512, CommandFlags::empty())),
        _ => connection_error(client.read_at(&mut [0; 512], 0)),
    };
    let grown = counting::bytes().saturating_sub(before);
    drop(client);
    server.join().unwrap();
    (error, grown)
}

#[test]
fn chunks_without_end_for_one_command_end_the_connection() {
    must_end(|| {
        let at = |bytes: &[u8]| [&0u64.to_be_bytes()[..], bytes].concat();
        let errors = format!("more than {MAX_ERROR_CHUNKS} error chunks");
        for (kind, payload, expected) in [
            (ERROR, [&[0, 0, 0, 5, 16, 0][..], &[b'x'; 4096]].concat(), &errors[..]),
            (ERROR, vec![0, 0, 0, 5, 0, 0], &errors),
            (0x8002, [&[0, 0, 0, 5, 0, 0][..], &at(b"")].concat(), &errors),
            (0x8077, vec![0, 0, 0, 5, 0, 0], &errors),
            (DATA, at(b""), "at least 9"),
            (DATA, at(b"x"), "overlap"),
            (2, at(&[0; 4]), "hole"),
            (2, at(&1u32.to_be_bytes()), "overlap"),
            (EXTENTS, extents(1, 1), "two block status chunks"),
            (EXTENTS, extents(1, 0), "block status"),
            (EXTENTS, extents(9, 1), "context"),
            (NONE, vec![], "NBD_REPLY_TYPE_NONE"),
        ] {
            let (error, grown) = endless_chunks(kind, payload);
            assert!(error.contains(expected), "chunk {kind:#x}: {error}");
            // What a receive brought last may still lie there.
            assert!(grown <= 256 << 10, "chunk {kind:#x}: {grown} bytes");
        }
    });
}

/// Content may come byte by byte, faster than the client reads it: the time that a request may take ends all the same.
#[test]
fn a_reply_with_always_more_to_read_is_late() {
    const LENGTH: usize = 4 << 20;
    must_end(|| {
        let options = ConnectOptions::new().request_timeout(Some(Duration::from_millis(100)));
        let (client, server) = structured(&options, &[], |peer| {
            let request = peer.request().unwrap();
            let one = chunk(&request, DATA, &[&[0; 8][..], b"x"].concat());
            let mut some = one.repeat(4096);
            let mut at = 0..LENGTH as u64;
            while !at.is_empty() {
                for (chunk, at) in some.chunks_exact_mut(one.len()).zip(&mut at) {
                    chunk[20..28].copy_from_slice(&at.to_be_bytes());
                }
                if peer.0.write_all(&some).is_err() {
                    return;
                }
            }
            panic!("the client has read all of it");
        });
        let error = connection_error(client.read_at(&mut vec![0; LENGTH + 1], 0));
        assert!(error.contains("within 100 ms"), "{error}");
        drop(client);
        server.join().unwrap();
    });
}

/// The header of a reply to an option.
pub(crate) fn option_reply(option: u32, kind: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap();
    let numbers = [option, kind, length].map(u32::to_be_bytes).concat();
    [&0x0003_e889_0455_65a9_u64.to_be_bytes()[..], &numbers, payload].concat()
}

/// Answers each option as it should until `endless` comes, and that with one reply for ever.
fn haggle(peer: &mut Peer, endless: u32, reply: (u32, &[u8])) {
    peer.0.write_all(&newstyle_greeting(3)).unwrap();
    peer.0.read_exact(&mut [0; 4]).unwrap();
    loop {
        let mut header = [0; 16];
        peer.0.read_exact(&mut header).unwrap();
        let [option, length] = [8, 12].map(|at| u32::from_be_bytes(header[at..at + 4].try_into().unwrap()));
        peer.0.read_exact(&mut vec![0; length as usize]).unwrap();
        let facts = [&[0, 0][..], &MIB.to_be_bytes(), &ALL.to_be_bytes()].concat();
        let answers = match option {
            _ if option == endless => return repeat(peer, &option_reply(option, reply.0, reply.1)),
            3 => vec![option_reply(option, 2, &[0, 0, 0, 1, b'x'])],
            6 | 7 => vec![option_reply(option, 3, &facts)],
            8 | 10 => vec![],
            _ => {
                peer.0.write_all(&option_reply(option, 0x8000_0001, b"")).unwrap();
                continue;
            }
        };
        peer.0.write_all(&[answers.concat(), option_reply(option, 1, b"")].concat()).unwrap();
    }
}

#[test]
fn replies_without_end_to_one_option_end_the_handshake() {
    const SET: u32 = 10;
    let name = |length: u32| [&length.to_be_bytes()[..], &vec![b'n'; length as usize]].concat();
    let context = |length: usize| [&[0, 0, 0, 1][..], &vec![b'n'; length]].concat();
    let (many, much) = ("brought more than 65536 replies", "add up to more than 33554432 bytes");
    // What is asked for, the option without an end, the reply's type and payload, and what is said of it.
    let cases = [
        ("connect", SET, 4, context(1), many),
        ("connect", SET, 4, context(4096), much),
        ("connect", 9, 4, context(1), many),
        ("connect", 9, 4, context(4096), much),
        ("connect", 7, 3, vec![0x77, 0x77], many),
        ("connect", 7, 3, [&[0x77, 0x77][..], &vec![0; 100_000]].concat(), much),
        ("connect", 7, 3, vec![0, 2, b'd'], many),
        ("connect", 7, 3, [&[0, 2][..], &[b'd'; 4096]].concat(), much),
        ("list", 3, 2, name(0), many),
        ("list", 3, 2, name(4096), much),
        ("list", 6, 3, vec![0, 1, b'n'], many),
        ("list", 9, 4, context(1), many),
        ("list", 9, 4, context(4096), much),
    ];
    must_end(move || {
        for (way, option, kind, payload, expected) in cases {
            let dir = tempfile::tempdir().unwrap();
            let listener = UnixListener::bind(dir.path().join("socket")).unwrap();
            let uri = format!("nbd+unix:///?socket={}", dir.path().join("socket").display());
            let server = thread::spawn(move || {
                let (socket, _) = listener.accept().unwrap();
                socket.set_read_timeout(Some(PATIENCE)).unwrap();
                socket.set_write_timeout(Some(PATIENCE)).unwrap();
                haggle(&mut Peer(socket), option, (kind, &payload));
            });
            let options = ConnectOptions::new().meta_context("n:").list_contexts(true);
            let before = counting::bytes();
            let error = match way {
                "list" => connection_error(options.list(&uri)),
                _ => connection_error(options.connect(&uri)),
            };
            let grown = counting::bytes().saturating_sub(before);
            assert!(error.contains(expected), "to {way}, option {option}: {error}");
            assert!(grown <= 64 << 10, "to {way}, option {option}: {grown} bytes were left behind");
            server.join().unwrap();
        }
    });
}
