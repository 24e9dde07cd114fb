//! The client's side: what it wants, and what it makes of the answers.

use std::collections::HashMap;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use fastrand::Rng;
use nbd_driver_mio::nbd_proto::error::{CommandError, Error as Over};
use nbd_driver_mio::nbd_proto::handshake::Connect;
use nbd_driver_mio::nbd_proto::transmission::Command;
use nbd_driver_mio::nbd_proto::wire::number::CommandType;
use nbd_driver_mio::{Buffer, Client, ClientOptions, Completion, Connecting, Error, Scratch, Turn};

use crate::faults::TO_SERVER;
use crate::loop_rules::{Clock, Due};
use crate::model::{self, Model, SIZE};
use crate::network::{End, Shared};

/// What it does before it leaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wishes {
    /// How many requests.
    pub(crate) count: usize,
    /// How many at once.
    pub(crate) depth: usize,
    /// How long they are at most.
    pub(crate) longest: usize,
}

/// How a side ended: in order, or why not.
pub(crate) type Ending = Result<(), String>;

enum Phase {
    Connecting(Box<Connecting<Connect, End>>),
    Client(Box<Client<End>>),
    Gone,
}

/// What is kept of a request.
struct Wish {
    command: Command,
    pointer: *const u8,
    kind: u8,
    content: Vec<u8>,
}

impl Wish {
    fn range(&self) -> Range<usize> {
        self.command.offset as usize..(self.command.offset + self.command.length) as usize
    }

    fn changes(&self) -> bool {
        matches!(self.command.command, CommandType::WRITE | CommandType::WRITE_ZEROES)
    }
}

pub(crate) struct ClientSide {
    phase: Phase,
    options: ClientOptions,
    pub(crate) due: Due,
    pub(crate) model: Model,
    pub(crate) end: Option<Ending>,
    wishes: Wishes,
    rng: Rng,
    pending: HashMap<u64, Wish>,
    /// How many requests succeeded, failed at the server, and were lost.
    pub(crate) succeeded: usize,
    pub(crate) failed: usize,
    pub(crate) lost: usize,
    /// How often the driver said: not now.
    pub(crate) refused: usize,
    pub(crate) leaving: bool,
    network: Shared,
    clock: Clock,
}

fn kind(buffer: &Buffer) -> u8 {
    match buffer {
        Buffer::Bytes(_) => 0,
        Buffer::BytesMut(_) => 1,
        Buffer::Vec(_) => 2,
    }
}

impl ClientSide {
    pub(crate) fn new(
        connecting: Connecting<Connect, End>,
        options: ClientOptions,
        wishes: Wishes,
        rng: Rng,
        network: Shared,
        clock: Clock,
    ) -> Self {
        Self {
            phase: Phase::Connecting(Box::new(connecting)),
            options,
            due: Due { now: true, ..Due::default() },
            model: Model::new(),
            end: None,
            wishes,
            rng,
            pending: HashMap::new(),
            succeeded: 0,
            failed: 0,
            lost: 0,
            refused: 0,
            leaving: false,
            network,
            clock,
        }
    }

    pub(crate) fn ready(&mut self, readable: bool, writable: bool) {
        match &mut self.phase {
            Phase::Connecting(connecting) => connecting.set_ready(readable, writable),
            Phase::Client(client) => client.set_ready(readable, writable),
            Phase::Gone => return,
        }
        self.due.now = self.end.is_none();
    }

    pub(crate) fn turn(&mut self, scratch: &mut Scratch) {
        let now = self.clock.at(self.network.borrow().now);
        match std::mem::replace(&mut self.phase, Phase::Gone) {
            Phase::Connecting(mut connecting) => match connecting.turn(scratch, now) {
                Ok(Turn::Over) => {
                    self.due.after(TO_SERVER, Turn::Over, true, None, &self.network, self.clock);
                    self.phase = Phase::Client(Box::new(connecting.into_client(self.options).unwrap()));
                    self.due.now = true;
                }
                Ok(turn) => {
                    self.due.after(TO_SERVER, turn, false, connecting.deadline(), &self.network, self.clock);
                    self.phase = Phase::Connecting(connecting);
                }
                Err(error) => {
                    let broken = matches!(&error, Error::Connection(over) if !matches!(over, Over::Ended(_)));
                    assert!(!broken, "the handshake was garbled: {error}");
                    self.due = Due::default();
                    self.end = Some(Err(error.to_string()));
                }
            },
            Phase::Client(mut client) => {
                let turn = client.turn(scratch, now);
                let drained = self.network.borrow().has_drained(TO_SERVER);
                assert!(turn != Turn::Wait || drained, "the client waits, and has not read all");
                let mut taken = 0;
                while let Some(completion) = client.completion() {
                    taken += 1;
                    self.complete(&completion);
                }
                self.due.after(TO_SERVER, turn, taken > 0, client.deadline(), &self.network, self.clock);
                if turn == Turn::Over {
                    self.over(&mut client);
                } else {
                    self.wish(&mut client);
                }
                self.phase = Phase::Client(client);
            }
            Phase::Gone => {}
        }
    }

    fn over(&mut self, client: &mut Client<End>) {
        assert!(client.completion().is_none() && client.in_flight() == 0);
        assert!(self.pending.is_empty(), "{} requests never ended", self.pending.len());
        assert_eq!(client.deadline(), None);
        let late = client.read(vec![1; 10], 0).unwrap_err();
        assert!(late.buffer.len() == 10 && !late.is_not_now());
        let end = client.end().unwrap();
        if let Err(error) = end {
            assert!(matches!(error, Over::Ended(_)), "the stream was garbled: {error}");
        }
        if end.is_ok() {
            assert!(self.lost == 0 && self.leaving, "it ended in order, but not everything that was asked");
        }
        self.end = Some(end.map_err(ToString::to_string));
    }

    /// Hands in requests, or says goodbye.
    fn wish(&mut self, client: &mut Client<End>) {
        if self.leaving {
            return;
        }
        let most = self.wishes.depth.saturating_sub(self.pending.len()).min(self.wishes.count);
        let mut count = if most == 0 { 0 } else { self.rng.usize(..=most) };
        if self.pending.is_empty() {
            count = count.max(1.min(most));
        }
        for _ in 0..count {
            if !self.submit(client) {
                break;
            }
            self.wishes.count -= 1;
            self.due.now = true;
        }
        if self.wishes.count == 0 && (self.pending.is_empty() || self.rng.u8(..4) == 0) {
            client.disconnect();
            self.leaving = true;
            self.due.now = true;
            assert!(client.read(vec![0; 1], 0).is_err_and(|rejected| !rejected.is_not_now()));
        }
    }

    /// Says whether the driver took it.
    fn submit(&mut self, client: &mut Client<End>) -> bool {
        let command = self.command(client);
        let content = match command.command {
            CommandType::WRITE => model::content(&mut self.rng, command.length as usize),
            CommandType::READ | CommandType::WRITE_ZEROES => vec![0; command.length as usize],
            _ => Vec::new(),
        };
        let buffer: Buffer = match command.command {
            CommandType::WRITE => match self.rng.u8(..3) {
                0 => Bytes::copy_from_slice(&content).into(),
                1 => BytesMut::from(&content[..]).into(),
                _ => content.clone().into(),
            },
            CommandType::READ if self.rng.bool() => BytesMut::from(&content[..]).into(),
            CommandType::READ => vec![0xa5; content.len()].into(),
            _ => Buffer::NONE,
        };
        let (pointer, length, kind_) = (buffer.as_ptr(), buffer.len(), kind(&buffer));
        match client.submit(command, buffer) {
            Ok(cookie) => {
                let wish = Wish { command, pointer, kind: kind_, content };
                assert!(self.pending.insert(cookie.0, wish).is_none(), "a name was given twice");
                self.assert_bounded(client);
                true
            }
            Err(rejected) => {
                assert!(rejected.is_not_now(), "{rejected}");
                assert!(!self.pending.is_empty(), "not now, though nothing is in flight");
                let back = &rejected.buffer;
                assert_eq!((back.as_ptr(), back.len(), kind(back)), (pointer, length, kind_));
                self.refused += 1;
                false
            }
        }
    }

    /// The driver never holds more than it was allowed.
    fn assert_bounded(&self, client: &Client<End>) {
        let lengths = self.pending.values().filter(|wish| {
            matches!(wish.command.command, CommandType::READ | CommandType::WRITE) && wish.command.length > 0
        });
        let (count, bytes) = lengths.fold((0, 0), |(count, bytes), wish| (count + 1, bytes + wish.command.length));
        assert!(count <= 1 || bytes <= self.options.max_bytes as u64, "{bytes} bytes are held");
        assert_eq!(client.in_flight(), self.pending.len());
        assert!(self.pending.len() <= self.options.engine.max_in_flight);
    }

    /// Anything that does not meet what is in flight.
    fn command(&mut self, client: &Client<End>) -> Command {
        let rng = &mut self.rng;
        for _ in 0..8 {
            let longest = [self.wishes.longest, 5000, 100][rng.usize(..3)].min(self.wishes.longest);
            let length = rng.usize(1..=longest);
            let offset = rng.usize(..=SIZE - length);
            let (from, count) = (offset as u64, length as u64);
            let command = match rng.u8(..10) {
                0..4 => Command::read(from, count),
                4..7 => Command::write(from, count),
                7 => Command::write_zeroes(from, count),
                8 if !client.negotiated().contexts.is_empty() => Command::block_status(from, count),
                _ => Command::flush(),
            };
            let changes = matches!(command.command, CommandType::WRITE | CommandType::WRITE_ZEROES);
            let meets = |wish: &Wish| {
                let range = wish.range();
                range.start < offset + length && offset < range.end && (changes || wish.changes())
            };
            if command.command == CommandType::FLUSH || !self.pending.values().any(meets) {
                return command;
            }
        }
        Command::flush()
    }

    fn complete(&mut self, completion: &Completion) {
        let wish = self.pending.remove(&completion.cookie.0).expect("a completion for nothing, or a second one");
        assert_eq!(completion.command, wish.command);
        let buffer = &completion.buffer;
        let carried = matches!(wish.command.command, CommandType::READ | CommandType::WRITE);
        assert_eq!(buffer.len() as u64, if carried { wish.command.length } else { 0 });
        if carried {
            assert!(buffer.as_ptr() == wish.pointer && kind(buffer) == wish.kind, "another buffer came back");
        }
        match &completion.result {
            Ok(()) => self.success(&wish, completion),
            Err(CommandError::Server(_)) => self.failed += 1,
            Err(CommandError::Connection(_)) => {
                self.lost += 1;
                if wish.changes() {
                    self.model.unsure(wish.range(), &wish.content);
                }
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn success(&mut self, wish: &Wish, completion: &Completion) {
        self.succeeded += 1;
        let range = wish.range();
        match wish.command.command {
            CommandType::READ => {
                assert!(completion.buffer[..] == *self.model.bytes(range), "a read brought something else");
            }
            CommandType::WRITE => {
                assert!(completion.buffer[..] == wish.content[..], "the content of a write has changed");
                self.model.changed(range, &wish.content);
            }
            CommandType::WRITE_ZEROES => self.model.changed(range, &wish.content),
            CommandType::BLOCK_STATUS => {
                let [answer] = &completion.contexts[..] else { panic!("{:?}", completion.contexts) };
                let got: Vec<_> = answer.extents.iter().map(|extent| (extent.length, extent.flags)).collect();
                assert_eq!(got, model::extents(wish.command.offset, wish.command.length));
            }
            _ => {}
        }
    }

    pub(crate) fn describe(&self) -> String {
        let (pending, left, due) = (self.pending.len(), self.wishes.count, self.due);
        format!("client: {pending} in flight, {left} to come, leaving: {}, end: {:?}, {due:?}", self.leaving, self.end)
    }
}
