//! Our client against our server, over two pipes: operations, faults and pieces come from the input.
//!
//! Invariants:
//!
//! - no input panics;
//! - however what arrives at once is cut, and whether it lands in place or not, both ends tell the same;
//! - each command ends in exactly one `Done`, each request that the server tells of in exactly one;
//! - a read brings what the server's export held when it was served, a write carries what the client gave, a status says
//!   what was told, and an error is the one that was answered;
//! - the server's engine refuses nothing that the client's has let through, but once it is shut down;
//! - without a cut no answer is lost, whatever the order, and with one every command that was in flight fails.
//!
//! The data: the `ServerSessionHeader` of `server_session`, of which `fails` and what follows it
//! mean nothing but for the pieces; one byte of what the client asks for, as in the header of
//! `client_session`; then operations, each a byte and what it takes:
//!
//! ```text
//! 0xxx_xxxx                bytes move one step, first at the client: taken out, delivered, taken out, delivered;
//!                          x: which of these (bits 0 to 3), and how many (bits 4 to 6: 1, 4, 28, 64, 200, 1000, 5000, all)
//! 100x_xxxx, 3 bytes       a command, x: its type; then its flags, its offset in 16 bytes, its length in 4
//! 101x_xxxx                a request is answered, x: which of those that can be
//! 110x_xxxx                a request fails, x: which, and how
//! 1110_xxxx                nothing more comes to the server behind so many bytes of what is under way, in 16 bytes
//! 1111_0xxx                nothing more comes to the client, likewise, in 64 bytes
//! 1111_1xxx                0: the client disconnects; 1: the server is shut down; else nothing
//! ```

mod pipe;

use alloc::vec::Vec;

use self::pipe::Pipe;
use super::client::{ClientEnd, Plan, payload};
use super::server::{Answer, ServerEnd};
use super::server_session::ServerSessionHeader;
use super::verdict::judge;
use super::{Pace, take};
use crate::error::CommandError;
use crate::handshake::{ConnectSettings, ServerTls, TlsPolicy};
use crate::transmission::{ClientSettings, Command};
use crate::wire::flags::CommandFlags;
use crate::wire::number::{CommandType, ErrorValue};

const STEPS: [usize; 8] = [1, 4, 28, 64, 200, 1000, 5000, usize::MAX];

/// Type and error numbers that a failing caller answers.
const ERRORS: [ErrorValue; 4] = [ErrorValue::EIO, ErrorValue::ENOSPC, ErrorValue::ENOTSUP, ErrorValue::ESHUTDOWN];

/// See the top of the module.
pub fn pair(data: &[u8]) {
    let Some((header, rest)) = ServerSessionHeader::parse(data) else { return };
    let Some((wishes, operations)) = rest.split_first() else { return };
    let whole = Pair::new(&header, *wishes, None).run(operations);
    let split = Pair::new(&header, *wishes, Some(Pace::new(header.pieces))).run(operations);
    assert_eq!(whole, split, "what comes depends on how it was cut");
}

type Ends = (super::client::End, super::server::End);

struct Pair {
    client: ClientEnd,
    server: ServerEnd,
    to_server: Pipe,
    to_client: Pipe,
    /// How what arrives at once is cut.
    pace: Option<Pace>,
    /// Whether bytes were lost.
    cut: bool,
    shut_down: bool,
    disconnected: bool,
}

impl Pair {
    fn new(header: &ServerSessionHeader, wishes: u8, pace: Option<Pace>) -> Self {
        let wish = |bit: u8| wishes & 1 << bit != 0;
        let mut plan = header.plan();
        plan.habits = None;
        // The client's name is not hidden from it, and what it may not know does not bind it.
        plan.secretive = false;
        let tls = if plan.handshake.tls == ServerTls::Off { TlsPolicy::Off } else { TlsPolicy::Opportunistic };
        let mut connect = ConnectSettings::new(if wish(7) { "a" } else { "" })
            .with_extended_headers(wish(0))
            .with_structured_replies(wish(1))
            .with_block_sizes(wish(2))
            .with_names(wish(3))
            .with_list_contexts(wish(4))
            .with_tls(tls);
        for query in ["base:allocation", "qemu:"].into_iter().take(usize::from(wishes >> 5 & 3)) {
            connect = connect.with_meta_context(query);
        }
        let client = ClientSettings::default().with_max_in_flight(24);
        Self {
            client: ClientEnd::new(Plan { connect, client, commands: Vec::new(), disconnect: false }, None),
            server: ServerEnd::new(plan),
            to_server: Pipe::default(),
            to_client: Pipe::default(),
            pace,
            cut: false,
            shut_down: false,
            disconnected: false,
        }
    }

    fn run(mut self, mut operations: &[u8]) -> Ends {
        self.server.feed(&[], false);
        while let [operation] = *take(&mut operations, 1) {
            match operation {
                0..0x80 => {
                    self.step(operation & 0xf, STEPS[usize::from(operation >> 4)]);
                }
                0x80..0xa0 => {
                    let [flags, offset, length] = *take(&mut operations, 3) else { break };
                    self.submit(operation & 0x1f, flags, offset, length);
                }
                0xa0..0xc0 => self.serve(usize::from(operation & 0x1f), None),
                0xc0..0xe0 => {
                    let error = ERRORS[usize::from(operation & 3)];
                    self.serve(usize::from(operation >> 2 & 7), Some(error));
                }
                0xe0..0xf0 => {
                    self.to_server.cut(usize::from(operation & 0xf) * 16);
                    self.cut = true;
                }
                0xf0..0xf8 => {
                    self.to_client.cut(usize::from(operation & 7) * 64);
                    self.cut = true;
                }
                0xf8 => self.disconnect(),
                0xf9 => self.shut_down(),
                _ => {}
            }
        }
        self.settle();
        self.check();
        (self.client.end(), self.server.end())
    }

    fn submit(&mut self, kind: u8, flags: u8, offset: u8, length: u8) {
        let Some(client) = self.client.transmission() else { return };
        let kind = CommandType(u16::from(kind % 9));
        let flags = CommandFlags::from_bits_retain(flags.into());
        let (offset, length) = match kind {
            CommandType::FLUSH => (0, 0),
            _ => (u64::from(offset) * 16, u64::from(length) * 4),
        };
        // What does not go with this export is refused by the client itself.
        client.submit(Command { command: kind, flags, offset, length }, None);
    }

    fn serve(&mut self, which: usize, failure: Option<ErrorValue>) {
        let Some(server) = self.server.transmission() else { return };
        if server.due() > 0 && server.over.is_none() {
            server.serve(which, failure);
            server.drain();
        }
    }

    fn disconnect(&mut self) {
        if let Some(client) = self.client.transmission() {
            // Refused when it has been asked for already.
            self.disconnected |= client.client.disconnect().is_ok();
        }
    }

    fn shut_down(&mut self) {
        if let Some(server) = self.server.transmission() {
            server.server.begin_shutdown();
            self.shut_down = true;
        }
    }

    /// Moves up to `count` bytes on each of the ways that `which` names. Whether anything moved.
    fn step(&mut self, which: u8, count: usize) -> bool {
        let mut moved = false;
        if which & 1 != 0 {
            let bytes = self.client.take_output(count);
            moved |= !bytes.is_empty();
            self.to_server.push(&bytes);
        }
        if which & 2 != 0 {
            let bytes = self.to_server.pull(count);
            moved |= !bytes.is_empty();
            let server = &mut self.server;
            deliver(&mut self.pace, &bytes, |piece, land| server.feed(piece, land));
            // One option may switch to TLS, and nothing is sent behind it before it is answered.
            self.server.switch();
        }
        if which & 4 != 0 {
            let bytes = self.server.take_output(count);
            moved |= !bytes.is_empty();
            self.to_client.push(&bytes);
        }
        if which & 8 != 0 {
            let bytes = self.to_client.pull(count);
            moved |= !bytes.is_empty();
            let client = &mut self.client;
            deliver(&mut self.pace, &bytes, |piece, land| client.feed(piece, land));
            self.client.switch();
        }
        moved
    }

    /// All that is under way arrives, and all that was asked is answered; then the stream ends.
    fn settle(&mut self) {
        loop {
            let moved = self.step(0xf, usize::MAX);
            let due = self.server.transmission().is_some_and(|server| server.due() > 0 && server.over.is_none());
            self.serve(0, None);
            if !moved && !due {
                break;
            }
        }
        if !self.cut {
            if let (Some(client), Some(server)) = (self.client.transmission(), self.server.transmission()) {
                assert_eq!((client.over.as_ref(), server.over.as_ref()), (None, None));
                assert_eq!((client.client.in_flight(), server.server.in_flight()), (0, 0), "an answer is missing");
                assert_eq!(server.server.is_finished(), self.disconnected);
            }
        }
        self.client.eof();
        self.server.eof();
    }

    fn check(&mut self) {
        let (Some(client), Some(server)) = (self.client.transmission(), self.server.transmission()) else { return };
        let told = client.client.negotiated().info.block_sizes.is_some();
        let may_skip = self.shut_down || !told;
        judge(&client.calls, &server.arrived, |_| may_skip);
        let lost = |result: &Option<_>| matches!(result, Some(Err(CommandError::Connection(_))));
        assert!(self.cut || !client.calls.list.iter().any(|call| lost(&call.result)), "an answer is lost");
        // A write that was carried out was carried out with what the client gave.
        let writes = |kind| kind == CommandType::WRITE;
        let mut calls = client.calls.list.iter().enumerate().filter(|(_, call)| writes(call.command.command));
        for arrived in server.arrived.iter().filter(|arrived| writes(arrived.request.command)) {
            let same = |call: &Command| (call.offset, call.length) == (arrived.request.offset, arrived.request.length);
            let Some((number, _)) = calls.find(|(_, call)| same(&call.command)) else {
                unreachable!("a write came that nobody sent");
            };
            if matches!(arrived.answer, Some(Answer::Success)) {
                let given = payload(number, arrived.request.length as usize);
                assert!(given == &arrived.payload[..], "{:?} carries other bytes", arrived.request);
            }
        }
    }
}

fn deliver(pace: &mut Option<Pace>, mut bytes: &[u8], mut feed: impl FnMut(&[u8], bool)) {
    match pace {
        None => feed(bytes, false),
        Some(pace) => {
            while let Some(piece) = pace.cut(&mut bytes) {
                feed(piece, pace.next().1);
            }
        }
    }
}
