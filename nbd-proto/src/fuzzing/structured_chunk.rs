//! Replies of all three styles against requests in flight.
//!
//! Invariants:
//!
//! - no input panics;
//! - a stream brings the same events (adjacent data and extents joined), the same content and the same end,
//!   whether it comes whole or in pieces, by `input` or through the landing;
//! - each command ends in exactly one `Done`, and not before its last byte was sent unless the connection is over;
//! - no range lies outside its buffer, no byte is written twice, and a read that succeeds wrote every byte;
//! - an input of `MIN_INPUT_BUFFER` bytes is never left untouched;
//! - once the connection is over, the error comes again and again, and nothing is in flight, lands or goes out.
//!
//! The data: 6 bytes of settings (style; number of requests; bytes of requests that are sent late; …), the four
//! sizes of the pieces being the last of them but for one; 4 bytes for each request (kind, flags, offset, length);
//! the rest is the server's stream. In its reply headers, a cookie below the number of requests is replaced by the
//! real cookie of that request, and any other by that of the first request that no other has stood for.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use super::client::{Outcome, Transmission, patch};
use super::{Pace, take};
use crate::handshake::{ExportInfo, HandshakeStyle, MetaContext, Negotiated, ReplyStyle};
use crate::transmission::{Checks, Client, ClientSettings, Command};
use crate::wire::flags::{CommandFlags, TransmissionFlags};
use crate::wire::number::{CommandType, ContextId};

const SIZE: u64 = 16 * 1024;
const CONTEXTS: [(u32, &str); 3] = [(1, "base:allocation"), (2, "qemu:dirty-bitmap:b"), (u32::MAX, "x-test:")];
const KINDS: [CommandType; 8] = [
    CommandType::READ,
    CommandType::READ,
    CommandType::BLOCK_STATUS,
    CommandType::WRITE,
    CommandType::FLUSH,
    CommandType::TRIM,
    CommandType::CACHE,
    CommandType::WRITE_ZEROES,
];

/// See the top of the module.
pub fn structured_chunk(data: &[u8]) {
    let Some(case) = Case::parse(data) else { return };
    let mut whole = case.start();
    let mut stream = case.stream.to_owned();
    patch(&mut stream, &whole.calls, case.facts.reply_style);
    case.send(&mut whole, None);
    whole.feed(&stream, false);
    let whole = finish(whole);

    let mut split = case.start();
    let mut pace = case.pace.clone();
    case.send(&mut split, Some(&mut pace));
    let mut rest = &stream[..];
    while let Some(piece) = pace.cut(&mut rest) {
        split.feed(piece, pace.next().1);
    }
    split.poll();
    assert_eq!(whole, finish(split), "what comes depends on how the stream was cut");
}

struct Case<'a> {
    facts: Negotiated,
    commands: Vec<(Command, bool)>,
    /// How many bytes of the requests are sent only behind the stream.
    late: usize,
    pace: Pace,
    stream: &'a [u8],
}

impl<'a> Case<'a> {
    fn parse(mut data: &'a [u8]) -> Option<Self> {
        let [style, count, late, first, second, third] = *data.first_chunk::<6>()?;
        data = &data[6..];
        let style = match style % 3 {
            0 => ReplyStyle::Simple,
            1 => ReplyStyle::Structured,
            _ => ReplyStyle::Extended,
        };
        let mut commands = Vec::new();
        for _ in 0..=count % 8 {
            let [kind, flags, offset, length] = *take(&mut data, 4) else { return None };
            let wanted = CommandFlags::from_bits_retain(flags.into()) & (CommandFlags::DF | CommandFlags::REQ_ONE);
            let command = Command {
                command: KINDS[usize::from(kind) % KINDS.len()],
                flags: wanted,
                offset: u64::from(offset) * 64,
                length: u64::from(length) * 16,
            };
            commands.push((command, kind & 0x80 != 0));
        }
        let pace = Pace::new([first, second, third, late]);
        Some(Self { facts: facts(style), commands, late: late.into(), pace, stream: data })
    }

    fn start(&self) -> Transmission {
        let checks = Checks::all() - (Checks::FLAGS | Checks::BOUNDS | Checks::EMPTY);
        let client = Client::new(self.facts.clone(), ClientSettings::default().with_checks(checks));
        let mut transmission = Transmission::new(client);
        for (command, for_contexts) in &self.commands {
            let named = [ContextId(2), ContextId(1)];
            let for_contexts = *for_contexts && command.command == CommandType::BLOCK_STATUS;
            transmission.submit(*command, for_contexts.then_some(&named));
        }
        transmission
    }

    /// Sends the requests, but for what is late.
    fn send(&self, transmission: &mut Transmission, mut pace: Option<&mut Pace>) {
        let mut left = transmission.outbound_length().saturating_sub(self.late);
        while left > 0 {
            let count = pace.as_mut().map_or(left, |pace| pace.next().0.min(left));
            transmission.sent(count);
            left -= count;
        }
    }
}

fn facts(style: ReplyStyle) -> Negotiated {
    let contexts = CONTEXTS.map(|(id, name)| MetaContext { id: ContextId(id), name: name.to_owned() });
    Negotiated {
        export: String::new(),
        info: ExportInfo {
            size: SIZE,
            flags: TransmissionFlags::all() - TransmissionFlags::READ_ONLY,
            block_sizes: None,
            canonical_name: None,
            description: None,
        },
        handshake_style: HandshakeStyle::FixedNewstyle,
        reply_style: style,
        tls: false,
        contexts: if style == ReplyStyle::Simple { Vec::new() } else { contexts.into() },
        available_contexts: None,
    }
}

/// What was late goes out, then the stream ends.
fn finish(mut transmission: Transmission) -> Outcome {
    let late = transmission.outbound_length();
    if late > 0 {
        transmission.sent(late);
        transmission.poll();
    }
    transmission.eof();
    transmission.outcome()
}
