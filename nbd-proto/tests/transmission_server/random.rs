//! Whatever a client sends, and however it is cut: nothing panics, nothing turns in circles, and what comes of it is
//! always the same.

use std::ops::Range;

use nbd_proto::error::{Ended, Error};
use nbd_proto::handshake::ReplyStyle;
use nbd_proto::transmission::{ReadPart, Request, ServerSettings};
use nbd_proto::wire::chunk::Descriptor;
use nbd_proto::wire::flags::CommandFlags;
use nbd_proto::wire::number::{CommandType, ErrorValue};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::client::raw_request;
use crate::harness::{Link, Seen, WHOLE, Way};
use crate::setup::{STYLES, Setup};

/// Answers at once, in a way that hangs on nothing but the request.
fn answer(link: &mut Link, seen: &Seen) {
    let (number, payload_to_come) = match seen {
        Seen::Request(number, command) => (*number, *command == CommandType::WRITE),
        Seen::Received(number) => (*number, false),
        _ => return,
    };
    let (id, request) = (link.id(number), link.requests[number]);
    match (request.command, number % 5) {
        (_, 4) => link.fail(number, ErrorValue::EIO).unwrap(),
        (CommandType::WRITE, _) if payload_to_come => link.server.receive(id).unwrap(),
        (CommandType::READ, 0) if request.length > 1 => {
            link.finish_read(number, &[ReadPart::Hole(1), ReadPart::Data(request.length - 1)]).unwrap();
        }
        (CommandType::READ, _) => link.finish_read(number, &[ReadPart::Data(request.length)]).unwrap(),
        (CommandType::BLOCK_STATUS, _) => {
            let minimum = u64::from(link.server.negotiated().minimum_block());
            let extents = [Descriptor { length: 7 * minimum, flags: 1 }, Descriptor { length: 1 << 40, flags: 0 }];
            let answers: Vec<_> = link.server.contexts(id).iter().map(|context| (*context, &extents[..])).collect();
            link.server.finish_status(id, &answers).unwrap();
        }
        _ => link.finish(number).unwrap(),
    }
}

/// All that comes of a stream.
#[derive(Debug, PartialEq)]
struct Outcome {
    requests: Vec<(CommandType, CommandFlags, Range<u64>)>,
    buffers: Vec<Vec<u8>>,
    disconnected: bool,
    error: Option<Error>,
}

/// Plays a stream, sending some after each piece; then the stream ends. Gives what has been sent, too.
fn play(setup: &Setup, way: Way, stream: &[u8], pieces: &[usize], most: usize) -> (Outcome, Vec<u8>) {
    let mut link = Link::new(setup, way);
    link.consents = false;
    link.caller = Some(answer);
    let (mut rest, mut pieces, mut sent) = (stream, pieces.iter().copied().cycle(), Vec::new());
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(pieces.next().unwrap().min(rest.len()));
        rest = behind;
        link.feed(piece);
        sent.extend(link.send(most));
    }
    sent.extend(link.send_all());
    link.server.eof();
    link.poll();
    if link.error.is_some() {
        assert_eq!((link.server.in_flight(), link.server.landing()), (0, None));
    } else {
        assert!(link.server.is_finished());
    }
    let shown = |request: &Request| (request.command, request.flags, request.offset..request.offset + request.length);
    let disconnected = link.seen().contains(&Seen::Disconnect);
    let requests = link.requests.iter().map(shown).collect();
    (Outcome { requests, buffers: link.buffers, disconnected, error: link.error }, sent)
}

/// What comes of a stream does not hang on how it is cut.
fn assert_same(setup: &Setup, stream: &[u8], pieces: &[usize], most: usize, lands: bool) -> Outcome {
    let (whole, bytes) = play(setup, WHOLE, stream, &[usize::MAX], usize::MAX);
    let (cut, other) = play(setup, Way { piece: usize::MAX, lands }, stream, pieces, most);
    assert_eq!(whole, cut);
    // Where the connection breaks, what was not sent in time is lost.
    let (short, long) = if bytes.len() < other.len() { (&bytes, &other) } else { (&other, &bytes) };
    let clean = matches!(whole.error, None | Some(Error::Ended(_)));
    assert!(long.starts_with(short) && (!clean || short.len() == long.len()), "the answers differ");
    whole
}

fn setup() -> impl Strategy<Value = Setup> {
    (prop::sample::select(STYLES.to_vec()), 1..10usize, any::<bool>()).prop_map(|(style, many, aligned)| {
        let settings = ServerSettings::default().with_max_in_flight(many).with_max_skipped(1 << 20);
        Setup::new(style).with_size(4096).with_settings(settings).with_sizes(if aligned { 4 } else { 1 }, 600)
    })
}

/// A request, sound or not, with the payload that it says it has.
fn message(extended: bool) -> impl Strategy<Value = Vec<u8>> {
    let command = prop_oneof![8 => 0..8u16, 1 => any::<u16>()].prop_filter("ends the stream", |command| *command != 2);
    let flags = prop_oneof![
        4 => Just(0u16),
        2 => prop::sample::select(vec![1u16, 2, 4, 8, 16, 32]),
        1 => any::<u16>(),
    ];
    let offset = prop_oneof![6 => 0..4096u64, 3 => (0..1024u64).prop_map(|at| at * 4), 1 => any::<u64>()];
    let length = prop_oneof![4 => 0..300u64, 3 => (0..150u64).prop_map(|at| at * 4), 1 => 0..1000u64];
    (command, flags, any::<u64>(), offset, length, any::<u8>()).prop_map(
        move |(command, flags, cookie, offset, length, byte)| {
            let mut bytes = raw_request(extended, cookie, command, flags, offset, length);
            if command == 1 || extended && flags & 32 != 0 {
                // Half of the lists of contexts make sense.
                let status = [&[0; 6][..], &[1, byte, 0, 0, 0, 1 + byte % 4, 0, 0, 0, 3]].concat();
                let payload = status.into_iter().chain(std::iter::repeat(byte));
                bytes.extend(payload.take(length as usize));
            }
            bytes
        },
    )
}

fn stream() -> impl Strategy<Value = (Setup, Vec<u8>)> {
    setup().prop_flat_map(|setup| {
        let extended = setup.style == ReplyStyle::Extended;
        let end = prop_oneof![
            2 => Just(Vec::new()),
            1 => Just([raw_request(extended, 9, 2, 0, 0, 0), b"behind".to_vec()].concat()),
            1 => Just(raw_request(!extended, 9, 2, 0, 0, 0)),
            1 => message(extended).prop_map(|mut message| { message.truncate(20); message }),
        ];
        (Just(setup), vec(message(extended), 0..25), end)
            .prop_map(|(setup, messages, end)| (setup, [messages.concat(), end].concat()))
    })
}

fn pieces() -> impl Strategy<Value = Vec<usize>> {
    vec(prop_oneof![1..8usize, 1..100usize, 1..1000usize], 1..8)
}

proptest! {
    #[test]
    fn what_comes_of_requests_does_not_hang_on_how_they_are_cut(
        (setup, stream) in stream(),
        pieces in pieces(),
        (most, lands) in (1..200usize, any::<bool>()),
    ) {
        assert_same(&setup, &stream, &pieces, most, lands);
    }

    #[test]
    fn mutated_requests_are_survived(
        (setup, mut stream) in stream(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        pieces in pieces(),
        (most, lands) in (1..200usize, any::<bool>()),
    ) {
        for (at, byte) in changes {
            if !stream.is_empty() {
                let at = at.index(stream.len());
                stream[at] = byte;
            }
        }
        assert_same(&setup, &stream, &pieces, most, lands);
    }

    #[test]
    fn any_bytes_are_survived(
        setup in setup(),
        magic in prop::sample::select(vec![None, Some(0x2560_9513u32), Some(0x21e4_1c71)]),
        bytes in vec(any::<u8>(), 0..200),
        pieces in pieces(),
        lands in any::<bool>(),
    ) {
        let stream = [magic.map_or(vec![], |magic| magic.to_be_bytes().to_vec()), bytes].concat();
        assert_same(&setup, &stream, &pieces, usize::MAX, lands);
    }

    #[test]
    fn sound_requests_in_any_number_never_end_the_connection(
        style in prop::sample::select(STYLES.to_vec()),
        lengths in vec(1..600u64, 1..40),
        pieces in pieces(),
    ) {
        let extended = style == ReplyStyle::Extended;
        let reads = lengths.iter().map(|length| raw_request(extended, 7, 0, 0, 0, *length));
        let outcome = assert_same(&Setup::new(style), &reads.collect::<Vec<_>>().concat(), &pieces, 50, false);
        assert_eq!(outcome.requests.len(), lengths.len());
        let ended = Ended::AtBoundary { awaiting: "a request" };
        assert_eq!(outcome.error, Some(ended.into()));
    }
}
