//! Our server, told what the recorded one was told, with a small disk that answers.

use std::collections::{BTreeMap, VecDeque};

use nbd_proto::error::{Ended, Error};
use nbd_proto::handshake::{
    HandshakeStyle, Offer, ReplyStyle, ServerHandshake, ServerHandshakeEvent, ServerHandshakeSettings, ServerStatus,
};
use nbd_proto::transmission::{ReadPart, Request, RequestId, Segment, Server, ServerEvent, ServerSettings};
use nbd_proto::wire::chunk::Descriptor;
use nbd_proto::wire::flags::{CommandFlags, HandshakeFlags, TransmissionFlags};
use nbd_proto::wire::greeting::Greeting;
use nbd_proto::wire::info::BlockSizes;
use nbd_proto::wire::number::{CommandType, OptionCode};

use crate::transcript::Transcript;

/// A change of the disk, and how much of the client's stream was used when it was made.
type Change = (usize, usize, Vec<u8>);

enum Phase {
    Handshake(Box<ServerHandshake>),
    Transmission(Box<Server>),
}

struct Told {
    request: Request,
    buffer: Vec<u8>,
}

pub(crate) struct Run<'a> {
    transcript: &'a Transcript,
    phase: Phase,
    offer: Offer,
    /// Which option an event may be about.
    next_option: usize,
    used: usize,
    out: Vec<u8>,
    told: Vec<Request>,
    in_flight: BTreeMap<RequestId, Told>,
    /// Those that are answered late: when the next request comes.
    late: VecDeque<RequestId>,
    ends: usize,
    disk: Vec<u8>,
    changes: Vec<Change>,
    goodbye: bool,
    end: Option<Error>,
}

/// What the recorded server agreed to, ours is to agree to.
fn settings(transcript: &Transcript) -> ServerHandshakeSettings {
    let agreed = |option| !transcript.options.iter().any(|asked| asked.option == option && asked.outcome.is_err());
    let (style, no_zeroes) = match transcript.greeting {
        Greeting::Oldstyle(_) => (HandshakeStyle::Oldstyle, false),
        Greeting::Newstyle(flags) if flags.contains(HandshakeFlags::FIXED_NEWSTYLE) => {
            (HandshakeStyle::FixedNewstyle, flags.contains(HandshakeFlags::NO_ZEROES))
        }
        Greeting::Newstyle(flags) => (HandshakeStyle::Newstyle, flags.contains(HandshakeFlags::NO_ZEROES)),
    };
    ServerHandshakeSettings::default()
        .with_style(style)
        .with_no_zeroes(no_zeroes)
        .with_structured_replies(agreed(OptionCode::STRUCTURED_REPLY))
        .with_extended_headers(agreed(OptionCode::EXTENDED_HEADERS))
}

fn offer(transcript: &Transcript) -> Offer {
    let mut offer = Offer::new(transcript.facts.size, transcript.facts.flags);
    offer.block_sizes = transcript.block_sizes.filter(BlockSizes::keeps_the_specification);
    offer.contexts = transcript.contexts.iter().map(|context| context.name.clone()).collect();
    offer
}

impl<'a> Run<'a> {
    fn new(transcript: &'a Transcript) -> Self {
        let mut out = Vec::new();
        let handshake = ServerHandshake::new(settings(transcript), &mut out);
        // A server that was only asked for a list may have told of a disk of any size.
        let size = if transcript.requests.is_empty() { 0 } else { transcript.facts.size };
        Self {
            transcript,
            phase: Phase::Handshake(Box::new(handshake)),
            offer: offer(transcript),
            next_option: 0,
            used: 0,
            out,
            told: Vec::new(),
            in_flight: BTreeMap::new(),
            late: VecDeque::new(),
            ends: 0,
            disk: vec![0; size as usize],
            changes: Vec::new(),
            goodbye: false,
            end: None,
        }
    }

    fn play(&mut self, stream: &[u8]) {
        self.haggle(stream);
        self.serve(stream);
        match &mut self.phase {
            Phase::Handshake(handshake) => {
                let error = handshake.eof();
                assert_eq!(handshake.input(&[], &mut Vec::new()), Err(error.clone()), "the error stays");
                self.end = Some(error);
            }
            Phase::Transmission(server) => {
                server.eof();
                self.serve(&[]);
                let Phase::Transmission(server) = &mut self.phase else { unreachable!() };
                assert_eq!((server.in_flight(), server.wants_write(), server.landing()), (0, false, None));
                assert_eq!(server.over(), self.end.as_ref());
                match &self.end {
                    Some(error) => assert_eq!(server.input(&[]).unwrap_err(), *error, "the error stays"),
                    None => assert!(server.is_finished(), "neither an error nor the end"),
                }
            }
        }
        assert!(self.in_flight.is_empty() && self.ends == self.told.len(), "a request without its end");
    }

    fn haggle(&mut self, stream: &[u8]) {
        let Phase::Handshake(handshake) = &mut self.phase else { return };
        loop {
            let advance = handshake.input(&stream[self.used..], &mut self.out).unwrap();
            self.used += advance.consumed;
            let Some(event) = advance.event else {
                if advance.consumed == 0 {
                    break;
                }
                continue;
            };
            let option = match event {
                ServerHandshakeEvent::List => OptionCode::LIST,
                ServerHandshakeEvent::LookUp(look_up) => look_up.option,
            };
            // What the engine answers by itself has no event.
            let asked = self.transcript.options[self.next_option..].iter();
            let skipped = asked.take_while(|asked| asked.option != option).count();
            self.next_option += skipped;
            let outcome = self.transcript.options.get(self.next_option).map_or(Ok(()), |asked| asked.outcome);
            self.next_option += 1;
            match (outcome, option) {
                (Err(reply), _) => handshake.refuse(reply, "as the recorded one did", &mut self.out).unwrap(),
                (Ok(()), OptionCode::LIST) => handshake.list([("", "")], &mut self.out).unwrap(),
                (Ok(()), _) => handshake.offer(&self.offer, &mut self.out).unwrap(),
            }
        }
        if handshake.status() == ServerStatus::Ready {
            let nobody = ServerHandshake::new(ServerHandshakeSettings::default(), &mut Vec::new());
            let accepted = std::mem::replace(&mut **handshake, nobody).finish().unwrap();
            self.phase = Phase::Transmission(Box::new(Server::new(accepted, ServerSettings::default())));
        }
    }

    fn serve(&mut self, stream: &[u8]) {
        loop {
            let Phase::Transmission(server) = &mut self.phase else { return };
            let rest = stream.get(self.used..).unwrap_or_default();
            let advance = match server.input(rest) {
                Ok(advance) => advance,
                Err(error) => {
                    self.end = Some(error);
                    return;
                }
            };
            self.used += advance.consumed;
            match advance.event {
                Some(event) => self.see(event),
                None if advance.consumed == 0 => return,
                None => {}
            }
            self.send();
        }
    }

    fn see(&mut self, event: ServerEvent<'_>) {
        let Phase::Transmission(server) = &mut self.phase else { unreachable!() };
        match event {
            ServerEvent::Request(request) => {
                let late = self.late.pop_front();
                let length = if request.command == CommandType::FLUSH { 0 } else { request.length as usize };
                let is_write = request.command == CommandType::WRITE;
                if is_write {
                    server.receive(request.id).unwrap();
                }
                let buffer = if is_write { vec![0xcc; length] } else { Vec::new() };
                assert!(self.in_flight.insert(request.id, Told { request, buffer }).is_none());
                self.told.push(request);
                if let Some(late) = late {
                    self.answer(late);
                }
                if !is_write {
                    self.answer_or_wait(request.id);
                }
            }
            ServerEvent::Data { id, range, bytes } => {
                self.in_flight.get_mut(&id).unwrap().buffer[range].copy_from_slice(bytes);
            }
            ServerEvent::Received { id } => self.answer_or_wait(id),
            ServerEvent::Done { id, .. } => {
                assert!(self.in_flight.remove(&id).is_some(), "a Done for what is not in flight");
                self.ends += 1;
            }
            ServerEvent::Disconnect => {
                self.goodbye = true;
                while let Some(late) = self.late.pop_front() {
                    self.answer(late);
                }
            }
        }
    }

    /// Makes the change that a request asks for, and answers every second request only later.
    fn answer_or_wait(&mut self, id: RequestId) {
        let Told { request, buffer } = &self.in_flight[&id];
        let bytes = match request.command {
            CommandType::WRITE => Some(buffer.clone()),
            CommandType::WRITE_ZEROES | CommandType::TRIM => Some(vec![0; request.length as usize]),
            _ => None,
        };
        if let Some(bytes) = bytes {
            let at = request.offset as usize;
            self.disk[at..at + bytes.len()].copy_from_slice(&bytes);
            self.changes.push((self.used, at, bytes));
        }
        if self.told.len() % 2 == 0 {
            self.late.push_back(id);
        } else {
            self.answer(id);
        }
    }

    fn answer(&mut self, id: RequestId) {
        let Phase::Transmission(server) = &mut self.phase else { unreachable!() };
        let Told { request, buffer } = self.in_flight.get_mut(&id).unwrap();
        let (offset, length) = (request.offset as usize, request.length as usize);
        match request.command {
            CommandType::READ => {
                self.disk[offset..offset + length].clone_into(buffer);
                let hole = request.takes_holes && buffer.iter().all(|byte| *byte == 0);
                let part = if hole { ReadPart::Hole(request.length) } else { ReadPart::Data(request.length) };
                server.finish_read(id, &[part]).unwrap();
            }
            CommandType::BLOCK_STATUS => {
                let rest = [Descriptor { length: self.disk.len() as u64 - request.offset, flags: 0 }];
                let contexts = server.contexts(id).to_vec();
                let answers: Vec<_> = contexts.iter().map(|context| (*context, &rest[..])).collect();
                server.finish_status(id, &answers).unwrap();
            }
            _ => server.finish(id).unwrap(),
        }
    }

    fn send(&mut self) {
        let Phase::Transmission(server) = &mut self.phase else { return };
        let before = self.out.len();
        for segment in server.outbound() {
            match segment {
                Segment::Framing(bytes) => self.out.extend_from_slice(bytes),
                Segment::Payload { owner, range } => self.out.extend_from_slice(&self.in_flight[&owner].buffer[range]),
            }
        }
        server.sent(self.out.len() - before);
    }
}

/// The whole session, and then what is left of it behind each cut.
pub(crate) fn leaves_at_any_byte(transcript: &Transcript) {
    let mut whole = Run::new(transcript);
    whole.play(&transcript.client);
    check_whole(&whole);
    for cut in 0..=transcript.client.len() {
        let mut part = Run::new(transcript);
        part.play(&transcript.client[..cut]);
        check_part(&part, &whole, cut);
    }
}

/// Every request was told of, or breaks a rule; and the session ends as its client ended it.
fn check_whole(whole: &Run<'_>) {
    let transcript = whole.transcript;
    let name = &transcript.name;
    if let Phase::Transmission(server) = &whole.phase {
        assert_eq!(server.negotiated().reply_style, transcript.style, "{name}");
    }
    let mut told = whole.told.iter().map(|request| (request.command, request.offset, request.length));
    for (number, sent) in transcript.requests.iter().enumerate() {
        if is_sound(transcript, number) {
            let header = &sent.header;
            assert_eq!(told.next(), Some((header.command, header.offset, sent.length())), "{name}: request {number}");
        }
    }
    assert_eq!(told.next(), None, "{name}: nobody asked for that");
    assert_eq!(whole.goodbye, transcript.goodbye.is_some(), "{name}");
    let aborted = transcript.options.last().is_some_and(|asked| asked.option == OptionCode::ABORT);
    if aborted {
        assert_eq!(whole.end, Some(Ended::ByUs.into()), "{name}");
    }
}

/// Whether a request keeps the rules, and is about something. Recorded errors of a backend are none of ours.
fn is_sound(transcript: &Transcript, number: usize) -> bool {
    let (header, length) = (&transcript.requests[number].header, transcript.requests[number].length());
    let end = header.offset.checked_add(length);
    if header.command != CommandType::FLUSH && (length == 0 || end.is_none_or(|end| end > transcript.facts.size)) {
        return false;
    }
    let known = match header.command {
        CommandType::READ if transcript.style != ReplyStyle::Simple => CommandFlags::DF,
        CommandType::WRITE => CommandFlags::PAYLOAD_LEN,
        CommandType::WRITE_ZEROES => CommandFlags::NO_HOLE | CommandFlags::FAST_ZERO,
        CommandType::BLOCK_STATUS => CommandFlags::REQ_ONE | CommandFlags::PAYLOAD_LEN,
        _ => CommandFlags::empty(),
    };
    let writes = matches!(header.command, CommandType::WRITE | CommandType::WRITE_ZEROES | CommandType::TRIM);
    let read_only = transcript.facts.flags.contains(TransmissionFlags::READ_ONLY);
    (known | CommandFlags::FUA).contains(header.flags) && !(writes && read_only)
}

/// What was said before the cut has had its effect, and its answer as in the whole session.
fn check_part(part: &Run<'_>, whole: &Run<'_>, cut: usize) {
    let transcript = part.transcript;
    let place = || format!("{} cut behind {cut} bytes", transcript.name);
    assert!(whole.out.starts_with(&part.out), "{}", place());
    assert!(whole.told.starts_with(&part.told), "{}", place());
    let made = whole.changes.iter().take_while(|(used, ..)| *used <= cut).count();
    assert!(part.changes == whole.changes[..made], "{}: a change is missing, or too many", place());
    let mut disk = vec![0; part.disk.len()];
    for (_, at, bytes) in &whole.changes[..made] {
        disk[*at..at + bytes.len()].copy_from_slice(bytes);
    }
    assert!(part.disk == disk, "{}: the disk is another", place());

    let behind = |end: Option<usize>| end.is_some_and(|end| end <= cut);
    let goodbye = behind(transcript.goodbye.as_ref().map(|sent| sent.place.end));
    assert_eq!(part.goodbye, goodbye, "{}", place());
    let aborts = transcript.options.last().is_some_and(|asked| asked.option == OptionCode::ABORT);
    let aborted = aborts && cut >= transcript.handshake;
    let expected = match &part.end {
        None => goodbye,
        Some(Error::Ended(Ended::ByUs)) => aborted,
        Some(Error::Ended(Ended::InMessage { .. })) => transcript.cuts_client_message(cut),
        Some(Error::Ended(Ended::AtBoundary { .. })) => !aborted && !goodbye && !transcript.cuts_client_message(cut),
        Some(_) => false,
    };
    assert!(expected, "{}: {:?}", place(), part.end);
}
