//! The server's way from a stream to a finished handshake.

use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::time::{Duration, Instant};

use mio::event::{Event, Source};
use mio::{Interest, Registry, Token};
use nbd_proto::error::{Ended, Error as Over};
use nbd_proto::handshake::{
    LookUp, Offer, ServerHandshake, ServerHandshakeEvent, ServerHandshakeSettings, ServerStatus,
};
use nbd_proto::observe::Observer;
use nbd_proto::text::Escaped;
use nbd_proto::wire::number::{OptionCode, ReplyType};

use crate::channel::{BOTH, Channel};
use crate::error::{Error, Seconds};
use crate::scratch::{Intake, Rest, Scratch};
use crate::server::{Server, ServerOptions};
use crate::socket::Socket;
use crate::stream::Stream;
use crate::turn::{Share, Turn};

/// As long as this much is still to be sent, in bytes, nothing more is answered: a client that only asks would
/// fill memory.
const ENOUGH: usize = 64 * 1024;

/// What a client wants to know, that only the caller can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// The names of all exports: answer with [`list`](Accepting::list), or [`refuse`](Accepting::refuse).
    List,
    /// An export: answer with [`offer`](Accepting::offer), or [`refuse`](Accepting::refuse).
    LookUp {
        /// What it is for: `GO` and `EXPORT_NAME` enter the transmission phase. An oldstyle client, who cannot ask, is
        /// shown as `EXPORT_NAME` too.
        option: OptionCode,
        /// The name, not escaped; empty for the default export.
        name: String,
        /// Whether the client promises to keep the block sizes that it is told.
        asks_block_sizes: bool,
    },
}

/// A client on its way to an export of ours.
///
/// ```text
///                        a question: list, offer, refuse
///                    ┌──────────────┐
///                    ▼              │
///   AwaitOption ─────┴── turn ──────┘
///        │       the client entered an export, or said goodbye, and all is sent
///        ├───────────────────────────────────────────────────────────────────▶ Turn::Over: into_server
///        │       a broken rule, end of stream, too late
///        └───────────────────────────────────────────────────────────────────▶ failed: Err from `turn`, for good
/// ```
///
/// Register it (as a mio [`Source`]), hand its events to [`ready`](Self::ready), and give it a [`turn`](Self::turn) after
/// each, at its [`deadline`](Self::deadline), once at the beginning, and after an answer. After each turn, answer the
/// [`question`](Self::question), if there is one: now or later; until then the client waits.
#[derive(Debug)]
pub struct Accepting<S: Stream = Socket> {
    channel: Channel<S>,
    rest: Rest,
    engine: ServerHandshake,
    question: Option<Question>,
    out: Vec<u8>,
    timeout: Option<Duration>,
    started: Instant,
    /// Whether a turn has said that it is over, or failed.
    ended: bool,
}

impl<S: Stream> Accepting<S> {
    /// A client that has just connected. `timeout` is for the whole handshake; `None`: for ever, which leaves an idle
    /// client in place.
    pub fn new(stream: S, settings: ServerHandshakeSettings, timeout: Option<Duration>, now: Instant) -> Self {
        let mut out = Vec::new();
        let engine = ServerHandshake::new(settings, &mut out);
        let (channel, rest) = (Channel::new(stream), Rest::default());
        Self { channel, rest, engine, question: None, out, timeout, started: now, ended: false }
    }

    /// Shows every step to `observer` from now on.
    pub fn set_observer(&mut self, observer: Option<Box<dyn Observer>>) {
        self.engine.set_observer(observer);
    }

    /// What awaits an answer.
    pub const fn question(&self) -> Option<&Question> {
        self.question.as_ref()
    }

    /// Answers a look-up.
    pub fn offer(&mut self, offer: &Offer) -> Result<(), Error> {
        self.engine.offer(offer, &mut self.out)?;
        self.question = None;
        Ok(())
    }

    /// Answers a list: with name and description of each export.
    pub fn list<'n>(&mut self, exports: impl IntoIterator<Item = (&'n str, &'n str)>) -> Result<(), Error> {
        self.engine.list(exports, &mut self.out)?;
        self.question = None;
        Ok(())
    }

    /// Refuses to answer, with words for people. Which replies fit is told by
    /// [`ServerHandshake::refuse`].
    pub fn refuse(&mut self, reply: ReplyType, message: &str) -> Result<(), Error> {
        self.engine.refuse(reply, message, &mut self.out)?;
        self.question = None;
        Ok(())
    }

    /// Answers the question, if there is one, from a table of exports by name: for servers that know all at once. Says
    /// whether there was one; then a turn is due.
    pub fn answer_from(&mut self, exports: &[(&str, Offer)]) -> Result<bool, Error> {
        match self.question.clone() {
            None => return Ok(false),
            Some(Question::List) => {
                let described = |offer: &'_ Offer| offer.description.clone().unwrap_or_default();
                let listed: Vec<_> = exports.iter().map(|(name, offer)| (*name, described(offer))).collect();
                self.list(listed.iter().map(|(name, words)| (*name, &words[..])))?;
            }
            Some(Question::LookUp { name, .. }) => match exports.iter().find(|(known, _)| *known == name) {
                Some((_, offer)) => self.offer(offer)?,
                None => {
                    let message = format!("there is no export \"{}\" here", Escaped(&name));
                    self.refuse(ReplyType::ERR_UNKNOWN, &message)?;
                }
            },
        }
        Ok(true)
    }

    /// The server is being shut down: every option from now on is answered so. A [`turn`](Self::turn) is due.
    pub fn begin_shutdown(&mut self) {
        self.engine.begin_shutdown();
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

    /// When a turn is due though nothing has happened; none once it is over, or has failed.
    pub fn deadline(&self) -> Option<Instant> {
        if self.ended { None } else { self.timeout.and_then(|timeout| self.started.checked_add(timeout)) }
    }

    /// Does what can be done now. After an error the connection is to be dropped.
    pub fn turn(&mut self, scratch: &mut Scratch, now: Instant) -> Result<Turn, Error> {
        let result = self.advance(scratch, now);
        self.ended |= matches!(result, Ok(Turn::Over) | Err(_));
        result
    }

    fn advance(&mut self, scratch: &mut Scratch, now: Instant) -> Result<Turn, Error> {
        let mut intake = scratch.take_up(&mut self.rest);
        let result = self.talk(&mut intake);
        self.rest.put_by(intake.bytes());
        if result.is_err() {
            // A last courtesy, as far as it goes without waiting; the connection is over either way.
            let _ = self.channel.send(&[IoSlice::new(&self.out)]);
        }
        let turn = result?;
        // Not only when nothing comes: some talk without end.
        if turn != Turn::Over && self.deadline().is_some_and(|at| at <= now) {
            let after = Seconds(self.timeout.unwrap_or(Duration::ZERO));
            return Err(self.engine.give_up(&format!("the handshake took longer than {after}")).into());
        }
        Ok(turn)
    }

    fn talk(&mut self, intake: &mut Intake<'_>) -> Result<Turn, Error> {
        let (mut inward, mut outward) = (Share::WHOLE, Share::WHOLE);
        loop {
            self.parse(intake)?;
            match self.engine.status() {
                ServerStatus::SwitchToTls => return Err(Error::Unsupported("TLS is not supported yet")),
                ServerStatus::Ready | ServerStatus::Closed if self.out.is_empty() => return Ok(Turn::Over),
                _ => {}
            }
            let mut moved = self.send(&mut outward)?;
            moved |= self.receive(intake, &mut inward)?;
            if !moved {
                let left = (self.wants_read() && self.channel.is_readable())
                    || (!self.out.is_empty() && self.channel.is_writable());
                return Ok(if left { Turn::Again } else { Turn::Wait });
            }
        }
    }

    fn wants_read(&self) -> bool {
        self.engine.status() == ServerStatus::NeedInput && self.out.len() < ENOUGH
    }

    /// Answers what has come, as far as the engine can by itself.
    fn parse(&mut self, intake: &mut Intake<'_>) -> Result<(), Error> {
        while self.out.len() < ENOUGH {
            let advance = self.engine.input(intake.bytes(), &mut self.out)?;
            let consumed = advance.consumed;
            match advance.event {
                Some(ServerHandshakeEvent::List) => self.question = Some(Question::List),
                Some(ServerHandshakeEvent::LookUp(LookUp { option, name, asks_block_sizes })) => {
                    self.question = Some(Question::LookUp { option, name: name.to_owned(), asks_block_sizes });
                }
                None if consumed == 0 => break,
                None => {}
            }
            intake.consume(consumed);
        }
        Ok(())
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
            // The client may have said goodbye, and not waited for the answer: what it sent is read first.
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                self.out.clear();
            }
            Err(error) => return Err(self.engine.give_up(&format!("sending to the client: {error}")).into()),
        }
        Ok(true)
    }

    /// Receives what is there. Says whether anything came of it.
    fn receive(&mut self, intake: &mut Intake<'_>, share: &mut Share) -> Result<bool, Error> {
        if !self.wants_read() || !share.is_left() {
            return Ok(false);
        }
        match self.channel.receive(&mut [IoSliceMut::new(intake.room())]) {
            Ok(None) => Ok(false),
            Ok(Some(0)) => Err(self.engine.eof().into()),
            Ok(Some(count)) => {
                share.used(count);
                intake.received(count);
                Ok(true)
            }
            Err(error) => Err(self.engine.give_up(&format!("receiving from the client: {error}")).into()),
        }
    }

    /// The connection, for requests; `None` if the client said goodbye. An error unless a turn ended with
    /// [`Turn::Over`].
    pub fn into_server(mut self, options: ServerOptions) -> Result<Option<Server<S>>, Error> {
        if !self.out.is_empty() {
            return Err(self.engine.give_up("the last answer of the handshake was not sent").into());
        }
        if self.engine.status() == ServerStatus::Closed {
            // A handshake that has failed is closed, too.
            return match self.engine.eof() {
                Over::Ended(Ended::ByUs) => Ok(None),
                error => Err(error.into()),
            };
        }
        Ok(Some(Server::new(self.engine.finish()?, self.channel, self.rest, options)))
    }
}

/// Listens for both directions, whatever interest is named.
impl<S: Stream> Source for Accepting<S> {
    fn register(&mut self, registry: &Registry, token: Token, _: Interest) -> io::Result<()> {
        self.channel.stream.register(registry, token, BOTH)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, _: Interest) -> io::Result<()> {
        self.channel.stream.reregister(registry, token, BOTH)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.channel.stream.deregister(registry)
    }
}
