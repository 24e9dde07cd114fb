//! A whole hostile server: its stream, from the greeting on, against [`Connect`](crate::handshake::Connect) and then
//! [`Client`](crate::transmission::Client) with commands in flight.
//!
//! Invariants:
//!
//! - no input panics;
//! - a stream brings the same result of the handshake, the same bytes for the server, the same events (adjacent data and
//!   extents joined), the same content and the same end, whether it comes whole or in pieces, by `input` or through the
//!   landing;
//! - the handshake consumes nothing behind its end, and gives a result only where it came to one;
//! - each command ends in exactly one `Done`; no range lies outside its buffer, no byte comes twice, and a read that
//!   succeeds has every byte;
//! - what is told is bounded by what came: no more events than bytes, no more extents than their bytes make, and no names
//!   but those that were sent;
//! - an input of `MIN_INPUT_BUFFER` bytes is never left untouched while input is awaited;
//! - once an error came, it comes again and again, and nothing is in flight, lands or goes out.
//!
//! The data: a [`ClientSessionHeader`], then the server's stream as it is. In its option replies, an option number of 0
//! is replaced by that of the option that was asked. In the replies of its transmission phase, a cookie below the number
//! of commands is replaced by the real cookie of that command, and any other by that of the first command that no other
//! has stood for.

use alloc::borrow::ToOwned;
use alloc::vec::Vec;

use super::client::{ClientEnd, End, Plan, Seen, patch};
use super::{Pace, patch_option};
use crate::handshake::{Connect, ConnectSettings, Flow, Negotiated, Status, TlsPolicy};
use crate::limits::HandshakeLimits;
use crate::transmission::{Checks, ClientSettings, Command};
use crate::wire::flags::CommandFlags;
use crate::wire::number::CommandType;

/// How many commands a header has room for.
const COMMANDS: usize = 8;

/// The longest payload of a `WRITE`.
const MOST_WRITTEN: u64 = 1024;

/// What stands before the server's stream: [`LENGTH`](Self::LENGTH) bytes, of which each value means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientSessionHeader {
    /// What the client asks for, a bit each from the lowest: extended headers, structured replies, block sizes, names,
    /// a list of contexts; two bits: how many of the contexts `base:allocation`, `qemu:` and `x-test:b`; whether it names
    /// the export `a` rather than none.
    pub wishes: u8,
    /// Two bits: 1 for TLS where it is to be had, 2 where nothing else will do. Then a bit each: tight limits on the
    /// handshake; commands are sent unchecked; a soft disconnect follows them.
    pub ways: u8,
    /// How many of the commands are submitted.
    pub count: u8,
    /// How many may be in flight.
    pub in_flight: u8,
    /// How many bytes come before TLS begins, if it does; 16 bits, big-endian.
    pub clear: [u8; 2],
    /// Sizes of the pieces, over and over.
    pub pieces: [u8; 4],
    /// A command each: its type, its flags, then offset and length with 24 bits each, big-endian. A `WRITE` is no longer
    /// than 1024 bytes.
    pub commands: [[u8; 8]; 8],
}

impl ClientSessionHeader {
    /// Length in bytes.
    pub const LENGTH: usize = 10 + 8 * COMMANDS;

    /// The header that wants all, in clear, and submits these commands; those that do not fit are left out.
    pub fn new(commands: &[Command]) -> Self {
        let mut header = Self {
            wishes: 0b0011_1111,
            ways: 0,
            count: commands.len().min(COMMANDS) as u8,
            in_flight: 16,
            clear: [0xff; 2],
            pieces: [0x07, 0x9e, 0x00, 0x3f],
            commands: [[0; 8]; COMMANDS],
        };
        for (place, command) in header.commands.iter_mut().zip(commands) {
            place[0] = command.command.0 as u8;
            place[1] = command.flags.bits() as u8;
            place[2..5].copy_from_slice(&(command.offset as u32).to_be_bytes()[1..]);
            place[5..].copy_from_slice(&(command.length as u32).to_be_bytes()[1..]);
        }
        header
    }

    /// Puts the header before a server's stream.
    pub fn before(&self, stream: &[u8]) -> Vec<u8> {
        let mut data = Vec::from([self.wishes, self.ways, self.count, self.in_flight]);
        data.extend(self.clear.into_iter().chain(self.pieces));
        data.extend(self.commands.as_flattened());
        data.extend(stream);
        data
    }

    fn parse(data: &[u8]) -> Option<(Self, &[u8])> {
        let (&[wishes, ways, count, in_flight, high, low, one, two, three, four], rest) = data.split_first_chunk()?;
        let (fields, stream) = rest.split_at_checked(8 * COMMANDS)?;
        let mut commands = [[0; 8]; COMMANDS];
        commands.as_flattened_mut().copy_from_slice(fields);
        let (clear, pieces) = ([high, low], [one, two, three, four]);
        Some((Self { wishes, ways, count, in_flight, clear, pieces, commands }, stream))
    }

    fn plan(&self) -> Plan {
        let wishes = |bit: u8| self.wishes & 1 << bit != 0;
        let ways = |bit: u8| self.ways & 1 << bit != 0;
        let limits = HandshakeLimits::default();
        let mut connect = ConnectSettings::new(if wishes(7) { "a" } else { "" })
            .with_extended_headers(wishes(0))
            .with_structured_replies(wishes(1))
            .with_block_sizes(wishes(2))
            .with_names(wishes(3))
            .with_list_contexts(wishes(4))
            .with_tls(match self.ways & 3 {
                1 => TlsPolicy::Opportunistic,
                2 => TlsPolicy::Required,
                _ => TlsPolicy::Off,
            })
            .with_limits(if ways(2) { limits.with_replies_per_option(4).with_reply_bytes(1024) } else { limits });
        for query in ["base:allocation", "qemu:", "x-test:b"].into_iter().take(usize::from(self.wishes >> 5 & 3)) {
            connect = connect.with_meta_context(query);
        }
        let checks = if ways(3) { Checks::empty() } else { Checks::all() };
        Plan {
            connect,
            client: ClientSettings::default().with_checks(checks).with_max_in_flight(self.in_flight.into()),
            commands: self.commands.into_iter().take(self.count.into()).map(command).collect(),
            disconnect: ways(4),
        }
    }
}

fn command(fields: [u8; 8]) -> Command {
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let (command, length) = (CommandType(fields[0].into()), number(&fields[5..]));
    Command {
        command,
        flags: CommandFlags::from_bits_retain(fields[1].into()),
        offset: number(&fields[2..5]),
        length: if command == CommandType::WRITE { length.min(MOST_WRITTEN) } else { length },
    }
}

/// See the top of the module.
pub fn client_session(data: &[u8]) {
    let Some((header, stream)) = ClientSessionHeader::parse(data) else { return };
    let plan = header.plan();
    let mut stream = stream.to_owned();
    let clear = stream.len().min(u16::from_be_bytes(header.clear).into());
    rehearse(&plan, &mut stream, clear);

    let pace = Pace::new(header.pieces);
    let whole = run(ClientEnd::new(plan.clone(), None), &stream, clear, None);
    check_bounds(&whole, &stream);
    let split = run(ClientEnd::new(plan, Some(pace.clone())), &stream, clear, Some(pace));
    assert_eq!(whole, split, "what comes depends on how the stream was cut");
}

fn run(mut client: ClientEnd, stream: &[u8], clear: usize, mut pace: Option<Pace>) -> End {
    let (clear, tls) = stream.split_at(clear);
    for mut part in [clear, tls] {
        while !part.is_empty() {
            match &mut pace {
                None => client.feed(core::mem::take(&mut part), false),
                Some(pace) => {
                    let Some(piece) = pace.cut(&mut part) else { break };
                    let (_, coin) = pace.next();
                    client.feed(piece, coin);
                    if coin {
                        // A call without input is legal at any time, and changes nothing.
                        client.feed(&[], false);
                    }
                }
            }
        }
        client.switch();
    }
    client.eof();
    client.end()
}

/// Fills in what a server would know: which option it answers, and the cookies.
fn rehearse(plan: &Plan, stream: &mut [u8], clear: usize) {
    let mut flow = Connect::new(plan.connect.clone());
    let (mut at, mut end, mut out) = (0, clear, Vec::new());
    loop {
        let before = flow.status();
        if before == Status::NeedInput {
            patch_option(&mut stream[at..end], &out);
        }
        match flow.input(&stream[at..end], &mut out) {
            Ok(0) if flow.status() != before => {}
            Ok(0) if before == Status::SwitchToTls && end == at && end < stream.len() => {
                end = stream.len();
                if flow.tls_established(&mut out).is_err() {
                    return;
                }
            }
            Ok(0) if end < stream.len() && before == Status::NeedInput => end = stream.len(),
            Ok(0) => break,
            Ok(count) => at += count,
            Err(_) => return,
        }
    }
    if flow.status() == Status::Ready {
        // As in the runs to come, cookies and all.
        let mut client = ClientEnd::new(plan.clone(), None);
        let (clear, tls) = stream[..at].split_at(clear.min(at));
        client.feed(clear, false);
        client.switch();
        client.feed(tls, false);
        if let Some(transmission) = client.transmission() {
            let style = transmission.client.negotiated().reply_style;
            patch(&mut stream[at..], &transmission.calls, style);
        }
    }
}

/// What was told came from the stream.
fn check_bounds(end: &End, stream: &[u8]) {
    let Ok((negotiated, outcome)) = &end.how else { return };
    let contexts = negotiated.contexts.iter().map(|context| context.name.len());
    let listed = negotiated.available_contexts.iter().flatten().map(alloc::string::String::len);
    let names: usize = contexts.chain(listed).sum();
    assert!(names + words(negotiated) <= 4 * stream.len(), "names that nobody sent");

    let calls = &outcome.calls;
    assert!(calls.events.len() <= stream.len() + calls.list.len(), "more events than bytes");
    let extents: usize =
        calls.events.iter().map(|seen| if let Seen::Extents(.., all) = seen { all.len() } else { 0 }).sum();
    assert!(extents * 8 <= stream.len(), "extents that nobody sent");
}

/// What the server said of the export. Bytes that are no UTF-8 take thrice the room.
fn words(negotiated: &Negotiated) -> usize {
    let texts = [&negotiated.info.canonical_name, &negotiated.info.description];
    texts.into_iter().flatten().map(alloc::string::String::len).sum()
}
