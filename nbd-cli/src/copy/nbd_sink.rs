//! An export as a destination.

use std::collections::{HashMap, VecDeque};

use anyhow::bail;
use nbd_driver_std::{Client, Completion, Error, Interrupted, Interrupter, Queue, Ticket};
use nbd_proto::transmission::Command;
use nbd_proto::wire::flags::{CommandFlags, TransmissionFlags};
use nbd_proto::wire::number::CommandType;

use super::destination::ZeroPolicy;
use super::pipeline::{Intake, Next, Piece};
use super::zeroes::runs;

/// How many zeroes are sent at once where they have to be sent.
const ZERO_PAYLOAD: u64 = 256 << 10;

pub(crate) struct NbdSink {
    client: Client,
    name: String,
    queue: Queue,
    zeroes: ZeroPolicy,
    flush: bool,
    /// Whether the server makes zeroes itself. Some offer it and then refuse.
    makes_zeroes: bool,
    /// What is to be sent next.
    ready: VecDeque<Request>,
    in_flight: HashMap<Ticket, Request>,
    /// Pieces of which a part is not there yet, by their offsets.
    pieces: HashMap<u64, Share>,
}

/// What is left of a piece.
struct Share {
    requests: usize,
    length: u64,
    buffer: Vec<u8>,
}

struct Request {
    /// The piece that it belongs to.
    piece: u64,
    offset: u64,
    length: u64,
    what: What,
}

enum What {
    /// These bytes. They are with the queue while the request is in flight.
    Data(Vec<u8>),
    /// Zeroes, made by the server.
    Zeroes,
    /// Zeroes, sent like data: so many at a time. The buffer is with the queue while a part is in flight.
    SentZeroes(Vec<u8>),
}

impl NbdSink {
    pub(crate) fn new(client: Client, name: String, zeroes: ZeroPolicy, flush: bool) -> Self {
        Self {
            queue: client.queue(),
            makes_zeroes: client.offers(TransmissionFlags::SEND_WRITE_ZEROES),
            client,
            name,
            zeroes,
            flush,
            ready: VecDeque::new(),
            in_flight: HashMap::new(),
            pieces: HashMap::new(),
        }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn interrupter(&self) -> Interrupter {
        self.queue.interrupter()
    }

    pub(crate) fn skips_zeroes(&self) -> bool {
        self.zeroes.skip
    }

    /// Whether zeroes are made by the server, however many.
    pub(crate) fn makes_zeroes(&self) -> bool {
        self.makes_zeroes
    }

    /// Zeroes within data are worth nothing where they have to be sent like data.
    fn grain(&self) -> Option<u64> {
        self.zeroes.grain.filter(|_| self.makes_zeroes || self.zeroes.skip)
    }

    /// Waits for the source only when nothing is in flight here.
    pub(crate) fn run(mut self, intake: &Intake) -> anyhow::Result<()> {
        loop {
            self.submit(intake)?;
            let next = if !self.ready.is_empty() {
                Next::Nothing
            } else if self.in_flight.is_empty() {
                intake.wait().map_or(Next::End, Next::Piece)
            } else {
                intake.now()
            };
            match next {
                Next::Piece(piece) => self.take(piece, intake)?,
                Next::End if self.in_flight.is_empty() => break,
                Next::Nothing | Next::End => match self.queue.wait_or_interrupt() {
                    Ok(Some(completion)) => self.finish(completion, intake)?,
                    Err(Interrupted) => {}
                    Ok(None) => bail!("{}: the answers to {} requests are missing", self.name, self.in_flight.len()),
                },
            }
        }
        if self.flush && self.client.offers(TransmissionFlags::SEND_FLUSH) {
            self.client
                .flush()
                .map_err(|error| anyhow::Error::from(error).context(format!("flushing {}", self.name)))?;
        }
        // Everything has been answered: how the server says goodbye changes nothing.
        if let Err(error) = self.client.shutdown() {
            tracing::debug!(%error, "saying goodbye");
        }
        Ok(())
    }

    /// Makes requests of a piece.
    fn take(&mut self, piece: Piece, intake: &Intake) -> anyhow::Result<()> {
        let Piece { offset, length, zero, buffer } = piece;
        if length > self.client.size().saturating_sub(offset) {
            let size = self.client.size();
            bail!("{}: the source does not end, but the destination does, after {size} bytes", self.name);
        }
        let runs = if zero { Vec::new() } else { runs(&buffer, offset, self.grain()) };
        let mut share = Share { requests: 0, length, buffer: Vec::new() };
        let mut ask = |offset, length, what| {
            share.requests += 1;
            self.ready.push_back(Request { piece: piece.offset, offset, length, what });
        };
        match &runs[..] {
            [run] if !run.zero => ask(offset, length, What::Data(buffer)),
            [] => {
                if !self.zeroes.skip {
                    ask(offset, length, What::Zeroes);
                }
                share.buffer = buffer;
            }
            runs => {
                // Each run of data needs memory of its own; that of the whole piece goes instead.
                for run in runs {
                    let at = offset + run.range.start as u64;
                    let length = run.range.len() as u64;
                    if !run.zero {
                        ask(at, length, What::Data(buffer[run.range.clone()].to_vec()));
                    } else if !self.zeroes.skip {
                        ask(at, length, What::Zeroes);
                    }
                }
            }
        }
        if share.requests == 0 {
            intake.finished(length, share.buffer);
        } else {
            self.pieces.insert(offset, share);
        }
        Ok(())
    }

    /// Sends what is ready, as far as there is room.
    fn submit(&mut self, intake: &Intake) -> anyhow::Result<()> {
        while let Some(mut request) = self.ready.pop_front() {
            if matches!(request.what, What::Zeroes) && !self.makes_zeroes {
                request.what = What::SentZeroes(Vec::new());
            }
            let block = u64::from(self.client.negotiated().minimum_block());
            if request.offset % block != 0 || request.length % block != 0 {
                self.pad(request, intake)?;
                continue;
            }
            let (command, buffer) = match &mut request.what {
                What::Data(data) => (Command::write(request.offset, request.length), std::mem::take(data)),
                What::Zeroes => (self.zero_command(&request), Vec::new()),
                What::SentZeroes(buffer) => {
                    let mut buffer = std::mem::take(buffer);
                    buffer.resize(request.length.min(self.zero_payload()) as usize, 0);
                    (Command::write(request.offset, buffer.len() as u64), buffer)
                }
            };
            match self.queue.submit(command, buffer) {
                Ok(ticket) => drop(self.in_flight.insert(ticket, request)),
                Err(rejected) if rejected.is_full() && !self.in_flight.is_empty() => {
                    request.what.give_back(rejected.buffer);
                    self.ready.push_front(request);
                    break;
                }
                Err(rejected) => return Err(self.failed(rejected.error, &command)),
            }
        }
        Ok(())
    }

    fn zero_command(&self, request: &Request) -> Command {
        let flags = if self.zeroes.allocate { CommandFlags::NO_HOLE } else { CommandFlags::empty() };
        Command { command: CommandType::WRITE_ZEROES, flags, offset: request.offset, length: request.length }
    }

    /// As many as the server takes, in whole blocks.
    fn zero_payload(&self) -> u64 {
        let block = u64::from(self.client.negotiated().minimum_block());
        let most = ZERO_PAYLOAD.min(self.client.negotiated().maximum_payload().into());
        (most - most % block).max(block)
    }

    /// The end of a disk that is not whole blocks: once in a copy, so it may take its time.
    fn pad(&mut self, request: Request, intake: &Intake) -> anyhow::Result<()> {
        let Request { piece, offset, length, what } = request;
        let (command, result, buffer) = match what {
            What::Data(data) => (Command::write(offset, length), self.client.write_at(&data, offset), data),
            What::Zeroes => {
                let command = self.zero_command(&Request { piece, offset, length, what: What::Zeroes });
                (command, self.client.write_zeroes_with(offset, length, command.flags), Vec::new())
            }
            What::SentZeroes(mut buffer) => {
                let block = u64::from(self.client.negotiated().minimum_block());
                let part = length.min(self.zero_payload());
                buffer.resize(part as usize, 0);
                let result = self.client.write_at(&buffer, offset);
                if result.is_ok() && part < length {
                    let what = What::SentZeroes(buffer);
                    self.ready.push_front(Request { piece, offset: offset + part, length: length - part, what });
                    debug_assert!(part % block == 0, "the rest begins with a block");
                    return Ok(());
                }
                (Command::write(offset, part), result, buffer)
            }
        };
        match result {
            Ok(()) => {
                self.part_done(piece, buffer, intake);
                Ok(())
            }
            Err(error) => Err(self.failed(error, &command)),
        }
    }

    /// Does what follows from the end of a request.
    fn finish(&mut self, completion: Completion, intake: &Intake) -> anyhow::Result<()> {
        let Some(request) = self.in_flight.remove(&completion.ticket) else {
            bail!("{}: an answer to an unknown request", self.name);
        };
        let Request { piece, offset, length, what } = request;
        match (what, completion.result) {
            (What::Zeroes, Err(Error::Command(error))) => {
                // What it does not make can still be sent; if it takes no data either, that is the error to tell.
                tracing::debug!(%error, "zeroes are sent from now on");
                self.makes_zeroes = false;
                self.ready.push_back(Request { piece, offset, length, what: What::Zeroes });
            }
            (_, Err(error)) => return Err(self.failed(error, &completion.command)),
            (What::SentZeroes(_), Ok(())) if completion.command.length < length => {
                let sent = completion.command.length;
                let what = What::SentZeroes(completion.buffer);
                self.ready.push_front(Request { piece, offset: offset + sent, length: length - sent, what });
            }
            (_, Ok(())) => self.part_done(piece, completion.buffer, intake),
        }
        Ok(())
    }

    fn part_done(&mut self, piece: u64, buffer: Vec<u8>, intake: &Intake) {
        let Some(share) = self.pieces.get_mut(&piece) else { return };
        share.requests -= 1;
        if buffer.capacity() > share.buffer.capacity() {
            share.buffer = buffer;
        }
        if share.requests == 0 {
            if let Some(share) = self.pieces.remove(&piece) {
                intake.finished(share.length, share.buffer);
            }
        }
    }

    fn failed(&self, error: Error, command: &Command) -> anyhow::Error {
        anyhow::Error::from(error).context(format!("writing to {} at byte {}", self.name, command.offset))
    }
}

impl What {
    fn give_back(&mut self, bytes: Vec<u8>) {
        match self {
            Self::Data(buffer) | Self::SentZeroes(buffer) => *buffer = bytes,
            Self::Zeroes => {}
        }
    }
}
