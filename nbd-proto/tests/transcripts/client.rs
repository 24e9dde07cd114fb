//! Our client, asked to say what the recorded one said, and told what that one was told.

use std::collections::BTreeMap;

use nbd_proto::error::{CommandError, Ended, Error, Refusal, Unavailable};
use nbd_proto::handshake::{ClientHandshake, HandshakeEvent, HandshakeSettings, Negotiated, Status, TlsPolicy};
use nbd_proto::transmission::{Checks, Client, ClientSettings, Command, Event, Extent, Segment};
use nbd_proto::wire::flags::CommandFlags;
use nbd_proto::wire::number::{CommandType, ContextId, Cookie, OptionCode, ReplyType};
use nbd_proto::wire::request::BlockStatusPayload;

use crate::messages::{Sent, readdress};
use crate::transcript::Transcript;

/// What the recorded client does, in order.
enum Action {
    Option(usize),
    Request(usize),
    Goodbye,
}

#[derive(Clone, Debug, PartialEq)]
enum Seen {
    Opened,
    Reply(ReplyType),
    Done(Result<(), Refusal>),
}

/// What became of one command.
#[derive(Debug, Default, PartialEq)]
struct Call {
    cookie: Option<Cookie>,
    buffer: Vec<u8>,
    extents: Vec<(ContextId, Vec<Extent>)>,
    /// How much of the stream was used when its end came, and the end.
    done: Option<(usize, Result<(), CommandError>)>,
}

enum Phase {
    Handshake(Box<ClientHandshake>),
    Transmission(Box<Client>),
}

pub(crate) struct Run<'a> {
    transcript: &'a Transcript,
    phase: Phase,
    used: usize,
    /// What the handshake told, and how much of the stream was used then.
    seen: Vec<(usize, Seen)>,
    negotiated: Option<Negotiated>,
    calls: Vec<Call>,
    /// Which command a cookie in flight names.
    names: BTreeMap<Cookie, usize>,
    end: Option<Error>,
}

impl<'a> Run<'a> {
    fn new(transcript: &'a Transcript) -> Self {
        let starttls = transcript.options.iter().any(|asked| asked.option == OptionCode::STARTTLS);
        let policy = if starttls { TlsPolicy::Opportunistic } else { TlsPolicy::Off };
        Self {
            transcript,
            phase: Phase::Handshake(Box::new(ClientHandshake::new(HandshakeSettings::default().with_tls(policy)))),
            used: 0,
            seen: Vec::new(),
            negotiated: None,
            calls: Vec::new(),
            names: BTreeMap::new(),
            end: None,
        }
    }

    /// Plays the stream up to a cut. Where `readdressed` is missing, the stream still has the recorded client's
    /// cookies, and gets ours.
    fn play(&mut self, stream: &mut [u8], cut: usize, readdressed: bool) {
        let transcript = self.transcript;
        let mut replies = transcript.replies.iter().peekable();
        let mut actions = actions(transcript).into_iter().peekable();
        loop {
            // Up to where the recorded client had seen enough to say something.
            let stop = actions.peek().map_or(cut, |(behind, _)| (*behind).min(cut));
            while let Some(reply) = replies.next_if(|reply| !readdressed && reply.place.start < stop) {
                readdress(stream, reply, self.calls[reply.command].cookie.unwrap());
            }
            self.drain(&stream[..stop]);
            let Some((_, action)) = actions.next_if(|(behind, _)| *behind <= stop) else { break };
            self.act(&action);
        }
        self.drain(&stream[..cut]);
        self.eof();
    }

    fn act(&mut self, action: &Action) {
        let (transcript, mut out) = (self.transcript, Vec::new());
        match (action, &mut self.phase) {
            (Action::Option(number), Phase::Handshake(handshake)) => {
                handshake.choose(&transcript.options[*number].request(), &mut out).unwrap();
            }
            (Action::Request(number), Phase::Transmission(client)) => {
                let sent = &transcript.requests[*number];
                let cookie = submit(client, sent);
                let length = if sent.header.command == CommandType::READ { sent.header.length as usize } else { 0 };
                self.calls.push(Call { cookie: Some(cookie), buffer: vec![0xa5; length], ..Call::default() });
                self.names.insert(cookie, *number);
                send(client);
            }
            (Action::Goodbye, Phase::Transmission(client)) => {
                client.disconnect().unwrap();
                send(client);
            }
            _ => panic!("{}: it is not the time for that: {:?}", transcript.name, self.end),
        }
    }

    fn drain(&mut self, stream: &[u8]) {
        self.haggle(stream);
        let Phase::Transmission(client) = &mut self.phase else { return };
        while self.end.is_none() {
            let advance = match client.input(stream.get(self.used..).unwrap_or_default()) {
                Ok(advance) => advance,
                Err(error) => {
                    self.end = Some(error);
                    break;
                }
            };
            self.used += advance.consumed;
            match advance.event {
                Some(event) => see(event, &mut self.names, &mut self.calls, self.used),
                None if advance.consumed == 0 => break,
                None => {}
            }
        }
    }

    fn haggle(&mut self, stream: &[u8]) {
        let Phase::Handshake(handshake) = &mut self.phase else { return };
        let mut out = Vec::new();
        loop {
            let advance = handshake.input(&stream[self.used..], &mut out).unwrap();
            self.used += advance.consumed;
            let event = match advance.event {
                Some(HandshakeEvent::Opened(_)) => Seen::Opened,
                Some(HandshakeEvent::Reply(reply)) => Seen::Reply(reply.reply()),
                Some(HandshakeEvent::Done { outcome, .. }) => Seen::Done(outcome),
                None if advance.consumed == 0 => break,
                None => continue,
            };
            self.seen.push((self.used, event));
        }
        if handshake.status() == Status::Ready {
            let settings = HandshakeSettings::default();
            let handshake = std::mem::replace(&mut **handshake, ClientHandshake::new(settings));
            let negotiated = handshake.finish().unwrap();
            // What a recorded client dares, ours is to dare, too.
            let settings = ClientSettings::default().with_checks(Checks::empty());
            self.negotiated = Some(negotiated.clone());
            self.phase = Phase::Transmission(Box::new(Client::new(negotiated, settings)));
        }
    }

    /// The server leaves.
    fn eof(&mut self) {
        match &mut self.phase {
            Phase::Handshake(handshake) => {
                let error = handshake.eof();
                assert_eq!(handshake.input(&[], &mut Vec::new()), Err(error.clone()), "the error stays");
                self.end = Some(error);
            }
            Phase::Transmission(client) => {
                client.eof();
                self.drain(&[]);
                let Phase::Transmission(client) = &mut self.phase else { unreachable!() };
                assert_eq!((client.in_flight(), client.room(), client.wants_write()), (0, 0, false));
                assert_eq!(client.input(&[]).unwrap_err(), self.end.clone().unwrap(), "the error stays");
            }
        }
        assert!(self.calls.iter().all(|call| call.done.is_some()), "a command without its end");
    }
}

/// What the recorded client did, each with how much it had been told before.
fn actions(transcript: &Transcript) -> Vec<(usize, Action)> {
    let options = transcript.options.iter().enumerate().map(|(number, asked)| (asked.behind, Action::Option(number)));
    let requests = transcript.requests.iter().enumerate().map(|(number, sent)| (sent.behind, Action::Request(number)));
    let goodbye = transcript.goodbye.iter().map(|sent| (sent.behind, Action::Goodbye));
    options.chain(requests).chain(goodbye).collect()
}

fn submit(client: &mut Client, sent: &Sent) -> Cookie {
    let (header, flags) = (&sent.header, sent.header.flags - CommandFlags::PAYLOAD_LEN);
    let command = Command { command: header.command, flags, offset: header.offset, length: header.length };
    if header.command == CommandType::BLOCK_STATUS && !sent.payload.is_empty() {
        let BlockStatusPayload { effect_length: length, contexts } = BlockStatusPayload::parse(&sent.payload).unwrap();
        return client.submit_for_contexts(Command { length, ..command }, &contexts).unwrap();
    }
    client.submit(command).unwrap()
}

/// All that is queued goes out.
fn send(client: &mut Client) {
    let length = |segment| match segment {
        Segment::Framing(bytes) => bytes.len(),
        Segment::Payload { range, .. } => range.len(),
    };
    let count = client.outbound().map(length).sum();
    client.sent(count);
}

fn see(event: Event<'_>, names: &mut BTreeMap<Cookie, usize>, calls: &mut [Call], used: usize) {
    match event {
        Event::Data { cookie, range, bytes } => calls[names[&cookie]].buffer[range].copy_from_slice(bytes),
        Event::Hole { cookie, range } => calls[names[&cookie]].buffer[range].fill(0),
        Event::Extents { cookie, context, extents } => {
            calls[names[&cookie]].extents.push((context, extents.collect()));
        }
        Event::Failure { cookie, .. } => assert!(names.contains_key(&cookie)),
        Event::Done { cookie, result } => {
            let number = names.remove(&cookie).expect("a Done for a command in flight");
            assert!(calls[number].done.replace((used, result)).is_none(), "a second Done");
        }
    }
}

/// The whole session, and then what is left of it behind each cut.
pub(crate) fn leaves_at_any_byte(transcript: &Transcript) {
    let mut stream = transcript.server.clone();
    let length = stream.len();
    let mut whole = Run::new(transcript);
    whole.play(&mut stream, length, false);
    check_whole(&whole);
    for cut in 0..=transcript.server.len() {
        let mut part = Run::new(transcript);
        part.play(&mut stream, cut, true);
        check_part(&part, &whole, cut);
    }
}

/// Nothing went wrong, and everything was answered as the server answered it.
fn check_whole(whole: &Run<'_>) {
    let transcript = whole.transcript;
    let name = &transcript.name;
    let done = whole.seen.iter().filter_map(|(_, seen)| match seen {
        Seen::Done(outcome) => Some(outcome.clone().map_err(|refusal| refusal.reply)),
        _ => None,
    });
    let answered = transcript.options.iter().filter(|asked| asked.option != OptionCode::ABORT);
    assert!(done.eq(answered.map(|asked| asked.outcome)), "{name}");
    if let Some(negotiated) = &whole.negotiated {
        assert_eq!(negotiated.reply_style, transcript.style, "{name}");
        assert_eq!((negotiated.info.size, negotiated.info.flags), (transcript.facts.size, transcript.facts.flags));
        assert_eq!(negotiated.contexts, transcript.contexts, "{name}");
    }
    assert_eq!(whole.calls.len(), transcript.requests.len(), "{name}");
    for (number, call) in whole.calls.iter().enumerate() {
        let (_, result) = call.done.as_ref().unwrap();
        assert!(!matches!(result, Err(CommandError::Connection(_))), "{name}: {number}: {result:?}");
        let last = transcript.replies.iter().rfind(|reply| reply.command == number).unwrap();
        assert_eq!(result.is_ok(), succeeds(transcript, number), "{name}: {number}: {result:?}");
        assert_eq!(call.done.as_ref().unwrap().0, last.place.end, "{name}: {number}");
    }
    let said_goodbye = transcript.goodbye.is_some();
    let aborted = transcript.options.last().is_some_and(|asked| asked.option == OptionCode::ABORT);
    let by_us = whole.end == Some(Ended::ByUs.into());
    assert_eq!(by_us, said_goodbye || aborted, "{name}: {:?}", whole.end);
}

/// Whether no reply to a request is an error.
fn succeeds(transcript: &Transcript, number: usize) -> bool {
    use nbd_proto::wire::reply::ReplyHeader;
    transcript.replies.iter().filter(|reply| reply.command == number).all(|reply| match reply.header {
        ReplyHeader::Simple(simple) => simple.error.0 == 0,
        ReplyHeader::Structured(chunk) => !chunk.chunk.is_error(),
        ReplyHeader::Extended(chunk) => !chunk.chunk.is_error(),
    })
}

/// What was told before the cut is as in the whole session, and the rest is a clean error.
fn check_part(part: &Run<'_>, whole: &Run<'_>, cut: usize) {
    let transcript = part.transcript;
    let place = || format!("{} cut behind {cut} bytes", transcript.name);
    let told = whole.seen.iter().take_while(|(used, _)| *used <= cut).count();
    assert_eq!(part.seen, whole.seen[..told], "{}", place());
    let sent = transcript.requests.iter().take_while(|sent| sent.behind <= cut);
    assert_eq!(part.calls.len(), if part.negotiated.is_some() { sent.count() } else { 0 }, "{}", place());
    let mut lost = 0;
    for (number, (call, complete)) in part.calls.iter().zip(&whole.calls).enumerate() {
        let (used, _) = complete.done.as_ref().unwrap();
        if *used <= cut {
            assert!(call == complete, "{}: command {number}", place());
        } else {
            assert_eq!(call.cookie, complete.cookie, "{}", place());
            let (_, result) = call.done.as_ref().unwrap();
            assert!(matches!(result, Err(CommandError::Connection(error)) if Some(error) == part.end.as_ref()));
            lost += 1;
        }
    }
    let behind = |asked: Option<usize>| asked.is_some_and(|behind| behind <= cut);
    let aborted = transcript.options.last().filter(|asked| asked.option == OptionCode::ABORT);
    let goodbye = lost == 0 && behind(transcript.goodbye.as_ref().map(|sent| sent.behind));
    let by_us = goodbye || behind(aborted.map(|asked| asked.behind));
    let end = part.end.as_ref().unwrap();
    let expected = match end {
        Error::Ended(Ended::InMessage { .. }) => transcript.cuts_server_message(cut),
        Error::Ended(Ended::ByUs) => by_us,
        Error::Ended(Ended::AtBoundary { .. }) | Error::Unavailable(Unavailable::ExportNameRejected { .. }) => {
            !by_us && !transcript.cuts_server_message(cut)
        }
        _ => false,
    };
    assert!(expected, "{}: {end:?}", place());
}
