//! A whole hostile client: its stream against [`ServerHandshake`](crate::handshake::ServerHandshake) and then
//! [`Server`](crate::transmission::Server), with an export in memory behind it.
//!
//! Invariants:
//!
//! - no input panics;
//! - a stream brings the same questions, the same bytes for the client, the same events, the same payload, the same end
//!   and the same export, whether it comes whole or in pieces, by `input` or through the landing;
//! - the handshake answers each option once and in order, with replies that parse, and consumes nothing behind its end;
//! - each request that the engine tells of keeps the rules (within the export, aligned, allowed), and ends in exactly one
//!   `Done`; there are never more in flight than the limit; payload comes in order, without gaps, and only where it was
//!   consented to;
//! - a client of ours that had sent the same takes each reply, and hears what was answered;
//! - nothing is read or written outside the export;
//! - an input of `MIN_INPUT_BUFFER` bytes is never left untouched while input is wanted;
//! - once an error came, it comes again and again, and nothing is in flight, lands or goes out.
//!
//! The data: a [`ServerSessionHeader`], then the client's stream as it is.

mod mirror;

use alloc::borrow::ToOwned;
use alloc::vec::Vec;

use super::Pace;
use super::server::{End, Habits, ServerEnd, ServerPlan};
use crate::handshake::{HandshakeStyle, Offer, ServerHandshakeSettings, ServerTls};
use crate::limits::ServerHandshakeLimits;
use crate::transmission::ServerSettings;
use crate::wire::flags::TransmissionFlags;
use crate::wire::info::BlockSizes;
use crate::wire::number::ReplyType;

const CONTEXTS: [&str; 3] = ["base:allocation", "qemu:dirty-bitmap:b", "x-test:b"];

/// What stands before the client's stream: [`LENGTH`](Self::LENGTH) bytes, of which each value means something. Zeroes
/// make a server that offers all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerSessionHeader {
    /// Two bits: 1 for newstyle, 2 for oldstyle, else fixed newstyle. Then a bit each: no `NO_ZEROES`, no structured
    /// replies, no extended headers. Two bits: 1 for TLS offered, 2 for TLS required. A bit: tight limits.
    pub greeting: u8,
    /// Two bits: size of the export, 1 MiB, 1000 bytes, 2^63 or 2^64 - 1. A bit: read-only. Two bits: minimum block size
    /// and maximum payload, 1 and 64 KiB, 512 and 4096, 4096 and 8192, 1 and 512. Two bits: how many contexts are
    /// missing. A bit: to be had inside TLS only.
    pub export: u8,
    /// Which of the transmission flags from `SEND_FLUSH` on are missing.
    pub lacks: u8,
    /// Number of the error with which the export `missing` is refused. Bit 7: the list and each name but `a`, too.
    pub refusal: u8,
    /// How many requests may be in flight; 0 for 16.
    pub in_flight: u8,
    /// How many requests are left without an answer before one is answered. Bit 7: the last is answered first.
    pub lets_wait: u8,
    /// Which of eight requests fail, a bit each, over and over.
    pub fails: u8,
    /// Of which of eight requests the payload is not taken, a bit each, over and over.
    pub declines: u8,
    /// Behind how many requests the server is shut down; 0 for never.
    pub shuts_down: u8,
    /// How many bytes come before TLS begins, if it does; 16 bits, big-endian; 0 for all.
    pub clear: [u8; 2],
    /// Sizes of the pieces, over and over.
    pub pieces: [u8; 4],
}

impl ServerSessionHeader {
    /// Length in bytes.
    pub const LENGTH: usize = 15;

    /// A server that offers all, in clear, and answers at once.
    pub const GENEROUS: Self = Self {
        greeting: 0,
        export: 0,
        lacks: 0,
        refusal: 6,
        in_flight: 0,
        lets_wait: 0,
        fails: 0,
        declines: 0,
        shuts_down: 0,
        clear: [0; 2],
        pieces: [0x07, 0x9e, 0x00, 0x3f],
    };

    /// Puts the header before a client's stream.
    pub fn before(&self, stream: &[u8]) -> Vec<u8> {
        let Self { greeting, export, lacks, refusal, in_flight, lets_wait, fails, declines, shuts_down, .. } = *self;
        let mut data = Vec::from([greeting, export, lacks, refusal, in_flight, lets_wait, fails, declines, shuts_down]);
        data.extend(self.clear.into_iter().chain(self.pieces));
        data.extend(stream);
        data
    }

    pub(super) fn parse(data: &[u8]) -> Option<(Self, &[u8])> {
        let (fields, stream) = data.split_first_chunk::<{ Self::LENGTH }>()?;
        let [greeting, export, lacks, refusal, in_flight, lets_wait, fails, declines, shuts_down, rest @ ..] = *fields;
        let [high, low, pieces @ ..] = rest;
        let clear = [high, low];
        let header =
            Self { greeting, export, lacks, refusal, in_flight, lets_wait, fails, declines, shuts_down, clear, pieces };
        Some((header, stream))
    }

    pub(super) fn plan(&self) -> ServerPlan {
        let greeting = |bit: u8| self.greeting & 1 << bit != 0;
        let tight = greeting(7);
        let limits = ServerHandshakeLimits::default();
        let server = ServerSettings::default();
        let in_flight = if self.in_flight == 0 { 16 } else { self.in_flight.into() };
        ServerPlan {
            handshake: ServerHandshakeSettings::default()
                .with_style(match self.greeting & 3 {
                    1 => HandshakeStyle::Newstyle,
                    2 => HandshakeStyle::Oldstyle,
                    _ => HandshakeStyle::FixedNewstyle,
                })
                .with_no_zeroes(!greeting(2))
                .with_structured_replies(!greeting(3))
                .with_extended_headers(!greeting(4))
                .with_tls(match self.greeting >> 5 & 3 {
                    1 => ServerTls::Offered,
                    2 => ServerTls::Required,
                    _ => ServerTls::Off,
                })
                .with_limits(if tight { limits.with_options(6).with_skipped_payload(64) } else { limits }),
            offer: self.offer(),
            server: if tight { server.with_max_skipped(64) } else { server }.with_max_in_flight(in_flight),
            refusal: ReplyType(1 << 31 | u32::from(self.refusal & 0xf)),
            secretive: self.refusal & 0x80 != 0,
            habits: Some(Habits {
                lets_wait: usize::from(self.lets_wait & 0x7f),
                last_first: self.lets_wait & 0x80 != 0,
                fails: self.fails,
                declines: self.declines,
                shuts_down: self.shuts_down.into(),
            }),
        }
    }

    fn offer(&self) -> Offer {
        let size = [1 << 20, 1000, 1 << 63, u64::MAX][usize::from(self.export & 3)];
        let lacks = TransmissionFlags::from_bits_retain(u16::from(self.lacks) << 2);
        let mut flags = TransmissionFlags::all() - lacks;
        flags.set(TransmissionFlags::READ_ONLY, self.export & 4 != 0);
        let (minimum, maximum) =
            [(1, 1 << 16), (512, 1 << 12), (1 << 12, 1 << 13), (1, 512)][usize::from(self.export >> 3 & 3)];
        let preferred = maximum.min(4096);
        let mut offer = Offer::new(size, flags)
            .with_block_sizes(BlockSizes { minimum, preferred, maximum })
            .with_description("an export in memory")
            .with_tls_required(self.export & 0x80 != 0);
        for name in CONTEXTS.iter().skip(usize::from(self.export >> 5 & 3)) {
            offer = offer.with_context((*name).to_owned());
        }
        offer
    }
}

/// See the top of the module.
pub fn server_session(data: &[u8]) {
    let Some((header, stream)) = ServerSessionHeader::parse(data) else { return };
    let plan = header.plan();
    let clear = match u16::from_be_bytes(header.clear) {
        0 => stream.len(),
        clear => stream.len().min(clear.into()),
    };
    let whole = run(ServerEnd::new(plan.clone()), stream, clear, None);
    mirror::check_handshake(stream, &whole.out);
    if let Some(outcome) = &whole.transmission {
        mirror::check_transmission(&stream[whole.consumed..], outcome);
    }
    let split = run(ServerEnd::new(plan), stream, clear, Some(Pace::new(header.pieces)));
    assert_eq!(whole, split, "what comes depends on how the stream was cut");
}

fn run(mut server: ServerEnd, stream: &[u8], clear: usize, mut pace: Option<Pace>) -> End {
    let (clear, tls) = stream.split_at(clear);
    // One that has to look an export up before it greets does so without input.
    server.feed(&[], false);
    for mut part in [clear, tls] {
        while !part.is_empty() {
            match &mut pace {
                None => server.feed(core::mem::take(&mut part), false),
                Some(pace) => {
                    let Some(piece) = pace.cut(&mut part) else { break };
                    let (_, coin) = pace.next();
                    server.feed(piece, coin);
                    if coin {
                        // A call without input is legal at any time, and changes nothing.
                        server.feed(&[], false);
                    }
                }
            }
        }
        server.switch();
    }
    server.eof();
    server.end()
}
