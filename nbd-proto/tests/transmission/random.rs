//! Random valid replies to random commands: buffers and results are those of a model, and how the stream is cut,
//! where payload is received and how requests are sent changes nothing.

use std::collections::BTreeMap;

use nbd_proto::error::CommandError;
use nbd_proto::handshake::ReplyStyle;
use nbd_proto::transmission::{Command, Extent};
use nbd_proto::wire::chunk::Chunk;
use nbd_proto::wire::number::{ContextId, Cookie, ErrorValue};
use proptest::prelude::*;

use crate::harness::{BASE, BITMAP, Link, STYLES, Seen, Setup, UNTOUCHED, patterns};
use crate::server::{LAST, MORE, OK, data, failed, failed_at, hole, simple};

/// A command and what the server makes of it.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    kind: u8,
    offset: u64,
    length: u64,
    /// Where the answer is cut; what is not inside it is left out.
    cuts: Vec<u64>,
    /// Bit by bit: which pieces are holes.
    holes: u32,
    shuffle: Vec<usize>,
    /// Before which chunk an error stands, and which.
    error: Option<(usize, bool)>,
    /// Whether the end is a chunk of its own.
    none: bool,
}

pub(crate) fn plans() -> impl Strategy<Value = Vec<Plan>> {
    let plan = (
        (0..9u8, 0..4096u64, 1..600u64),
        (prop::collection::vec(1..600u64, 0..6), any::<u32>(), prop::collection::vec(0..6usize, 6)),
        (prop::option::weighted(0.2, (0..6usize, any::<bool>())), any::<bool>()),
    );
    let plan = plan.prop_map(|((kind, offset, length), (cuts, holes, shuffle), (error, none))| Plan {
        kind,
        offset,
        length,
        cuts,
        holes,
        shuffle,
        error,
        none,
    });
    prop::collection::vec(plan, 1..7)
}

pub(crate) fn style() -> impl Strategy<Value = ReplyStyle> {
    prop::sample::select(STYLES.to_vec())
}

/// What has to come of a command.
#[derive(Debug, PartialEq)]
struct Expected {
    buffer: Vec<u8>,
    extents: BTreeMap<ContextId, Vec<Extent>>,
    error: Option<ErrorValue>,
}

const ERROR: ErrorValue = ErrorValue::ENOMEM;

impl Plan {
    fn command(&self, style: ReplyStyle) -> Command {
        let (offset, length) = (self.offset, self.length);
        match self.kind {
            0 => Command::write(offset, length),
            1 => Command::flush(),
            2 => Command::trim(offset, length),
            3 => Command::write_zeroes(offset, length),
            4 | 5 if style != ReplyStyle::Simple => Command::block_status(offset, length),
            _ => Command::read(offset, length),
        }
    }

    /// Consecutive pieces of the range, as offset and length.
    fn pieces(&self) -> Vec<(u64, u64)> {
        let mut cuts: Vec<u64> = self.cuts.iter().copied().filter(|cut| *cut < self.length).collect();
        cuts.extend([0, self.length]);
        cuts.sort_unstable();
        cuts.dedup();
        cuts.windows(2).map(|pair| (self.offset + pair[0], pair[1] - pair[0])).collect()
    }

    /// The messages of the answer, in order, and what has to come of them.
    fn answer(&self, link: &Link, cookie: Cookie) -> (Vec<Vec<u8>>, Expected) {
        let kind = self.command(link.style);
        let is_read = kind == Command::read(kind.offset, kind.length);
        let is_status = kind == Command::block_status(kind.offset, kind.length);
        let mut expected = Expected {
            buffer: if is_read { vec![UNTOUCHED; self.length as usize] } else { link.buffers[&cookie].clone() },
            extents: BTreeMap::new(),
            error: self.error.map(|_| ERROR),
        };
        let whole = patterns(self.offset..self.offset + self.length);
        if link.style == ReplyStyle::Simple {
            let mut message = simple(cookie, expected.error.unwrap_or(OK));
            if is_read && self.error.is_none() {
                message.extend_from_slice(&whole);
                expected.buffer = whole;
            }
            return (vec![message], expected);
        }
        if link.style == ReplyStyle::Structured && !is_read && !is_status && !self.none {
            return (vec![simple(cookie, expected.error.unwrap_or(OK))], expected);
        }
        let last = |nth: usize, of: usize| if nth + 1 == of && !self.none { LAST } else { MORE };
        let mut messages = Vec::new();
        if is_read {
            let mut pieces: Vec<_> = self.pieces().into_iter().enumerate().collect();
            for (at, with) in self.shuffle.iter().enumerate().take(pieces.len()) {
                let with = with % pieces.len();
                pieces.swap(at, with);
            }
            let error_at = self.error.map(|(at, _)| at.min(pieces.len()));
            let total = pieces.len() + usize::from(error_at.is_some());
            for (nth, (which, (offset, length))) in pieces.iter().enumerate() {
                if error_at == Some(nth) {
                    messages.push(self.error_chunk(link, cookie, last(messages.len(), total), pieces.first(), nth > 0));
                }
                let range = (offset - self.offset) as usize..(offset - self.offset + length) as usize;
                let flags = last(messages.len(), total);
                if self.holes >> which & 1 == 1 {
                    messages.push(link.chunk(cookie, flags, &hole(*offset, *length as u32)));
                    expected.buffer[range].fill(0);
                } else {
                    messages.push(link.chunk(cookie, flags, &data(*offset, &whole[range.clone()])));
                    expected.buffer[range.clone()].copy_from_slice(&whole[range]);
                }
            }
            if error_at == Some(pieces.len()) {
                messages.push(self.error_chunk(link, cookie, last(total - 1, total), pieces.first(), true));
            }
        } else if is_status {
            let contexts = if self.shuffle[0] % 2 == 0 { [BASE, BITMAP] } else { [BITMAP, BASE] };
            let total = 2 + usize::from(self.error.is_some());
            let mut extents: Vec<_> = self.pieces();
            // The last one may go on behind the request.
            extents.last_mut().unwrap().1 += u64::from(self.holes);
            for context in contexts {
                let flags = last(messages.len(), total);
                let plain: Vec<_> =
                    extents.iter().enumerate().map(|(nth, (_, length))| (*length, nth as u64)).collect();
                messages.push(link.status(cookie, flags, context, &plain));
                let size = 1 << 20;
                let told = extents.iter().enumerate().map(|(nth, (offset, length))| Extent {
                    offset: *offset,
                    length: *length.min(&(size - offset)),
                    flags: nth as u64,
                });
                expected.extents.insert(context, told.collect());
            }
            if self.error.is_some() {
                messages.push(self.error_chunk(link, cookie, last(2, 3), None, false));
            }
        } else if self.error.is_some() {
            messages.push(self.error_chunk(link, cookie, last(0, 1), None, false));
        }
        if self.none || messages.is_empty() {
            messages.push(link.chunk(cookie, LAST, &Chunk::None));
        }
        (messages, expected)
    }

    /// An error, with the offset of content that came before it or without any.
    fn error_chunk(
        &self,
        link: &Link,
        cookie: Cookie,
        flags: nbd_proto::wire::flags::ReplyFlags,
        first: Option<&(usize, (u64, u64))>,
        has_content: bool,
    ) -> Vec<u8> {
        match (self.error, first) {
            (Some((_, true)), Some((_, (offset, length)))) if has_content => {
                link.chunk(cookie, flags, &failed_at(ERROR, offset + length - 1))
            }
            _ => link.chunk(cookie, flags, &failed(ERROR, b"out of it")),
        }
    }
}

/// Submits all, sends nothing, and gives the server's stream and what has to come of it.
pub(crate) struct Play {
    pub(crate) link: Link,
    pub(crate) stream: Vec<u8>,
    expected: BTreeMap<Cookie, Expected>,
}

impl Play {
    pub(crate) fn new(style: ReplyStyle, plans: &[Plan], order: &[u8]) -> Self {
        let mut link = Setup::new(style).link();
        let mut queues = Vec::new();
        let mut expected = BTreeMap::new();
        for plan in plans {
            let cookie = link.queue(plan.command(style));
            let (messages, comes) = plan.answer(&link, cookie);
            queues.push(messages.into_iter());
            expected.insert(cookie, comes);
        }
        // Messages of one command keep their order, those of several interleave.
        let (mut stream, mut picks) = (Vec::new(), order.iter().copied().chain(std::iter::repeat(0)));
        while !queues.is_empty() {
            let pick = usize::from(picks.next().unwrap()) % queues.len();
            match queues[pick].next() {
                Some(message) => stream.extend(message),
                None => drop(queues.remove(pick)),
            }
        }
        Self { link, stream, expected }
    }

    /// Receives all of the stream in pieces, some of them in place where there is a place.
    fn receive(&mut self, sizes: &[usize], lands: u64, mut between: impl FnMut(&mut Link)) {
        let mut rest = &self.stream[..];
        let mut sizes = sizes.iter().copied().cycle();
        for nth in 0.. {
            if rest.is_empty() {
                break;
            }
            let (piece, behind) = rest.split_at(sizes.next().unwrap().min(rest.len()));
            rest = behind;
            if lands >> (nth % 64) & 1 == 1 {
                self.link.receive(piece);
            } else {
                self.link.feed(piece);
            }
            between(&mut self.link);
        }
    }

    fn check(&self) {
        assert_eq!((&self.link.error, self.link.client.in_flight()), (&None, 0));
        for (cookie, expected) in &self.expected {
            let mut extents: BTreeMap<_, Vec<_>> = BTreeMap::new();
            let mut results = Vec::new();
            for event in &self.link.events {
                match event {
                    Seen::Extents(of, context, told) if of == cookie => {
                        extents.entry(*context).or_default().extend(told);
                    }
                    Seen::Done(of, result) if of == cookie => results.push(match result {
                        Ok(()) => None,
                        Err(CommandError::Server(error)) => Some(error.error),
                        Err(other) => panic!("{other}"),
                    }),
                    _ => {}
                }
            }
            let seen = Expected { buffer: self.link.buffers[cookie].clone(), extents, error: results[0] };
            assert_eq!(&seen, expected);
            assert_eq!(results.len(), 1);
        }
    }
}

proptest! {
    #[test]
    fn a_model_agrees_and_cutting_changes_nothing(
        (style, plans, order) in (style(), plans(), prop::collection::vec(any::<u8>(), 0..40)),
        (sizes, lands) in (prop::collection::vec(1..200usize, 1..8), any::<u64>()),
        write in 1..500usize,
    ) {
        let mut whole = Play::new(style, &plans, &order);
        whole.link.send(usize::MAX);
        whole.receive(&[usize::MAX], 0, |_| {});
        whole.check();

        let mut cut = Play::new(style, &plans, &order);
        while cut.link.send(write) > 0 {}
        prop_assert_eq!(&cut.link.sent, &whole.link.sent);
        cut.receive(&sizes, lands, |_| {});
        cut.check();
        prop_assert_eq!(&cut.link.events, &whole.link.events);

        let mut bytewise = Play::new(style, &plans, &order);
        bytewise.link.send(usize::MAX);
        bytewise.receive(&[1], lands, |_| {});
        prop_assert_eq!(&bytewise.link.events, &whole.link.events);
    }

    /// Requests trickle out while their answers are coming in already.
    #[test]
    fn a_model_agrees_with_answers_that_come_early(
        (style, plans, order) in (style(), plans(), prop::collection::vec(any::<u8>(), 0..40)),
        (sizes, lands) in (prop::collection::vec(1..200usize, 1..8), any::<u64>()),
        write in 0..200usize,
    ) {
        let mut early = Play::new(style, &plans, &order);
        early.receive(&sizes, lands, |link| {
            link.send(write);
        });
        early.link.send(usize::MAX);
        early.check();
    }
}
