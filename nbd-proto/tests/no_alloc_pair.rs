//! Once warm, a client and a server together allocate nothing, from a command to its end.
//!
//! A binary of its own, because it has an allocator of its own, which counts.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking")]
#![allow(clippy::disallowed_macros, reason = "the counting allocator has no value to keep its counts in")]

#[path = "common/counting.rs"]
mod counting;

use nbd_proto::handshake::{
    Connect, ConnectSettings, Flow, Offer, ReplyStyle, ServerHandshake, ServerHandshakeEvent, ServerHandshakeSettings,
    ServerStatus, Status,
};
use nbd_proto::transmission::{
    Client, ClientSettings, Command, Event, Outbound, ReadPart, Request, Segment, Server, ServerEvent, ServerSettings,
};
use nbd_proto::wire::chunk::Descriptor;
use nbd_proto::wire::flags::{CommandFlags, TransmissionFlags};
use nbd_proto::wire::number::{CommandType, ContextId};

/// More than fit into what is kept beside a request.
const CONTEXTS: [&str; 6] = ["base:allocation", "x-a:b", "x-a:c", "x-a:d", "x-a:e", "x-a:f"];
const LONGEST: usize = 1024;

/// Leads the two through a handshake.
fn pair(style: ReplyStyle) -> (Client, Server) {
    let mut settings = ConnectSettings::new("")
        .with_extended_headers(style == ReplyStyle::Extended)
        .with_structured_replies(style == ReplyStyle::Structured);
    if style != ReplyStyle::Simple {
        settings = CONTEXTS.into_iter().fold(settings, ConnectSettings::with_meta_context);
    }
    let offer = Offer::new(1 << 20, TransmissionFlags::all() - TransmissionFlags::READ_ONLY);
    let offer = CONTEXTS.into_iter().fold(offer, Offer::with_context);
    let (mut to_client, mut to_server) = (Vec::new(), Vec::new());
    let mut flow = Connect::new(settings);
    let mut handshake = ServerHandshake::new(ServerHandshakeSettings::default(), &mut to_client);
    while flow.status() != Status::Ready || handshake.status() != ServerStatus::Ready {
        let consumed = flow.input(&to_client, &mut to_server).unwrap();
        to_client.drain(..consumed);
        let advance = handshake.input(&to_server, &mut to_client).unwrap();
        match advance.event {
            Some(ServerHandshakeEvent::LookUp(_)) => handshake.offer(&offer, &mut to_client).unwrap(),
            other => assert_eq!(other, None),
        }
        to_server.drain(..advance.consumed);
    }
    let client = Client::new(flow.finish().unwrap(), ClientSettings::default());
    assert_eq!(client.negotiated().reply_style, style);
    (client, Server::new(handshake.finish().unwrap(), ServerSettings::default()))
}

/// Puts what is to be sent into memory that is there already.
fn take<Id: Copy>(outbound: Outbound<'_, Id>, wire: &mut Vec<u8>) -> usize {
    wire.clear();
    for segment in outbound {
        match segment {
            Segment::Framing(bytes) => wire.extend_from_slice(bytes),
            Segment::Payload { range, .. } => wire.resize(wire.len() + range.len(), 7),
        }
    }
    wire.len()
}

fn answer(server: &mut Server, request: &Request) {
    let Request { id, command, length, .. } = *request;
    match command {
        CommandType::READ => server.finish_read(id, &[ReadPart::Data(length - 10), ReadPart::Hole(10)]).unwrap(),
        CommandType::BLOCK_STATUS => {
            let extents = [1, 0].map(|flags| Descriptor { length: 512, flags });
            let mut answers = [(ContextId(0), &extents[..]); CONTEXTS.len()];
            let asked = server.contexts(id);
            for (answer, context) in answers.iter_mut().zip(asked) {
                answer.0 = *context;
            }
            let asked = asked.len();
            server.finish_status(id, &answers[..asked]).unwrap();
        }
        _ => server.finish(id).unwrap(),
    }
}

/// The server does what it is asked to. How many requests have ended.
fn serve(server: &mut Server, wire: &[u8], request: &mut Option<Request>, buffer: &mut [u8]) -> usize {
    let (mut at, mut ended) = (0, 0);
    loop {
        let advance = server.input(&wire[at..]).unwrap();
        at += advance.consumed;
        match advance.event {
            Some(ServerEvent::Request(told)) => {
                *request = Some(told);
                match told.command {
                    CommandType::WRITE => server.receive(told.id).unwrap(),
                    _ => answer(server, &told),
                }
            }
            Some(ServerEvent::Data { range, bytes, .. }) => buffer[range].copy_from_slice(bytes),
            Some(ServerEvent::Received { .. }) => answer(server, request.as_ref().unwrap()),
            Some(ServerEvent::Done { sent, .. }) => ended += usize::from(sent),
            Some(ServerEvent::Disconnect) => panic!("nobody disconnects"),
            None if advance.consumed == 0 => break,
            None => {}
        }
    }
    assert_eq!(at, wire.len());
    ended
}

/// The client hears its answers. How many commands have ended.
fn hear(client: &mut Client, wire: &[u8], buffer: &mut [u8]) -> usize {
    let (mut at, mut ended) = (0, 0);
    loop {
        let advance = client.input(&wire[at..]).unwrap();
        at += advance.consumed;
        match advance.event {
            Some(Event::Data { range, bytes, .. }) => buffer[range].copy_from_slice(bytes),
            Some(Event::Hole { range, .. }) => buffer[range].fill(0),
            Some(Event::Extents { extents, .. }) => assert!(extents.count() > 0),
            Some(Event::Failure { .. }) => panic!("a command failed"),
            Some(Event::Done { result, .. }) => {
                result.unwrap();
                ended += 1;
            }
            None if advance.consumed == 0 => break,
            None => {}
        }
    }
    assert_eq!(at, wire.len());
    ended
}

fn commands(style: ReplyStyle) -> impl Iterator<Item = (Command, bool)> {
    let plain = [
        Command::read(512, LONGEST as u64),
        Command::write(512, LONGEST as u64),
        Command::flush(),
        Command::trim(0, 4096),
        Command::cache(0, 4096),
        Command::write_zeroes(0, 4096).with_flags(CommandFlags::FUA),
    ];
    let chunked = [Command::read(512, LONGEST as u64).with_flags(CommandFlags::DF), Command::block_status(0, 1 << 20)];
    let chunked = chunked.into_iter().filter(move |_| style != ReplyStyle::Simple);
    let filtered = (style == ReplyStyle::Extended).then_some((Command::block_status(0, 1 << 20), true));
    plain.into_iter().chain(chunked).map(|command| (command, false)).chain(filtered)
}

#[test]
fn a_warm_pair_allocates_nothing() {
    const MANY: usize = 10;
    for style in [ReplyStyle::Simple, ReplyStyle::Structured, ReplyStyle::Extended] {
        for (command, filtered) in commands(style) {
            let (mut client, mut server) = pair(style);
            let named: Vec<_> = client.negotiated().contexts.iter().map(|context| context.id).rev().collect();
            let (mut wire, mut request) = (Vec::new(), None);
            let (mut above, mut below) = (vec![0; LONGEST], vec![0; LONGEST]);
            let mut rounds = |count| {
                for _ in 0..count {
                    for _ in 0..MANY {
                        if filtered {
                            client.submit_for_contexts(command, &named).unwrap();
                        } else {
                            client.submit(command).unwrap();
                        }
                    }
                    let sent = take(client.outbound(), &mut wire);
                    client.sent(sent);
                    serve(&mut server, &wire, &mut request, &mut below);
                    let sent = take(server.outbound(), &mut wire);
                    server.sent(sent);
                    assert_eq!(hear(&mut client, &wire, &mut above), MANY);
                    assert_eq!(serve(&mut server, &[], &mut request, &mut below), MANY);
                }
            };
            rounds(8);
            let before = counting::allocations();
            rounds(50);
            let after = counting::allocations();
            assert_eq!(after - before, 0, "with {style} replies: {command:?}");
        }
    }
}
