//! The blocking client.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nbd_proto::error::Refused;
use nbd_proto::handshake::{Negotiated, ReplyStyle};
use nbd_proto::limits::DEFAULT_MAX_PAYLOAD;
use nbd_proto::transmission::{self, Checks, Command, ContextExtents, Extent};
use nbd_proto::uri::NbdUri;
use nbd_proto::wire::flags::{CommandFlags, TransmissionFlags};
use nbd_proto::wire::number::ContextId;

use crate::baton::{Buffer, Shared};
use crate::block_status::BlockStatus;
use crate::direct::DirectQueue;
use crate::error::Error;
use crate::options::{ConnectOptions, Oversize, Unaligned};
use crate::pieces::{inward, is_aligned, outward, split, whole_blocks};
use crate::queue::Queue;
use crate::reconnect::{Reconnect, Survivor};
use crate::stream::Stream;
use crate::trace;

/// The longest range of a command without payload where the header has 32 bits for it, in bytes. A multiple of
/// every block size, and well below the bound of the header: nbdkit 1.32 aborts at a block status of 2^32 - 1 bytes.
const COMPACT_RANGE: u64 = 1 << 30;

/// The longest range of such a command with extended headers, in bytes.
const EXTENDED_RANGE: u64 = 1 << 62;

/// How long [`Client::shutdown`] waits for the server to hang up.
const GOODBYE: Duration = Duration::from_secs(5);

/// A connection to an export. Every method blocks until the server has answered.
///
/// Clones and references share the connection, and may be used from any number of threads at once: their
/// requests are in flight together. When the last clone goes, the server is told goodbye without waiting;
/// [`shutdown`](Self::shutdown) waits, and so is the better end after writes.
#[derive(Clone, Debug)]
pub struct Client {
    link: Link,
    facts: Arc<Facts>,
}

/// What carries the requests.
#[derive(Clone, Debug)]
enum Link {
    /// One connection.
    Plain(Arc<Shared>),
    /// One connection after the other.
    Surviving(Arc<Survivor>),
}

#[derive(Debug)]
struct Facts {
    negotiated: Negotiated,
    oversize: Oversize,
    unaligned: Unaligned,
    checks: Checks,
    /// Held by a write that reads blocks, changes them and writes them back.
    padding: Mutex<()>,
}

impl Facts {
    fn new(negotiated: Negotiated, options: &ConnectOptions) -> Arc<Self> {
        Arc::new(Self {
            negotiated,
            oversize: options.oversize,
            unaligned: options.unaligned,
            checks: options.engine.checks,
            padding: Mutex::new(()),
        })
    }
}

impl Client {
    /// Connects to an NBD URI with the [default options](ConnectOptions).
    pub fn connect(uri: &str) -> Result<Self, Error> {
        ConnectOptions::new().connect(uri)
    }

    pub(crate) fn start(stream: Stream, negotiated: Negotiated, rest: &[u8], options: &ConnectOptions) -> Self {
        let mut engine = transmission::Client::new(negotiated.clone(), options.engine);
        engine.set_observer(trace::observer_with(options.watcher.as_ref()));
        let shared = Shared::new(stream, engine, rest, options);
        Self { link: Link::Plain(Arc::new(shared)), facts: Facts::new(negotiated, options) }
    }

    /// From now on the connection of this client is replaced when it is lost.
    pub(crate) fn survive(self, policy: Reconnect, options: &ConnectOptions, uri: &NbdUri) -> Self {
        let facts = Facts::new(self.facts.negotiated.clone(), options);
        let survivor = Survivor::new(self, policy, options, uri);
        Self { link: Link::Surviving(Arc::new(survivor)), facts }
    }

    /// All that was agreed with the server.
    pub fn negotiated(&self) -> &Negotiated {
        &self.facts.negotiated
    }

    /// Size of the export in bytes.
    pub fn size(&self) -> u64 {
        self.facts.negotiated.info.size
    }

    /// Whether the export cannot be written to.
    pub fn is_read_only(&self) -> bool {
        self.offers(TransmissionFlags::READ_ONLY)
    }

    /// Whether the server offers something.
    pub fn offers(&self, flags: TransmissionFlags) -> bool {
        self.facts.negotiated.info.flags.contains(flags)
    }

    /// Fills `buffer` with what is at `offset` bytes from the start of the export.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), Error> {
        self.read_at_with(buffer, offset, CommandFlags::empty())
    }

    /// The same with command flags: `DF`.
    pub fn read_at_with(&self, buffer: &mut [u8], offset: u64, flags: CommandFlags) -> Result<(), Error> {
        let range = self.range(offset, buffer.len() as u64)?;
        if self.fits(&range) {
            return self.read_pieces(buffer, offset, flags);
        }
        let whole = outward(&range, self.block());
        let mut padded = vec![0; (whole.end - whole.start) as usize];
        self.read_pieces(&mut padded, whole.start, flags)?;
        let skip = (range.start - whole.start) as usize;
        buffer.copy_from_slice(&padded[skip..skip + buffer.len()]);
        Ok(())
    }

    fn read_pieces(&self, mut buffer: &mut [u8], offset: u64, flags: CommandFlags) -> Result<(), Error> {
        let whole = Command::read(offset, buffer.len() as u64).with_flags(flags);
        for command in self.pieces(whole, self.payload())? {
            let (head, rest) = buffer.split_at_mut(command.length as usize);
            buffer = rest;
            self.execute(command, None, Buffer::Read(head))?;
        }
        Ok(())
    }

    /// Writes `data` at `offset` bytes from the start of the export. It is safe on non-volatile storage only after
    /// a [`flush`](Self::flush), or with the FUA flag.
    pub fn write_at(&self, data: &[u8], offset: u64) -> Result<(), Error> {
        self.write_at_with(data, offset, CommandFlags::empty())
    }

    /// The same with command flags: `FUA`.
    pub fn write_at_with(&self, data: &[u8], offset: u64, flags: CommandFlags) -> Result<(), Error> {
        let range = self.range(offset, data.len() as u64)?;
        if self.fits(&range) {
            return self.write_pieces(data, offset, flags);
        }
        self.with_edges(
            &range,
            Command::write(0, 0).with_flags(flags),
            |edge, block| {
                let from = (edge.start - range.start) as usize;
                block.copy_from_slice(&data[from..from + block.len()]);
            },
            |middle| {
                let from = (middle.offset - range.start) as usize;
                self.write_pieces(&data[from..from + middle.length as usize], middle.offset, flags)
            },
        )
    }

    fn write_pieces(&self, data: &[u8], offset: u64, flags: CommandFlags) -> Result<(), Error> {
        let mut data = data;
        let whole = Command::write(offset, data.len() as u64).with_flags(flags);
        for command in self.pieces(whole, self.payload())? {
            let (head, rest) = data.split_at(command.length as usize);
            data = rest;
            self.execute(command, None, Buffer::Write(head))?;
        }
        Ok(())
    }

    /// Waits until all writes that were answered so far are on non-volatile storage.
    pub fn flush(&self) -> Result<(), Error> {
        self.execute(Command::flush(), None, Buffer::None).map(drop)
    }

    /// Tells the server that a range is no longer needed. What it holds afterwards is anybody's guess.
    pub fn trim(&self, offset: u64, length: u64) -> Result<(), Error> {
        self.trim_with(offset, length, CommandFlags::empty())
    }

    /// The same with command flags: `FUA`.
    pub fn trim_with(&self, offset: u64, length: u64, flags: CommandFlags) -> Result<(), Error> {
        let range = self.range(offset, length)?;
        let range = if self.fits(&range) { range } else { inward(&range, self.block()) };
        self.ranged(Command::trim(range.start, range.end - range.start).with_flags(flags))
    }

    /// Tells the server that a range will be needed soon.
    pub fn cache(&self, offset: u64, length: u64) -> Result<(), Error> {
        let range = self.range(offset, length)?;
        let range = if self.fits(&range) { range } else { outward(&range, self.block()) };
        self.ranged(Command::cache(range.start, range.end - range.start))
    }

    /// Makes a range read as zeroes, without sending them.
    pub fn write_zeroes(&self, offset: u64, length: u64) -> Result<(), Error> {
        self.write_zeroes_with(offset, length, CommandFlags::empty())
    }

    /// The same with command flags: `FUA`, `NO_HOLE`, `FAST_ZERO`.
    pub fn write_zeroes_with(&self, offset: u64, length: u64, flags: CommandFlags) -> Result<(), Error> {
        let range = self.range(offset, length)?;
        let command = Command::write_zeroes(offset, length).with_flags(flags);
        if self.fits(&range) {
            return self.ranged(command);
        }
        self.with_edges(&range, command, |_, block| block.fill(0), |middle| self.ranged(middle))
    }

    /// Walks over a range and tells, extent by extent, what a metadata context says of it. The context must have
    /// been asked for with [`ConnectOptions::meta_context`].
    pub fn block_status(&self, context: &str, range: Range<u64>) -> Result<BlockStatus<'_>, Error> {
        let Some(selected) = self.facts.negotiated.context(context) else {
            return Err(Error::NoSuchContext { name: context.to_owned() });
        };
        Ok(BlockStatus::new(self, selected.id, range))
    }

    /// One `BLOCK_STATUS` request: what each selected context says from `offset` on, as far as the server chose
    /// to go. Command flags: `REQ_ONE`.
    pub fn block_status_once(
        &self,
        offset: u64,
        length: u64,
        flags: CommandFlags,
    ) -> Result<Vec<ContextExtents>, Error> {
        self.execute(Command::block_status(offset, length).with_flags(flags), None, Buffer::None)
    }

    /// One request about one context, on behalf of the walk over a range. Once that is `under_way`, its place is
    /// where the server ended an extent, which need not be the end of a block: then the request begins before it.
    pub(crate) fn context_status(
        &self,
        context: ContextId,
        range: &Range<u64>,
        under_way: bool,
    ) -> Result<Vec<Extent>, Error> {
        let as_it_is = self.fits(range) && !under_way;
        let range = if as_it_is { range.clone() } else { self.reachable(outward(range, self.block())) };
        let length = range.end.saturating_sub(range.start).min(self.longest_range());
        let command = Command::block_status(range.start, length);
        let several = self.facts.negotiated.contexts.len() > 1;
        let filter = several && self.offers(TransmissionFlags::BLOCK_STATUS_PAYLOAD);
        let contexts = self.execute(command, filter.then_some(&[context]), Buffer::None)?;
        Ok(contexts.into_iter().find(|found| found.context == context).map(|found| found.extents).unwrap_or_default())
    }

    /// Room for many requests in flight from one thread.
    pub fn queue(&self) -> Queue {
        match &self.link {
            Link::Plain(shared) => Queue::direct(shared.clone()),
            Link::Surviving(survivor) => Queue::surviving(survivor.clone()),
        }
    }

    /// Room for requests on the one connection that this client has; none if it replaces it.
    pub(crate) fn direct_queue(&self) -> Option<DirectQueue> {
        match &self.link {
            Link::Plain(shared) => Some(DirectQueue::new(shared.clone())),
            Link::Surviving(_) => None,
        }
    }

    /// Ends the connection in order: takes no more requests, waits until nothing is in flight, says goodbye, and
    /// waits up to 5 seconds for the server to hang up. Clones of this client find it closed. Does not
    /// [`flush`](Self::flush).
    pub fn shutdown(&self) -> Result<(), Error> {
        match &self.link {
            Link::Plain(shared) => shared.shut_down(GOODBYE),
            Link::Surviving(survivor) => survivor.shut_down(),
        }
    }

    fn block(&self) -> u64 {
        u64::from(self.facts.negotiated.minimum_block())
    }

    /// The longest payload of one request that is to be split; without splitting, no bound.
    ///
    /// A server without a limit of its own may still hang up on payloads that look like an attack, but "any
    /// payload not exceeding 2^25 (33,554,432) bytes SHOULD NOT be considered a denial of service attack" (spec,
    /// *Size constraints*).
    fn payload(&self) -> u64 {
        let most = self.facts.negotiated.maximum_payload().min(DEFAULT_MAX_PAYLOAD);
        match self.facts.oversize {
            Oversize::Split => whole_blocks(u64::from(most), self.block()),
            Oversize::Refuse => u64::MAX,
        }
    }

    /// The bytes that a call is about. A call about none is never refused.
    fn range(&self, offset: u64, length: u64) -> Result<Range<u64>, Error> {
        let size = self.size();
        let within = |end: &u64| *end <= size || length == 0 || !self.facts.checks.contains(Checks::BOUNDS);
        match offset.checked_add(length).filter(within) {
            Some(end) => Ok(offset..end),
            None => Err(Refused::OutOfBounds { offset, length, size }.into()),
        }
    }

    /// Without the end of the export where that is no whole block: no aligned request can reach it. Somebody who
    /// wants nothing else has to be told.
    fn reachable(&self, range: Range<u64>) -> Range<u64> {
        let last = self.size() - self.size() % self.block();
        if range.start < last { range.start..range.end.min(last) } else { range }
    }

    /// The longest range of one request without a payload.
    fn longest_range(&self) -> u64 {
        match self.facts.negotiated.reply_style {
            ReplyStyle::Extended => EXTENDED_RANGE,
            ReplyStyle::Simple | ReplyStyle::Structured => COMPACT_RANGE,
        }
    }

    /// Whether a range can go out as it is. One that is not aligned and must not be padded can: to be refused. So can
    /// one whose blocks are too large to hold, which no server has an honest reason for: "this value [...] MUST NOT
    /// be larger than 2^16" (spec, *Size constraints*).
    fn fits(&self, range: &Range<u64>) -> bool {
        let pads = self.facts.unaligned == Unaligned::Pad && self.block() <= u64::from(DEFAULT_MAX_PAYLOAD);
        !pads || range.is_empty() || is_aligned(range, self.block())
    }

    /// A command without a payload, split where it is too long for one request.
    fn ranged(&self, whole: Command) -> Result<(), Error> {
        let most = match self.facts.oversize {
            Oversize::Split => self.longest_range(),
            Oversize::Refuse => u64::MAX,
        };
        for command in self.pieces(whole, most)? {
            self.execute(command, None, Buffer::None)?;
        }
        Ok(())
    }

    /// A command cut into those that can be sent. If one of them would be refused, none comes.
    fn pieces(&self, whole: Command, most: u64) -> Result<impl Iterator<Item = Command> + use<>, Error> {
        let piece = move |range: Range<u64>| Command { offset: range.start, length: range.end - range.start, ..whole };
        let range = whole.offset..whole.offset.saturating_add(whole.length);
        if whole.length > most {
            // The first shows what is wrong with all, and the last what is wrong with the end.
            let last = range.start + (whole.length - 1) / most * most;
            self.check(&piece(range.start..range.start + most))?;
            self.check(&piece(last..range.end))?;
        }
        Ok(split(range, most).map(piece))
    }

    /// Changes a range whose ends lie within blocks: these are read, changed and written back; what lies between
    /// is done as it is.
    ///
    /// One such change at a time: the middle of one may be the edge of another.
    fn with_edges(
        &self,
        range: &Range<u64>,
        command: Command,
        change: impl Fn(&Range<u64>, &mut [u8]),
        middle: impl FnOnce(Command) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let block = self.block();
        let flags = command.flags & CommandFlags::FUA;
        let edge = |edge: Range<u64>| -> Result<(), Error> {
            if edge.is_empty() {
                return Ok(());
            }
            let whole = outward(&edge, block);
            let mut bytes = vec![0; (whole.end - whole.start) as usize];
            self.read_pieces(&mut bytes, whole.start, CommandFlags::empty())?;
            let from = (edge.start - whole.start) as usize;
            change(&edge, &mut bytes[from..from + (edge.end - edge.start) as usize]);
            self.write_pieces(&bytes, whole.start, flags)
        };
        let inner = inward(range, block);
        let command = Command { offset: inner.start, length: inner.end - inner.start, ..command };
        self.check_edges(range, command)?;
        let _alone = lock(&self.facts.padding);
        if inner.is_empty() {
            return edge(range.clone());
        }
        edge(range.start..inner.start)?;
        middle(command)?;
        edge(inner.end..range.end)
    }

    /// Refuses what would be refused half-way.
    fn check_edges(&self, range: &Range<u64>, middle: Command) -> Result<(), Error> {
        let block = self.block();
        let whole = outward(range, block);
        let edge = Command::write(whole.start, block).with_flags(middle.flags & CommandFlags::FUA);
        self.check(&edge)?;
        self.check(&Command { offset: whole.end.saturating_sub(block), ..edge })?;
        if middle.length > 0 {
            // What is too long is cut, unless that is not wanted.
            let length = if self.facts.oversize == Oversize::Split { block } else { middle.length };
            self.check(&Command { length, ..middle })?;
        }
        Ok(())
    }

    fn check(&self, command: &Command) -> Result<(), Refused> {
        command.check(&self.facts.negotiated, self.facts.checks)
    }

    /// Sends a command, and waits for its end.
    fn execute(
        &self,
        command: Command,
        contexts: Option<&[ContextId]>,
        buffer: Buffer<'_>,
    ) -> Result<Vec<ContextExtents>, Error> {
        match &self.link {
            Link::Plain(shared) => shared.execute(command, contexts, buffer),
            Link::Surviving(survivor) => survivor.execute(command, contexts, buffer),
        }
    }
}

fn lock(mutex: &Mutex<()>) -> MutexGuard<'_, ()> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
