//! The client's end: a handshake flow, then the engine with buffers around it.

use std::collections::BTreeMap;

use nbd_proto::error::{CommandError, Error};
use nbd_proto::handshake::{Connect, ConnectSettings, Flow, Negotiated, Status};
use nbd_proto::transmission::{Client, ClientSettings, Command, Event, Extent};
use nbd_proto::wire::flags::{AllocationFlags, CommandFlags};
use nbd_proto::wire::number::{CommandType, ContextId, Cookie, ErrorValue};

use crate::ledger::{Answer, Ledger, assert_same_data};
use crate::pump::{gather, take};

pub(crate) struct ClientSide {
    phase: Phase,
    settings: ClientSettings,
    /// What has arrived and was not consumed.
    input: Vec<u8>,
    /// What the handshake has to say.
    out: Vec<u8>,
    calls: BTreeMap<Cookie, Call>,
    pub(crate) error: Option<Error>,
}

enum Phase {
    Handshake(Box<Connect>),
    Transmission(Box<Client>),
    Over,
}

struct Call {
    number: usize,
    buffer: Vec<u8>,
    extents: BTreeMap<ContextId, Vec<Extent>>,
}

impl ClientSide {
    pub(crate) fn new(connect: ConnectSettings, settings: ClientSettings) -> Self {
        Self {
            phase: Phase::Handshake(Box::new(Connect::new(connect))),
            settings,
            input: Vec::new(),
            out: Vec::new(),
            calls: BTreeMap::new(),
            error: None,
        }
    }

    pub(crate) fn negotiated(&self) -> Option<&Negotiated> {
        match &self.phase {
            Phase::Transmission(client) => Some(client.negotiated()),
            _ => None,
        }
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.calls.len()
    }

    pub(crate) const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// Submits a command, if it can be taken now and the client finds nothing wrong with it.
    pub(crate) fn submit(&mut self, command: Command, data: Vec<u8>, own: Option<Answer>, ledger: &mut Ledger) -> bool {
        let Phase::Transmission(client) = &mut self.phase else { return false };
        let Ok(cookie) = client.submit(command) else { return false };
        let buffer = match command.command {
            // Whatever is not filled shows.
            CommandType::READ => vec![0xee; command.length as usize],
            _ => data.clone(),
        };
        let number = ledger.enter(command, data, own);
        let known = self.calls.insert(cookie, Call { number, buffer, extents: BTreeMap::new() });
        assert!(known.is_none(), "{cookie} names two commands in flight");
        true
    }

    pub(crate) fn disconnect(&mut self) {
        if let Phase::Transmission(client) = &mut self.phase {
            // Refused when it has been asked for already.
            let _ = client.disconnect();
        }
    }

    /// The answers do not come in time.
    pub(crate) fn give_up(&mut self, ledger: &mut Ledger) {
        match &mut self.phase {
            Phase::Handshake(_) => self.phase = Phase::Over,
            Phase::Transmission(client) => client.give_up("nothing came in time"),
            Phase::Over => {}
        }
        self.poll(ledger);
    }

    /// Takes up to `most` bytes that are to go out.
    pub(crate) fn take_output(&mut self, most: usize, ledger: &mut Ledger) -> Vec<u8> {
        if !self.out.is_empty() {
            return take(&mut self.out, most);
        }
        let Phase::Transmission(client) = &mut self.phase else { return Vec::new() };
        let bytes = gather(client.outbound(), most, |owner| &self.calls[&owner].buffer);
        client.sent(bytes.len());
        self.poll(ledger);
        bytes
    }

    /// Takes bytes from the network; in place where they belong, if `land` says so.
    pub(crate) fn deliver(&mut self, mut bytes: &[u8], land: bool, ledger: &mut Ledger) {
        while land && self.input.is_empty() && !bytes.is_empty() {
            let Phase::Transmission(client) = &mut self.phase else { break };
            let Some(landing) = client.landing() else { break };
            let count = bytes.len().min(landing.range.len());
            let buffer = &mut self.calls.get_mut(&landing.owner).unwrap().buffer;
            buffer[landing.range.start..landing.range.start + count].copy_from_slice(&bytes[..count]);
            client.landed(count);
            bytes = &bytes[count..];
            self.poll(ledger);
        }
        self.input.extend_from_slice(bytes);
        self.poll(ledger);
    }

    pub(crate) fn eof(&mut self, ledger: &mut Ledger) {
        match &mut self.phase {
            Phase::Handshake(flow) => self.error = Some(flow.eof()),
            Phase::Transmission(client) => client.eof(),
            Phase::Over => {}
        }
        self.poll(ledger);
    }

    /// Does all that can be done with what is there.
    fn poll(&mut self, ledger: &mut Ledger) {
        self.shake_hands();
        let Phase::Transmission(client) = &mut self.phase else { return };
        let input = std::mem::take(&mut self.input);
        let mut rest = &input[..];
        loop {
            let advance = match client.input(rest) {
                Ok(advance) => advance,
                Err(error) => {
                    assert_eq!(client.in_flight(), 0, "the error came before the last Done");
                    self.error = Some(error);
                    self.phase = Phase::Over;
                    return;
                }
            };
            rest = &rest[advance.consumed..];
            match advance.event {
                Some(event) => see(event, &mut self.calls, client.negotiated().info.size, ledger),
                None if advance.consumed == 0 => break,
                None => {}
            }
        }
        self.input = rest.to_vec();
    }

    fn shake_hands(&mut self) {
        let Phase::Handshake(flow) = &mut self.phase else { return };
        let mut used = 0;
        loop {
            match flow.input(&self.input[used..], &mut self.out) {
                Ok(0) => break,
                Ok(count) => used += count,
                Err(error) => {
                    self.error = Some(error);
                    self.phase = Phase::Over;
                    return;
                }
            }
        }
        self.input.drain(..used);
        if flow.status() == Status::Ready {
            let Phase::Handshake(flow) = std::mem::replace(&mut self.phase, Phase::Over) else { return };
            let client = Client::new(flow.finish().unwrap(), self.settings);
            self.phase = Phase::Transmission(Box::new(client));
        }
    }
}

fn see(event: Event<'_>, calls: &mut BTreeMap<Cookie, Call>, size: u64, ledger: &mut Ledger) {
    match event {
        Event::Data { cookie, range, bytes } => {
            calls.get_mut(&cookie).unwrap().buffer[range].copy_from_slice(bytes);
        }
        Event::Hole { cookie, range } => calls.get_mut(&cookie).unwrap().buffer[range].fill(0),
        Event::Extents { cookie, context, extents } => {
            calls.get_mut(&cookie).unwrap().extents.entry(context).or_default().extend(extents);
        }
        Event::Failure { .. } => {}
        Event::Done { cookie, result } => {
            let call = calls.remove(&cookie).expect("a Done for a command that is not in flight");
            judge(&call, &result, size, ledger);
            ledger.ended.push((call.number, result, call.buffer));
        }
    }
}

/// Holds the end of a command against what the server did.
fn judge(call: &Call, result: &Result<(), CommandError>, size: u64, ledger: &mut Ledger) {
    let shutting_down = ledger.shutting_down;
    let entry = ledger.entry(call.number);
    entry.done += 1;
    let command = entry.command;
    assert!(entry.own.is_none() || entry.answer.is_none(), "the engine let {command:?} through");
    let answer = entry.own.clone().or_else(|| entry.answer.clone());
    match (result, answer) {
        (Err(CommandError::Connection(_)), _) => ledger.cut_off += 1,
        (Err(CommandError::Server(error)), None) => {
            assert!(shutting_down && error.error == ErrorValue::ESHUTDOWN, "{command:?}: {error}");
        }
        (Err(CommandError::Server(error)), Some(Answer::Error(expected))) => {
            assert_eq!(error.error, expected, "{command:?}: {error}");
        }
        (Ok(()), Some(Answer::Success)) => {
            assert!(command.command != CommandType::READ || command.length == 0, "{command:?}");
        }
        (Ok(()), Some(Answer::Data(data))) => assert_same_data(&call.buffer, &data, &command),
        (Ok(()), Some(Answer::Extents(told))) => {
            assert!(!call.extents.is_empty());
            for extents in call.extents.values() {
                compare_extents(command, extents, &told, size);
            }
        }
        (result, answer) => panic!("{command:?} ended with {result:?}, and was answered with {answer:?}"),
    }
}

/// What came is a part of what was told, from the start of the request on.
fn compare_extents(command: Command, came: &[Extent], told: &[nbd_proto::wire::chunk::Descriptor], size: u64) {
    let one = command.flags.contains(CommandFlags::REQ_ONE);
    assert!(!came.is_empty() && (!one || came.len() == 1), "{command:?}: {came:?}");
    let mut at = command.offset;
    for (came, told) in came.iter().zip(told) {
        let length = told.length.min(size - at).min(if one { command.length } else { u64::MAX });
        assert_eq!((came.offset, came.length, came.flags), (at, length, told.flags), "{command:?}");
        assert!(AllocationFlags::from_bits(came.flags).is_some());
        at += came.length;
    }
    assert!(one || at >= command.offset + command.length || came.len() == told.len(), "{command:?}: {came:?}");
}
