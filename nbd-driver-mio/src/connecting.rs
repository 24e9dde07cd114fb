//! The client's way from a stream to a finished handshake.

use std::io::{ErrorKind, IoSlice, IoSliceMut};
use std::time::{Duration, Instant};

use mio::event::{Event, Source};
use mio::{Interest, Registry, Token};
use nbd_proto::error::{Ended, Error as Over};
use nbd_proto::handshake::{Connect, ConnectSettings, Flow, Status};

use crate::channel::{BOTH, Channel};
use crate::client::{Client, ClientOptions};
use crate::error::Error;
use crate::scratch::{Intake, Rest, Scratch};
use crate::socket::Socket;
use crate::stream::Stream;
use crate::turn::{Share, Turn};

/// How long a connection may take to be made. `None`: for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectTimeouts {
    /// Until the other side has accepted. Default 10 seconds.
    pub connect: Option<Duration>,
    /// In the handshake, without a byte from the server. Default 5 seconds.
    pub idle: Option<Duration>,
    /// For the whole handshake, from when the other side has accepted. Default 30 seconds.
    pub handshake: Option<Duration>,
}

impl Default for ConnectTimeouts {
    fn default() -> Self {
        let seconds = |count| Some(Duration::from_secs(count));
        Self { connect: seconds(10), idle: seconds(5), handshake: seconds(30) }
    }
}

/// A client connection on its way: the stream may still be connecting, then the handshake goes on.
///
/// ```text
///                  accepted                 the flow is Ready or Closed, and all is sent
///   AwaitAccept ─────────────▶ Handshake ───────────────────────────────────────────────▶ Turn::Over
///        │                         │                                                finish, into_client
///        └─────────────────────────┴──────▶ failed: Err from `turn`, for good
///              refused, too late, a broken rule, end of stream
/// ```
///
/// Register it (as a mio [`Source`]), hand its events to [`ready`](Self::ready), and give it a [`turn`](Self::turn) after
/// each, at its [`deadline`](Self::deadline), and once at the beginning. At [`Turn::Over`], [`into_client`](Self::into_client)
/// goes on with the same registration.
///
/// The flow is [`Connect`], which reaches an export; or [`List`](nbd_proto::handshake::List), which asks what a server has.
#[derive(Debug)]
pub struct Connecting<F: Flow = Connect, S: Stream = Socket> {
    channel: Channel<S>,
    rest: Rest,
    flow: F,
    out: Vec<u8>,
    timeouts: ConnectTimeouts,
    stage: Stage,
    /// When the stage began.
    since: Instant,
    /// When the server was last heard.
    heard: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    AwaitAccept,
    Handshake,
    Over,
    Failed,
}

impl<S: Stream> Connecting<Connect, S> {
    /// A connection to an export, over a stream that is connected or being connected.
    pub fn new(stream: S, settings: ConnectSettings, timeouts: ConnectTimeouts, now: Instant) -> Self {
        Self::with_flow(stream, Connect::new(settings), timeouts, now)
    }

    /// The connection, for requests. An error unless a turn ended with [`Turn::Over`].
    pub fn into_client(mut self, options: ClientOptions) -> Result<Client<S>, Error> {
        self.is_over()?;
        Ok(Client::new(self.flow.finish()?, self.channel, self.rest, options))
    }
}

impl<F: Flow, S: Stream> Connecting<F, S> {
    /// The same for any flow: one to [`List`](nbd_proto::handshake::List) what there is, or a
    /// [`Connect`] that is observed.
    pub fn with_flow(stream: S, flow: F, timeouts: ConnectTimeouts, now: Instant) -> Self {
        Self {
            channel: Channel::new(stream),
            rest: Rest::default(),
            flow,
            out: Vec::new(),
            timeouts,
            stage: Stage::AwaitAccept,
            since: now,
            heard: now,
        }
    }

    /// Takes note of a readiness event for it. A [`turn`](Self::turn) is due.
    pub fn ready(&mut self, event: &Event) {
        self.channel.ready(event);
    }

    /// The same for loops whose readiness does not come from mio: the stream may now have something to receive, or room
    /// to send, or has broken, which is both. Tell it after each [`WouldBlock`](std::io::ErrorKind::WouldBlock) of the
    /// stream, once that is over; `false` takes nothing back. A [`turn`](Self::turn) is due.
    pub const fn set_ready(&mut self, readable: bool, writable: bool) {
        self.channel.set_ready(readable, writable);
    }

    /// When a turn is due though nothing has happened. May change with each turn.
    pub fn deadline(&self) -> Option<Instant> {
        self.limit().map(|(at, _, _)| at)
    }

    /// The next deadline, what is late by then, and what it is counted from.
    fn limit(&self) -> Option<(Instant, &'static str, Duration)> {
        // What is too far away to be told is never.
        let after = |from: Instant, step, limit: Option<Duration>| {
            limit.and_then(|limit| Some((from.checked_add(limit)?, step, limit)))
        };
        match self.stage {
            Stage::AwaitAccept => after(self.since, "connecting", self.timeouts.connect),
            Stage::Handshake => {
                let idle = after(self.heard, "the handshake", self.timeouts.idle);
                let whole = after(self.since, "the handshake", self.timeouts.handshake);
                [idle, whole].into_iter().flatten().min_by_key(|(at, _, _)| *at)
            }
            Stage::Over | Stage::Failed => None,
        }
    }

    /// Does what can be done now. After an error the connection is to be dropped: each further turn is one, too.
    ///
    /// [`Turn::Over`] means that the handshake has ended well: see [`finish`](Self::finish).
    pub fn turn(&mut self, scratch: &mut Scratch, now: Instant) -> Result<Turn, Error> {
        match self.stage {
            Stage::Over => return Ok(Turn::Over),
            Stage::Failed => {
                let reason = "it has failed before".to_owned();
                return Err(Over::from(Ended::GivenUp { reason }).into());
            }
            Stage::AwaitAccept | Stage::Handshake => {}
        }
        let result = self.advance(scratch, now);
        if result.is_err() {
            self.stage = Stage::Failed;
        }
        result
    }

    fn advance(&mut self, scratch: &mut Scratch, now: Instant) -> Result<Turn, Error> {
        if self.stage == Stage::AwaitAccept && self.accepted()? {
            self.stage = Stage::Handshake;
            (self.since, self.heard) = (now, now);
        }
        let mut turn = Turn::Wait;
        if self.stage == Stage::Handshake {
            let mut intake = scratch.take_up(&mut self.rest);
            let result = self.talk(&mut intake, now);
            self.rest.put_by(intake.bytes());
            turn = result.inspect_err(|_| self.farewell())?;
        }
        match self.limit() {
            Some((at, step, after)) if turn == Turn::Wait && at <= now => Err(Error::Timeout { step, after }),
            _ => Ok(turn),
        }
    }

    fn accepted(&mut self) -> Result<bool, Error> {
        self.channel.stream.is_connected().map_err(|error| Error::io("connecting", error))
    }

    fn talk(&mut self, intake: &mut Intake<'_>, now: Instant) -> Result<Turn, Error> {
        let (mut inward, mut outward) = (Share::WHOLE, Share::WHOLE);
        loop {
            self.parse(intake)?;
            match self.flow.status() {
                Status::SwitchToTls => return Err(Error::Unsupported("TLS is not supported yet")),
                Status::Ready | Status::Closed if self.out.is_empty() => {
                    self.stage = Stage::Over;
                    return Ok(Turn::Over);
                }
                _ => {}
            }
            let mut moved = self.send(&mut outward)?;
            moved |= self.receive(intake, &mut inward, now)?;
            if !moved {
                let blocked = !inward.is_left() || !outward.is_left();
                return Ok(if blocked { Turn::Again } else { Turn::Wait });
            }
        }
    }

    fn parse(&mut self, intake: &mut Intake<'_>) -> Result<(), Error> {
        loop {
            match self.flow.input(intake.bytes(), &mut self.out)? {
                0 => return Ok(()),
                consumed => intake.consume(consumed),
            }
        }
    }

    /// Sends what there is room for. Says whether anything came of it.
    fn send(&mut self, share: &mut Share) -> Result<bool, Error> {
        if self.out.is_empty() || !share.is_left() {
            return Ok(false);
        }
        match self.channel.send(&[IoSlice::new(&self.out)]) {
            Ok(None) => return Ok(false),
            Ok(Some(count)) => {
                share.used(count);
                self.out.drain(..count.min(self.out.len()));
            }
            // The other side may have said why before it hung up: what it sent is read first.
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                self.out.clear();
            }
            Err(error) => return Err(Error::io("sending to the server", error)),
        }
        Ok(true)
    }

    /// Receives what is there. Says whether anything came of it.
    fn receive(&mut self, intake: &mut Intake<'_>, share: &mut Share, now: Instant) -> Result<bool, Error> {
        let ended = matches!(self.flow.status(), Status::Ready | Status::Closed);
        if ended || !share.is_left() {
            return Ok(false);
        }
        let received = self.channel.receive(&mut [IoSliceMut::new(intake.room())]);
        match received.map_err(|error| Error::io("receiving from the server", error))? {
            None => return Ok(false),
            Some(0) => return Err(self.flow.eof().into()),
            Some(count) => {
                share.used(count);
                intake.received(count);
                self.heard = now;
            }
        }
        Ok(true)
    }

    /// Sends a last courtesy, as far as it goes without waiting.
    fn farewell(&mut self) {
        if !self.out.is_empty() {
            // The connection is over either way.
            let _ = self.channel.send(&[IoSlice::new(&self.out)]);
        }
    }

    /// The flow may be ready while some of it is not sent.
    fn is_over(&mut self) -> Result<(), Error> {
        match self.stage {
            Stage::Over => Ok(()),
            _ => Err(self.flow.give_up("the handshake is not finished").into()),
        }
    }

    /// What the handshake has ended in. An error unless a turn ended with [`Turn::Over`]; the stream is closed.
    pub fn finish(mut self) -> Result<F::Output, Error> {
        self.is_over()?;
        Ok(self.flow.finish()?)
    }

    /// The same, with the stream, and bytes that came behind the handshake: for those who drive the next phase
    /// themselves, or hand the connection to the kernel. The stream is registered as it was.
    pub fn into_parts(mut self) -> Result<(F::Output, S, Vec<u8>), Error> {
        self.is_over()?;
        Ok((self.flow.finish()?, self.channel.stream, self.rest.into_bytes()))
    }
}

/// Listens for both directions, whatever interest is named.
impl<F: Flow, S: Stream> Source for Connecting<F, S> {
    fn register(&mut self, registry: &Registry, token: Token, _: Interest) -> std::io::Result<()> {
        self.channel.stream.register(registry, token, BOTH)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, _: Interest) -> std::io::Result<()> {
        self.channel.stream.reregister(registry, token, BOTH)
    }

    fn deregister(&mut self, registry: &Registry) -> std::io::Result<()> {
        self.channel.stream.deregister(registry)
    }
}
