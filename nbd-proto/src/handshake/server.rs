//! The server's side of the handshake.

mod answer;
mod contexts;
mod offer;
mod options;
mod question;
mod settings;

pub use offer::{Accepted, LookUp, Offer};
pub use settings::{ServerHandshakeSettings, ServerTls};

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use contexts::Selection;
use options::Skip;
use question::Question;

use super::{Advance, HandshakeStyle, Negotiated, ReplyStyle};
use crate::error::{Ended, Error, PeerMisbehaved, Refused, TlsUnavailable, Unavailable};
use crate::observe::{Hook, Observation, Observer};
use crate::wire::flags::{ClientFlags, HandshakeFlags};
use crate::wire::greeting::Greeting;
use crate::wire::number::{OptionCode, ReplyType};

/// What a [`ServerHandshake`] waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerStatus {
    /// Bytes from the client; or, where an event is due without, one call of `input`.
    NeedInput,
    /// The caller, to answer the last event.
    NeedAnswer,
    /// The driver, to do the TLS handshake on the same stream and call `tls_established`.
    SwitchToTls,
    /// Nothing: `finish` gives the result, and the next byte belongs to the transmission phase.
    Ready,
    /// Nothing: the client said goodbye, or an error ended the session. What is in `out` is still to be sent.
    Closed,
}

/// What a client wants that only the caller can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerHandshakeEvent<'a> {
    /// The names of all exports: answer with [`list`](ServerHandshake::list), or
    /// [`refuse`](ServerHandshake::refuse).
    List,
    /// An export: answer with [`offer`](ServerHandshake::offer), or [`refuse`](ServerHandshake::refuse).
    LookUp(LookUp<'a>),
}

/// The server's handshake engine: greets a client, then answers its options, one at a time.
///
/// ```text
///   oldstyle                                       offer
///   LookUpOldstyle ────────────────▶ AwaitAnswer ──────────────────▶ Ready
///                                                                      ▲
///   newstyle                                                           │
///   AwaitClientFlags                                                   │
///        │                                                             │
///        ▼         LIST, or about an export            offer, to GO or EXPORT_NAME
///   AwaitOption ───────────────────▶ AwaitAnswer ──────────────────────┘
///    │ ▲ ▲ ▲ ▲                            │ list, refuse, offer to another option
///    │ │ │ │ └────────────────────────────┘
///    │ │ │ │
///    │ │ │ └── STRUCTURED_REPLY, EXTENDED_HEADERS, what is malformed: answered at once
///    │ │ │
///    │ │ └─────────────────────────┐
///    ├─┼────────────────────▶ SkipOption ──▶ Closed
///    │ │  unknown, too long,               ABORT
///    │ │  not to be had now
///    │ │      tls_established
///    │ └─────────────────────────┐
///    └──────────────────────▶ SwitchToTls
///              STARTTLS
///
///   refuse, to EXPORT_NAME or oldstyle; an error, end of stream:   any ──▶ failed, for good
/// ```
///
/// Feed it with [`input`](Self::input), look at [`status`](Self::status); on [`ServerStatus::NeedAnswer`] call
/// [`offer`](Self::offer), [`list`](Self::list) or [`refuse`](Self::refuse), now or later: until then nothing more is
/// consumed.
///
/// What a call appends to `out` is bounded by the answer to one option. How much piles up there is the driver's
/// choice: it had better not call `input` while much of it is unsent, since a client can ask faster than it reads.
#[derive(Debug)]
pub struct ServerHandshake {
    settings: ServerHandshakeSettings,
    state: Result<State, Error>,
    /// Whether the last input ended inside a message.
    inside: bool,
    client: ClientFlags,
    tls: bool,
    shutting_down: bool,
    reply_style: ReplyStyle,
    selection: Selection,
    /// How many options have come.
    options: u32,
    hook: Hook,
}

#[derive(Debug)]
enum State {
    LookUpOldstyle,
    AwaitClientFlags,
    AwaitOption,
    SkipOption(Skip),
    AwaitAnswer(Question),
    SwitchToTls,
    Ready(Box<Negotiated>),
    Closed,
}

impl ServerHandshake {
    /// A handshake for a client that has just connected. Appends the greeting to `out`, unless the style is
    /// oldstyle: there an export has to be looked up first, and the first call of `input` says so.
    ///
    /// Settings that require TLS in a style without it serve nobody: then nothing is said, and the session is over
    /// with [`TlsUnavailable`].
    pub fn new(settings: ServerHandshakeSettings, out: &mut Vec<u8>) -> Self {
        let tls_required = settings.tls == ServerTls::Required;
        let state = match settings.style {
            HandshakeStyle::Oldstyle if tls_required => Err(Unavailable::Tls(TlsUnavailable::Oldstyle).into()),
            HandshakeStyle::Newstyle if tls_required => Err(Unavailable::Tls(TlsUnavailable::NotFixed).into()),
            HandshakeStyle::Oldstyle => Ok(State::LookUpOldstyle),
            HandshakeStyle::Newstyle | HandshakeStyle::FixedNewstyle => {
                Greeting::Newstyle(offered_flags(&settings)).emit(out);
                Ok(State::AwaitClientFlags)
            }
        };
        Self {
            settings,
            state,
            inside: false,
            client: ClientFlags::empty(),
            tls: false,
            shutting_down: false,
            reply_style: ReplyStyle::Simple,
            selection: Selection::default(),
            options: 0,
            hook: Hook::default(),
        }
    }

    /// Shows every step to `observer` from now on; and the greeting, if that is all that has happened so far.
    pub fn set_observer(&mut self, observer: Option<Box<dyn Observer>>) {
        self.hook = Hook(observer);
        if matches!(self.state, Ok(State::AwaitClientFlags)) {
            let greeting = Greeting::Newstyle(offered_flags(&self.settings));
            self.hook.observe(|| Observation::Greeting(greeting));
        }
    }

    /// What is waited for. Its answer may change after every call that takes `&mut self`.
    pub const fn status(&self) -> ServerStatus {
        match &self.state {
            Ok(State::AwaitAnswer(_)) => ServerStatus::NeedAnswer,
            Ok(State::SwitchToTls) => ServerStatus::SwitchToTls,
            Ok(State::Ready(_)) => ServerStatus::Ready,
            Ok(State::Closed) | Err(_) => ServerStatus::Closed,
            Ok(_) => ServerStatus::NeedInput,
        }
    }

    /// Whether TLS is up: whoever answers a [`ServerHandshakeEvent::List`] may leave out what is to be had inside TLS
    /// only.
    pub const fn is_tls(&self) -> bool {
        self.tls
    }

    /// The style of replies that has been agreed on so far. Whoever answers a look-up may hide contexts whose flags
    /// need more than 32 bits, or refuse with `ERR_EXT_HEADER_REQD`, unless it is [`ReplyStyle::Extended`] (spec,
    /// `NBD_OPT_SET_META_CONTEXT`).
    pub const fn reply_style(&self) -> ReplyStyle {
        self.reply_style
    }

    /// Takes bytes from the client, appends answers to `out`, and returns at most one event.
    ///
    /// What was not consumed is to be handed in again, with more behind it. While the caller or the driver is to act
    /// ([`NeedAnswer`](ServerStatus::NeedAnswer), [`SwitchToTls`](ServerStatus::SwitchToTls),
    /// [`Ready`](ServerStatus::Ready)) and when all is over, nothing is consumed; except that bytes which come while
    /// TLS is to begin are an error. After an error every call returns that error again.
    pub fn input<'a>(
        &mut self,
        input: &'a [u8],
        out: &mut Vec<u8>,
    ) -> Result<Advance<ServerHandshakeEvent<'a>>, Error> {
        let advance = match self.state {
            Err(ref error) => return Err(error.clone()),
            Ok(State::LookUpOldstyle) => self.look_up_oldstyle(),
            Ok(State::AwaitClientFlags) => self.client_flags(input),
            Ok(State::AwaitOption) => self.option(input, out),
            Ok(State::SkipOption(skip)) => Ok(Advance::quiet(self.skip(skip, input, out))),
            // "all further data MUST be sent and received over TLS" (spec, *FORCEDTLS mode*).
            Ok(State::SwitchToTls) if !input.is_empty() => Err(PeerMisbehaved::ClearTextBehindStartTls.into()),
            Ok(State::AwaitAnswer(_) | State::SwitchToTls | State::Ready(_) | State::Closed) => Ok(Advance::NOTHING),
        };
        match advance {
            Ok(advance) => {
                let waiting = self.status() == ServerStatus::NeedInput;
                // An empty input says nothing about bytes that were not consumed.
                if !input.is_empty() {
                    self.inside = waiting && advance.consumed < input.len();
                }
                Ok(advance)
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    /// TLS is up on the stream: everything agreed in clear is forgotten (spec, `NBD_OPT_STARTTLS`), and options are
    /// awaited anew. Refused unless the status is [`ServerStatus::SwitchToTls`].
    pub fn tls_established(&mut self) -> Result<(), Refused> {
        if !matches!(self.state, Ok(State::SwitchToTls)) {
            let reason = "no switch to TLS was agreed";
            return Err(Refused::Option { option: OptionCode::STARTTLS, reason });
        }
        self.tls = true;
        self.reply_style = ReplyStyle::Simple;
        self.selection = Selection::default();
        self.state = Ok(State::AwaitOption);
        self.hook.observe(|| Observation::TlsEstablished);
        Ok(())
    }

    /// The server is being shut down: from now on every option but `ABORT` is answered with `ERR_SHUTDOWN`, or ends
    /// the session where that cannot be said (spec, *Termination of the session during option haggling*). An event
    /// that awaits its answer can still be answered.
    pub const fn begin_shutdown(&mut self) {
        self.shutting_down = true;
    }

    /// The client closed the stream. Returns why that is an error, and every later call does; behind an `ABORT` it
    /// is [`Ended::ByUs`], the clean end.
    pub fn eof(&mut self) -> Error {
        let what = match &self.state {
            Err(error) => return error.clone(),
            Ok(State::LookUpOldstyle) => "the greeting",
            Ok(State::AwaitClientFlags) => "the answer to the greeting",
            Ok(State::AwaitOption | State::SkipOption(_)) => "an option",
            Ok(State::AwaitAnswer(_)) => "the answer to an option",
            Ok(State::SwitchToTls) => "the TLS handshake",
            Ok(State::Ready(_)) => "the first request",
            Ok(State::Closed) => return self.fail(Ended::ByUs.into()),
        };
        let inside = self.inside || matches!(self.state, Ok(State::SkipOption(_)));
        let ended = if inside { Ended::InMessage { within: what } } else { Ended::AtBoundary { awaiting: what } };
        self.fail(ended.into())
    }

    /// The driver gives the connection up. Returns the error to show, and every later call does.
    pub fn give_up(&mut self, reason: &str) -> Error {
        self.fail(Ended::GivenUp { reason: reason.to_owned() }.into())
    }

    /// The result, by value. An error unless the status is [`ServerStatus::Ready`]: the one that ended the handshake,
    /// or [`Ended::GivenUp`] where it was not over.
    pub fn finish(self) -> Result<Accepted, Error> {
        match self.state {
            Ok(State::Ready(negotiated)) => Ok(Accepted::new(*negotiated)),
            Ok(_) => Err(Ended::GivenUp { reason: "the handshake is not finished".to_owned() }.into()),
            Err(error) => Err(error),
        }
    }

    /// The first error stays.
    fn fail(&mut self, error: Error) -> Error {
        if let Err(first) = &self.state {
            return first.clone();
        }
        self.hook.observe(|| Observation::Fatal(&error));
        self.state = Err(error.clone());
        error
    }

    fn look_up_oldstyle<'a>(&mut self) -> Result<Advance<ServerHandshakeEvent<'a>>, Error> {
        self.ask_for_export("").map(|event| Advance::event(0, event))
    }

    fn client_flags<'a>(&mut self, input: &[u8]) -> Result<Advance<ServerHandshakeEvent<'a>>, Error> {
        let Some((flags, consumed)) = ClientFlags::parse(input) else { return Ok(Advance::NOTHING) };
        self.hook.observe(|| Observation::ClientFlags(flags));
        // "the server MUST drop the TCP connection if the client sets an unknown flag, or a flag that does not match
        // something advertised by the server" (spec, *Client flags*). Flags that match have the same bit.
        let (got, offered) = (flags.bits(), offered_flags(&self.settings).bits());
        if got & !u32::from(offered) != 0 {
            return Err(PeerMisbehaved::ClientFlags { got, offered }.into());
        }
        self.client = flags;
        if self.settings.tls == ServerTls::Required && !flags.contains(ClientFlags::FIXED_NEWSTYLE) {
            return Err(Unavailable::Tls(TlsUnavailable::ClientNotFixed).into());
        }
        self.state = Ok(State::AwaitOption);
        Ok(Advance::quiet(consumed))
    }

    /// The mode for this client: "The server MUST operate in NOTLS mode unless" both sides set the flag of fixed
    /// newstyle (spec, *Server-side requirements*). A client cannot set it unless the server did.
    fn tls_mode(&self) -> ServerTls {
        if self.client.contains(ClientFlags::FIXED_NEWSTYLE) { self.settings.tls } else { ServerTls::Off }
    }
}

/// What ends the session where hanging up is the only way to say no.
fn turned_away(name: String, reply: ReplyType, message: &str) -> Error {
    Unavailable::TurnedAway { name, reply, message: message.to_owned() }.into()
}

fn offered_flags(settings: &ServerHandshakeSettings) -> HandshakeFlags {
    let mut flags = HandshakeFlags::empty();
    flags.set(HandshakeFlags::FIXED_NEWSTYLE, settings.style == HandshakeStyle::FixedNewstyle);
    flags.set(HandshakeFlags::NO_ZEROES, settings.no_zeroes);
    flags
}
