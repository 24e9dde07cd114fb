//! The server's end: a handshake that answers from one export, then the engine with buffers around it.

use std::collections::BTreeMap;

use nbd_proto::error::Error;
use nbd_proto::handshake::{Offer, ServerHandshake, ServerHandshakeEvent, ServerHandshakeSettings, ServerStatus};
use nbd_proto::transmission::{Failure, ReadPart, Request, RequestId, Server, ServerEvent, ServerSettings};
use nbd_proto::wire::chunk::Descriptor;
use nbd_proto::wire::flags::AllocationFlags;
use nbd_proto::wire::number::{CommandType, ErrorValue};

use crate::ledger::{Answer, Ledger, assert_same_data};
use crate::pump::{gather, take};

pub(crate) struct ServerSide {
    phase: Phase,
    settings: ServerSettings,
    offer: Offer,
    input: Vec<u8>,
    out: Vec<u8>,
    requests: BTreeMap<RequestId, Pending>,
    /// Those that can be served.
    due: Vec<RequestId>,
    pub(crate) error: Option<Error>,
}

enum Phase {
    Handshake(Box<ServerHandshake>),
    Transmission(Box<Server>),
    Over,
}

struct Pending {
    request: Request,
    /// Which command of the client this is.
    number: usize,
    buffer: Vec<u8>,
}

/// Any granularity will do.
pub(crate) const BLOCK: usize = 64;

impl ServerSide {
    pub(crate) fn new(handshake: ServerHandshakeSettings, offer: Offer, settings: ServerSettings) -> Self {
        let mut out = Vec::new();
        let handshake = ServerHandshake::new(handshake, &mut out);
        let mut side = Self {
            phase: Phase::Handshake(Box::new(handshake)),
            settings,
            offer,
            input: Vec::new(),
            out,
            requests: BTreeMap::new(),
            due: Vec::new(),
            error: None,
        };
        side.shake_hands();
        side
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.requests.len()
    }

    /// How many requests can be served now.
    pub(crate) fn due(&self) -> usize {
        self.due.len()
    }

    /// Whether the stream is to be closed.
    pub(crate) fn is_finished(&self) -> bool {
        match &self.phase {
            Phase::Handshake(_) => false,
            Phase::Transmission(server) => server.is_finished(),
            Phase::Over => true,
        }
    }

    pub(crate) fn wants_write(&self) -> bool {
        match &self.phase {
            Phase::Transmission(server) => server.wants_write(),
            _ => !self.out.is_empty(),
        }
    }

    /// Whether it would read on.
    pub(crate) fn wants_read(&self) -> bool {
        match &self.phase {
            Phase::Handshake(_) => true,
            Phase::Transmission(server) => server.wants_read(),
            Phase::Over => false,
        }
    }

    pub(crate) fn begin_shutdown(&mut self) {
        match &mut self.phase {
            Phase::Handshake(handshake) => handshake.begin_shutdown(),
            Phase::Transmission(server) => server.begin_shutdown(),
            Phase::Over => {}
        }
    }

    pub(crate) fn take_output(&mut self, most: usize, ledger: &mut Ledger) -> Vec<u8> {
        if !self.out.is_empty() {
            return take(&mut self.out, most);
        }
        let Phase::Transmission(server) = &mut self.phase else { return Vec::new() };
        let bytes = gather(server.outbound(), most, |owner| &self.requests[&owner].buffer);
        server.sent(bytes.len());
        self.poll(ledger);
        bytes
    }

    pub(crate) fn deliver(&mut self, mut bytes: &[u8], land: bool, ledger: &mut Ledger) {
        while land && self.input.is_empty() && !bytes.is_empty() {
            let Phase::Transmission(server) = &mut self.phase else { break };
            let Some(landing) = server.landing() else { break };
            let count = bytes.len().min(landing.range.len());
            let buffer = &mut self.requests.get_mut(&landing.owner).unwrap().buffer;
            buffer[landing.range.start..landing.range.start + count].copy_from_slice(&bytes[..count]);
            server.landed(count);
            bytes = &bytes[count..];
            self.poll(ledger);
        }
        self.input.extend_from_slice(bytes);
        self.poll(ledger);
    }

    pub(crate) fn eof(&mut self, ledger: &mut Ledger) {
        match &mut self.phase {
            Phase::Handshake(handshake) => {
                self.error = Some(handshake.eof());
                self.phase = Phase::Over;
            }
            Phase::Transmission(server) => server.eof(),
            Phase::Over => {}
        }
        self.poll(ledger);
    }

    /// A request that could be served, with the payload of a write.
    pub(crate) fn due_request(&self, which: usize) -> Option<(Request, &[u8])> {
        let id = self.due.get(which.checked_rem(self.due.len())?)?;
        self.requests.get(id).map(|pending| (pending.request, &pending.buffer[..]))
    }

    /// A write that still waits for its payload.
    fn receiving(&self, ledger: &mut Ledger) -> Option<RequestId> {
        let is_open = |(id, pending): &(&RequestId, &Pending)| {
            let answered = ledger.entry(pending.number).answer.is_some();
            pending.request.command == CommandType::WRITE && !answered && !self.due.contains(id)
        };
        self.requests.iter().find(is_open).map(|(id, _)| *id)
    }

    /// Serves one of the requests that are due, or fails it; or fails a write in the midst of its payload. Returns what
    /// has been carried out.
    pub(crate) fn serve(
        &mut self,
        which: usize,
        failure: Option<ErrorValue>,
        disk: &mut [u8],
        ledger: &mut Ledger,
    ) -> Option<Request> {
        let early = if failure.is_some() && which % 2 == 0 { self.receiving(ledger) } else { None };
        let Phase::Transmission(server) = &mut self.phase else { return None };
        let id = match early {
            Some(id) => id,
            None if self.due.is_empty() => return None,
            None => self.due.swap_remove(which % self.due.len()),
        };
        let pending = self.requests.get_mut(&id).unwrap();
        let entry = ledger.entry(pending.number);
        let Request { command, offset, length, takes_holes, .. } = pending.request;
        let range = offset as usize..(offset + length) as usize;
        if let Some(error) = failure {
            let at = (error == ErrorValue::EIO && length > 0).then_some(offset + length / 2);
            server.fail(id, &Failure { error, message: "the backend is unwell", offset: at }).unwrap();
            entry.answer = Some(Answer::Error(error));
            self.poll(ledger);
            return None;
        }
        let request = pending.request;
        entry.answer = Some(match command {
            CommandType::READ => {
                let data = &disk[range];
                let parts = parts(data, BLOCK);
                // What is told as a hole need not be in the buffer.
                let filling = if takes_holes { 0xdd } else { 0 };
                pending.buffer = data.iter().map(|byte| if *byte == 0 { filling } else { *byte }).collect();
                let mut at = 0;
                for part in &parts {
                    match *part {
                        ReadPart::Data(count) => {
                            let part = at..at + count as usize;
                            pending.buffer[part.clone()].copy_from_slice(&data[part]);
                            at += count as usize;
                        }
                        ReadPart::Hole(count) => at += count as usize,
                    }
                }
                server.finish_read(id, &parts).unwrap();
                Answer::Data(data.to_vec())
            }
            CommandType::BLOCK_STATUS => {
                let extents = extents(disk, offset, server.negotiated().minimum_block());
                let contexts = server.contexts(id).to_vec();
                let answers: Vec<_> = contexts.iter().map(|context| (*context, &extents[..])).collect();
                server.finish_status(id, &answers).unwrap();
                Answer::Extents(extents)
            }
            other => {
                match other {
                    CommandType::WRITE => {
                        assert_same_data(&pending.buffer, &entry.data, &pending.request);
                        disk[range].copy_from_slice(&pending.buffer);
                    }
                    CommandType::WRITE_ZEROES | CommandType::TRIM => disk[range].fill(0),
                    _ => {}
                }
                server.finish(id).unwrap();
                Answer::Success
            }
        });
        self.poll(ledger);
        Some(request)
    }

    fn poll(&mut self, ledger: &mut Ledger) {
        self.shake_hands();
        let Phase::Transmission(server) = &mut self.phase else { return };
        let input = std::mem::take(&mut self.input);
        let mut rest = &input[..];
        loop {
            let advance = match server.input(rest) {
                Ok(advance) => advance,
                Err(error) => {
                    assert!(self.requests.is_empty(), "the error came before the last Done");
                    self.error = Some(error);
                    self.phase = Phase::Over;
                    return;
                }
            };
            rest = &rest[advance.consumed..];
            let Some(event) = advance.event else {
                if advance.consumed == 0 {
                    break;
                }
                continue;
            };
            match event {
                ServerEvent::Request(request) => {
                    let number = ledger.next_arrival();
                    let asked = ledger.entry(number).command;
                    let range = match asked.command {
                        CommandType::FLUSH => (0, 0),
                        _ => (asked.offset, asked.length),
                    };
                    assert_eq!((request.offset, request.length), range);
                    assert_eq!((request.command, request.flags), (asked.command, asked.flags));
                    let mut buffer = Vec::new();
                    if request.command == CommandType::WRITE {
                        buffer = vec![0xcc; request.length as usize];
                        server.receive(request.id).unwrap();
                    } else {
                        self.due.push(request.id);
                    }
                    let known = self.requests.insert(request.id, Pending { request, number, buffer });
                    assert!(known.is_none(), "{:?} names two requests in flight", request.id);
                }
                ServerEvent::Data { id, range, bytes } => {
                    self.requests.get_mut(&id).unwrap().buffer[range].copy_from_slice(bytes);
                }
                ServerEvent::Received { id } => self.due.push(id),
                ServerEvent::Done { id, sent } => {
                    let done = self.requests.remove(&id).expect("a Done for a request that is not in flight");
                    assert!(!sent || ledger.entry(done.number).answer.is_some());
                    self.due.retain(|due| *due != id);
                }
                ServerEvent::Disconnect => {}
            }
        }
        self.input = rest.to_vec();
    }

    fn shake_hands(&mut self) {
        let Phase::Handshake(handshake) = &mut self.phase else { return };
        let mut used = 0;
        loop {
            let advance = match handshake.input(&self.input[used..], &mut self.out) {
                Ok(advance) => advance,
                Err(error) => {
                    self.error = Some(error);
                    self.phase = Phase::Over;
                    return;
                }
            };
            used += advance.consumed;
            match advance.event {
                Some(ServerHandshakeEvent::List) => handshake.list([("", "")], &mut self.out).unwrap(),
                Some(ServerHandshakeEvent::LookUp(_)) => handshake.offer(&self.offer, &mut self.out).unwrap(),
                None if advance.consumed == 0 => break,
                None => {}
            }
        }
        self.input.drain(..used);
        match handshake.status() {
            ServerStatus::Ready => {
                let Phase::Handshake(handshake) = std::mem::replace(&mut self.phase, Phase::Over) else { return };
                let server = Server::new(handshake.finish().unwrap(), self.settings);
                self.phase = Phase::Transmission(Box::new(server));
            }
            ServerStatus::Closed => self.phase = Phase::Over,
            _ => {}
        }
    }
}

/// Data and holes of a piece of the disk, block by block.
fn parts(data: &[u8], size: usize) -> Vec<ReadPart> {
    let mut parts: Vec<ReadPart> = Vec::new();
    for block in data.chunks(size) {
        let (empty, count) = (block.iter().all(|byte| *byte == 0), block.len() as u64);
        match parts.last_mut() {
            Some(ReadPart::Hole(length)) if empty => *length += count,
            Some(ReadPart::Data(length)) if !empty => *length += count,
            _ => parts.push(if empty { ReadPart::Hole(count) } else { ReadPart::Data(count) }),
        }
    }
    parts
}

/// What is to be told of the disk from an offset on.
fn extents(disk: &[u8], offset: u64, minimum: u32) -> Vec<Descriptor> {
    let empty = (AllocationFlags::HOLE | AllocationFlags::ZERO).bits();
    let parts = parts(&disk[offset as usize..], BLOCK.max(minimum as usize));
    let descriptor = |part: &ReadPart| match *part {
        ReadPart::Data(length) => Descriptor { length, flags: 0 },
        ReadPart::Hole(length) => Descriptor { length, flags: empty },
    };
    parts.iter().map(descriptor).collect()
}
