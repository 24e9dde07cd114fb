//! The client's side of the handshake, one option at a time.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{Advance, ExportInfo, HandshakeStyle, MetaContext, Negotiated, ReplyStyle, Status, TlsPolicy};
use crate::error::{
    Ended, Error, Expected, Field, InvalidMessage, Message, PeerMisbehaved, Refusal, Refused, TlsUnavailable,
    Unavailable,
};
use crate::limits::{HandshakeLimits, MAX_STRING, MAX_UNKNOWN_REPLY};
use crate::observe::{Hook, Observation, Observer};
use crate::text::lossy;
use crate::wire::flags::{ClientFlags, HandshakeFlags, TransmissionFlags};
use crate::wire::greeting::{ExportFacts, Greeting};
use crate::wire::info::{BlockSizes, Info};
use crate::wire::number::{InfoType, OptionCode, ReplyType};
use crate::wire::option::{MetaContextRequest, OptionRequest};
use crate::wire::option_reply::{OptionReply, OptionReplyHeader};

/// What a [`ClientHandshake`] is told beforehand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandshakeSettings {
    /// Whether TLS is used. Default: off.
    pub tls: TlsPolicy,
    /// Bounds on what the server may send.
    pub limits: HandshakeLimits,
}

impl HandshakeSettings {
    /// Sets [`tls`](Self::tls).
    #[must_use]
    pub const fn with_tls(mut self, tls: TlsPolicy) -> Self {
        self.tls = tls;
        self
    }

    /// Sets [`limits`](Self::limits).
    #[must_use]
    pub const fn with_limits(mut self, limits: HandshakeLimits) -> Self {
        self.limits = limits;
        self
    }
}

/// What happened during a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandshakeEvent<'a> {
    /// The greeting is through. With an oldstyle server the handshake is [`Status::Ready`] by that.
    Opened(HandshakeStyle),
    /// An answer to the option under way that is not its last.
    Reply(OptionReply<'a>),
    /// The last answer: the option succeeded, or the server refused it. The next one can be chosen, unless
    /// [`Status::Ready`] says that this was the last. A `STARTTLS` that succeeds has no `Done`: what it brings is
    /// [`Status::SwitchToTls`].
    Done {
        /// The option.
        option: OptionCode,
        /// How it ended.
        outcome: Result<(), Refusal>,
    },
}

/// The client's handshake engine: opens the connection, then sends one option at a time as the caller chooses.
///
/// ```text
///                     oldstyle
///   AwaitGreeting ────────────────────────────────────────────▶ Ready
///        │ newstyle                                              ▲ ▲
///        ▼            EXPORT_NAME                                │ │
///      Choose ──────────────────────▶ AwaitExportFacts ──────────┘ │
///      ▲ ▲  │         another option                               │
///      │ │  └───────────────────────▶ AwaitOptionReply ────────────┘ GO acknowledged
///      │ └───────────────────────────────┘ │ │ ▲
///      │      last reply                   │ ▼ │ an information nobody knows
///      │                                   │ SkipInfo
///      │  tls_established                  │
///      └──────────────────── SwitchToTls ◀─┘ STARTTLS acknowledged
///
///   ABORT: Choose ──▶ Closed      an error, end of stream: any ──▶ failed, for good
/// ```
///
/// Feed it with [`input`](Self::input), look at [`status`](Self::status); on [`Status::Choose`] call
/// [`choose`](Self::choose).
#[derive(Debug)]
pub struct ClientHandshake {
    settings: HandshakeSettings,
    state: Result<State, Error>,
    /// Whether the last input ended inside a message.
    inside: bool,
    style: HandshakeStyle,
    no_zeroes: bool,
    tls: bool,
    reply_style: ReplyStyle,
    selection: Selection,
    asked: String,
    export: PendingExport,
    replies: u32,
    reply_bytes: u64,
    hook: Hook,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    AwaitGreeting,
    Choose,
    AwaitOptionReply(OptionCode),
    SkipInfo { option: OptionCode, remaining: u32 },
    AwaitExportFacts,
    SwitchToTls,
    Ready,
    Closed,
}

/// What the last `SET_META_CONTEXT` selected, and for which export.
#[derive(Debug, Default)]
struct Selection {
    export: String,
    /// The one query, if there was one and it can only select the context of that name.
    plain: Option<String>,
    contexts: Vec<MetaContext>,
}

/// What `INFO` or `GO` has told so far.
#[derive(Debug, Default)]
struct PendingExport {
    facts: Option<ExportFacts>,
    block_sizes: Option<BlockSizes>,
    canonical_name: Option<String>,
    description: Option<String>,
}

impl PendingExport {
    fn take(&mut self, info: &Info<'_>) {
        match info {
            Info::Export(facts) => self.facts = Some(*facts),
            Info::Name(name) => self.canonical_name = Some((*name).to_owned()),
            Info::Description(text) => self.description = Some(lossy(text)),
            Info::BlockSize(sizes) => self.block_sizes = Some(*sizes),
            Info::Unknown { .. } => {}
        }
    }
}

impl ClientHandshake {
    /// A handshake that has not seen a byte yet.
    pub fn new(settings: HandshakeSettings) -> Self {
        Self {
            settings,
            state: Ok(State::AwaitGreeting),
            inside: false,
            style: HandshakeStyle::Newstyle,
            no_zeroes: false,
            tls: false,
            reply_style: ReplyStyle::Simple,
            selection: Selection::default(),
            asked: String::new(),
            export: PendingExport::default(),
            replies: 0,
            reply_bytes: 0,
            hook: Hook::default(),
        }
    }

    /// Shows every step to `observer` from now on.
    pub fn set_observer(&mut self, observer: Option<Box<dyn Observer>>) {
        self.hook = Hook(observer);
    }

    /// What is waited for. Its answer may change after `input`, `choose`, `tls_established`, `eof` and
    /// `give_up`.
    pub const fn status(&self) -> Status {
        match &self.state {
            Ok(State::Choose) => Status::Choose,
            Ok(State::SwitchToTls) => Status::SwitchToTls,
            Ok(State::Ready) => Status::Ready,
            Ok(State::Closed) | Err(_) => Status::Closed,
            Ok(_) => Status::NeedInput,
        }
    }

    /// How the server opened the connection. Means nothing before [`HandshakeEvent::Opened`].
    pub const fn style(&self) -> HandshakeStyle {
        self.style
    }

    /// How replies would look if the transmission phase began now.
    pub const fn reply_style(&self) -> ReplyStyle {
        self.reply_style
    }

    /// Whether TLS is up.
    pub const fn is_tls(&self) -> bool {
        self.tls
    }

    /// What the last successful `INFO` told, or what the greeting, `GO` or `EXPORT_NAME` told once the status is
    /// [`Status::Ready`]. `None` before it, once another option was chosen, and after an error.
    pub fn export_info(&self) -> Option<ExportInfo> {
        let told = matches!(self.state, Ok(State::Choose | State::Ready));
        let facts = self.export.facts.filter(|_| told)?;
        Some(ExportInfo {
            size: facts.size,
            flags: facts.flags,
            block_sizes: self.export.block_sizes,
            canonical_name: self.export.canonical_name.clone(),
            description: self.export.description.clone(),
        })
    }

    /// The contexts that the last `SET_META_CONTEXT` selected: none while it is under way, or if it failed, and
    /// none after an error.
    pub fn contexts(&self) -> &[MetaContext] {
        match self.state {
            Ok(State::AwaitOptionReply(OptionCode::SET_META_CONTEXT)) | Err(_) => &[],
            _ => &self.selection.contexts,
        }
    }

    /// Takes bytes from the server, appends bytes for it to `out`, and returns at most one event.
    ///
    /// What was not consumed is to be handed in again, with more behind it. While the caller or the driver is
    /// to act (`Choose`, `SwitchToTls`, `Ready`), nothing is consumed; except that bytes which come while TLS
    /// is to begin are an error. After an error every call returns that error again.
    pub fn input<'a>(&mut self, input: &'a [u8], out: &mut Vec<u8>) -> Result<Advance<HandshakeEvent<'a>>, Error> {
        let state = self.state.clone()?;
        let advance = match state {
            State::AwaitGreeting => self.greeting(input, out),
            State::AwaitOptionReply(option) => self.option_reply(option, input, out),
            State::SkipInfo { option, remaining } => Ok(self.skip(option, remaining, input)),
            State::AwaitExportFacts => Ok(self.export_facts(input)),
            // "all further data MUST be sent and received over TLS" (spec, *FORCEDTLS mode*).
            State::SwitchToTls if !input.is_empty() => Err(PeerMisbehaved::ClearTextBehindStartTls.into()),
            State::SwitchToTls | State::Choose | State::Ready | State::Closed => Ok(Advance::NOTHING),
        };
        match advance {
            Ok(advance) => {
                let waiting = self.status() == Status::NeedInput;
                // An empty input says nothing about bytes that were not consumed.
                if !input.is_empty() {
                    self.inside = waiting && advance.event.is_none() && advance.consumed < input.len();
                }
                Ok(advance)
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    /// The server closed the stream. Returns why that is an error, and every later call does.
    pub fn eof(&mut self) -> Error {
        let state = match &self.state {
            Ok(state) => *state,
            Err(error) => return error.clone(),
        };
        let what = match state {
            State::AwaitGreeting => "the greeting",
            State::AwaitOptionReply(_) | State::SkipInfo { .. } => "an option reply",
            State::AwaitExportFacts if !self.inside => {
                let name = self.asked.clone();
                return self.fail(Unavailable::ExportNameRejected { name }.into());
            }
            State::AwaitExportFacts => "the answer to NBD_OPT_EXPORT_NAME",
            State::SwitchToTls => "the TLS handshake",
            State::Choose => "nothing (an option was to be chosen)",
            State::Ready => "the first request",
            State::Closed => return self.fail(Ended::ByUs.into()),
        };
        let inside = self.inside || matches!(state, State::SkipInfo { .. });
        let ended = if inside { Ended::InMessage { within: what } } else { Ended::AtBoundary { awaiting: what } };
        self.fail(ended.into())
    }

    /// The driver gives the connection up. Returns the error to show, and every later call does.
    pub fn give_up(&mut self, reason: &str) -> Error {
        match &self.state {
            Err(error) => error.clone(),
            Ok(_) => self.fail(Ended::GivenUp { reason: reason.to_owned() }.into()),
        }
    }

    /// Ends the attempt by this side's decision: appends a courtesy `ABORT` where the server can take one (R5).
    pub(super) fn leave(&mut self, error: Error, out: &mut Vec<u8>) -> Error {
        let haggling = matches!(self.state, Ok(State::Choose));
        if haggling && self.style == HandshakeStyle::FixedNewstyle {
            self.emit(&OptionRequest::Abort, out);
        }
        self.fail(error)
    }

    /// TLS is up: everything agreed in clear is forgotten (spec, `NBD_OPT_STARTTLS`), and options are to be
    /// chosen anew. Refused unless the status is [`Status::SwitchToTls`].
    pub fn tls_established(&mut self) -> Result<(), Refused> {
        if self.state != Ok(State::SwitchToTls) {
            let reason = "no switch to TLS was agreed";
            return Err(Refused::Option { option: OptionCode::STARTTLS, reason });
        }
        self.tls = true;
        self.reply_style = ReplyStyle::Simple;
        self.selection = Selection::default();
        self.export = PendingExport::default();
        self.state = Ok(State::Choose);
        self.hook.observe(|| Observation::TlsEstablished);
        Ok(())
    }

    /// What a flow does at [`tls_established`](Self::tls_established): there a refusal is the end.
    pub(super) fn switched_to_tls(&mut self) -> Result<(), Error> {
        self.tls_established().map_err(|refused| self.fail(local(&refused)))
    }

    /// Sends an option: appends it to `out`, and its replies are awaited. Refused unless the status is
    /// [`Status::Choose`] and the option legal there:
    ///
    /// - only `EXPORT_NAME` on a server that is not fixed newstyle;
    /// - before TLS is up where it is [required](TlsPolicy::Required): only `STARTTLS` and `ABORT`;
    /// - `STARTTLS` not once TLS is up, and not where TLS is [off](TlsPolicy::Off);
    /// - `EXPORT_NAME` not after extended headers were agreed;
    /// - `SET_META_CONTEXT` only after structured replies or extended headers were;
    /// - [`OptionRequest::Unknown`] only for options that have no form of their own;
    /// - no information asked for twice in one `INFO` or `GO`.
    ///
    /// `ABORT` ends the session: its reply is not awaited.
    pub fn choose(&mut self, request: &OptionRequest<'_>, out: &mut Vec<u8>) -> Result<(), Refused> {
        let option = request.option();
        self.check_legal(option).map_err(|reason| Refused::Option { option, reason })?;
        check_fields(request)?;
        self.export = PendingExport::default();
        self.replies = 0;
        let next = match request {
            OptionRequest::ExportName(name) => {
                (*name).clone_into(&mut self.asked);
                State::AwaitExportFacts
            }
            OptionRequest::Go(request) => {
                request.export.clone_into(&mut self.asked);
                State::AwaitOptionReply(option)
            }
            OptionRequest::SetMetaContext(request) => {
                self.selection = Selection::of(request);
                State::AwaitOptionReply(option)
            }
            OptionRequest::Abort => State::Closed,
            _ => State::AwaitOptionReply(option),
        };
        self.emit(request, out);
        self.state = Ok(next);
        Ok(())
    }

    /// The end of the handshake, by value. An error unless the status is [`Status::Ready`]: the one that ended the
    /// handshake, or [`Ended::GivenUp`] where it was not over.
    pub fn finish(self) -> Result<Negotiated, Error> {
        match (&self.state, self.export_info()) {
            (Ok(State::Ready), Some(info)) => {
                // Contexts count only for the export they were selected for, and only with chunks to carry them
                // (spec, `NBD_OPT_SET_META_CONTEXT`).
                let bound = self.selection.export == self.asked && self.reply_style != ReplyStyle::Simple;
                Ok(Negotiated {
                    export: self.asked,
                    info,
                    handshake_style: self.style,
                    reply_style: self.reply_style,
                    tls: self.tls,
                    contexts: if bound { self.selection.contexts } else { Vec::new() },
                    available_contexts: None,
                })
            }
            (Err(error), _) => Err(error.clone()),
            _ => Err(Ended::GivenUp { reason: "the handshake is not finished".to_owned() }.into()),
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

    fn emit<'a>(&mut self, request: &'a OptionRequest<'a>, out: &mut Vec<u8>) {
        request.emit(out);
        self.hook.observe(|| Observation::OptionRequest(request));
    }

    fn check_legal(&self, option: OptionCode) -> Result<(), &'static str> {
        if self.state != Ok(State::Choose) {
            return Err("no option is to be chosen now");
        }
        // "This is the only valid option in nonfixed newstyle negotiation" (spec, `NBD_OPT_EXPORT_NAME`).
        if self.style != HandshakeStyle::FixedNewstyle && option != OptionCode::EXPORT_NAME {
            return Err("the server is not fixed newstyle and takes NBD_OPT_EXPORT_NAME only");
        }
        let clear = self.settings.tls == TlsPolicy::Required && !self.tls;
        match option {
            OptionCode::ABORT => Ok(()),
            OptionCode::STARTTLS if self.tls => Err("TLS is in use already"),
            OptionCode::STARTTLS if self.settings.tls == TlsPolicy::Off => Err("TLS is turned off"),
            OptionCode::STARTTLS => Ok(()),
            _ if clear => Err("TLS is required and not in use yet"),
            OptionCode::EXPORT_NAME if self.reply_style == ReplyStyle::Extended => {
                Err("extended headers were agreed, which go with NBD_OPT_GO only")
            }
            OptionCode::SET_META_CONTEXT if self.reply_style == ReplyStyle::Simple => {
                Err("it needs structured replies or extended headers first")
            }
            _ => Ok(()),
        }
    }

    fn greeting<'a>(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Advance<HandshakeEvent<'a>>, Error> {
        let Some((greeting, consumed)) = Greeting::parse(input)? else { return Ok(Advance::NOTHING) };
        self.hook.observe(|| Observation::Greeting(greeting));
        let tls_required = self.settings.tls == TlsPolicy::Required;
        match greeting {
            Greeting::Oldstyle(_) if tls_required => {
                return Err(Unavailable::Tls(TlsUnavailable::Oldstyle).into());
            }
            Greeting::Oldstyle(facts) => {
                self.style = HandshakeStyle::Oldstyle;
                self.export.facts = Some(facts);
                self.state = Ok(State::Ready);
            }
            Greeting::Newstyle(offered) => {
                let fixed = offered.contains(HandshakeFlags::FIXED_NEWSTYLE);
                if tls_required && !fixed {
                    return Err(Unavailable::Tls(TlsUnavailable::NotFixed).into());
                }
                self.style = if fixed { HandshakeStyle::FixedNewstyle } else { HandshakeStyle::Newstyle };
                self.no_zeroes = offered.contains(HandshakeFlags::NO_ZEROES);
                let mut flags = ClientFlags::empty();
                flags.set(ClientFlags::FIXED_NEWSTYLE, fixed);
                flags.set(ClientFlags::NO_ZEROES, self.no_zeroes);
                flags.emit(out);
                self.hook.observe(|| Observation::ClientFlags(flags));
                self.state = Ok(State::Choose);
            }
        }
        Ok(Advance::event(consumed, HandshakeEvent::Opened(self.style)))
    }

    fn export_facts<'a>(&mut self, input: &[u8]) -> Advance<HandshakeEvent<'a>> {
        let Some((facts, consumed)) = ExportFacts::parse(input, self.no_zeroes) else { return Advance::NOTHING };
        self.hook.observe(|| Observation::ExportName(facts));
        self.export.facts = Some(facts);
        self.state = Ok(State::Ready);
        Advance::event(consumed, HandshakeEvent::Done { option: OptionCode::EXPORT_NAME, outcome: Ok(()) })
    }

    fn skip<'a>(&mut self, option: OptionCode, remaining: u32, input: &[u8]) -> Advance<HandshakeEvent<'a>> {
        let consumed = input.len().min(remaining as usize);
        let remaining = remaining - consumed as u32;
        self.state = Ok(match remaining {
            0 => State::AwaitOptionReply(option),
            _ => State::SkipInfo { option, remaining },
        });
        Advance::quiet(consumed)
    }

    fn option_reply<'a>(
        &mut self,
        option: OptionCode,
        input: &'a [u8],
        out: &mut Vec<u8>,
    ) -> Result<Advance<HandshakeEvent<'a>>, Error> {
        let Some((header, prefix)) = OptionReplyHeader::parse(input)? else { return Ok(Advance::NOTHING) };
        if header.option != option {
            return Err(PeerMisbehaved::WrongOption { asked: option, got: header.option }.into());
        }
        check_expected(option, header.reply)?;
        if header.reply.name().is_none() && header.length > MAX_UNKNOWN_REPLY {
            let expected = Expected::Between(0, u64::from(MAX_UNKNOWN_REPLY));
            let got = u64::from(header.length);
            return Err(InvalidMessage::Length { message: Message::OptionReply, expected, got }.into());
        }
        let body = &input[prefix..];
        let length = header.length as usize;
        if let Some(skipped) = self.unknown_info(&header, body)? {
            return Ok(skipped);
        }
        let Some(payload) = body.get(..length) else { return Ok(Advance::NOTHING) };
        self.count_reply(&header)?;
        let reply = OptionReply::parse(header.reply, payload)?;
        self.hook.observe(|| Observation::OptionReply { option, reply });
        let consumed = prefix + length;
        match reply {
            OptionReply::Ack => {
                self.acknowledged(option, input.len() > consumed)?;
                // No event for the agreement to TLS: clear text behind it is fatal in this very call if it came in
                // the same slice, and else in the next, so an event would depend on how the input was cut.
                let event = HandshakeEvent::Done { option, outcome: Ok(()) };
                Ok(Advance { consumed, event: Some(event).filter(|_| option != OptionCode::STARTTLS) })
            }
            OptionReply::Error { reply, message } => {
                let refusal = Refusal { option, reply, message: lossy(message) };
                self.refused(&refusal, out)?;
                Ok(Advance::event(consumed, HandshakeEvent::Done { option, outcome: Err(refusal) }))
            }
            reply => {
                self.collect(option, &reply)?;
                Ok(Advance::event(consumed, HandshakeEvent::Reply(reply)))
            }
        }
    }

    /// An information of a type nobody knows is skipped as it comes, so that its length costs nothing (O5).
    fn unknown_info<'a>(
        &mut self,
        header: &OptionReplyHeader,
        body: &[u8],
    ) -> Result<Option<Advance<HandshakeEvent<'a>>>, Error> {
        if header.reply != ReplyType::INFO {
            return Ok(None);
        }
        let Some(info) = body.first_chunk::<2>() else { return Ok(Some(Advance::NOTHING)) };
        let info = InfoType(u16::from_be_bytes(*info));
        if info.name().is_some() {
            check_known_info(info, u64::from(header.length))?;
            return Ok(None);
        }
        self.count_reply(header)?;
        let (option, length) = (header.option, header.length - 2);
        self.hook.observe(|| Observation::SkippedInfo { option, info, length });
        self.state = Ok(State::SkipInfo { option: header.option, remaining: header.length });
        Ok(Some(Advance::quiet(OptionReplyHeader::LENGTH)))
    }

    fn count_reply(&mut self, header: &OptionReplyHeader) -> Result<(), PeerMisbehaved> {
        let limits = self.settings.limits;
        let last = header.reply == ReplyType::ACK || header.reply.is_error();
        if !last && self.replies == limits.replies_per_option {
            return Err(PeerMisbehaved::TooManyReplies { option: header.option, limit: limits.replies_per_option });
        }
        self.replies += u32::from(!last);
        self.reply_bytes = self.reply_bytes.saturating_add(u64::from(header.length));
        if self.reply_bytes > limits.reply_bytes {
            return Err(PeerMisbehaved::TooManyReplyBytes { limit: limits.reply_bytes });
        }
        Ok(())
    }

    /// Keeps what an answer that is not the last tells about the session.
    fn collect(&mut self, option: OptionCode, reply: &OptionReply<'_>) -> Result<(), Error> {
        match (option, reply) {
            (OptionCode::INFO | OptionCode::GO, OptionReply::Info(info)) => self.export.take(info),
            (OptionCode::SET_META_CONTEXT, OptionReply::MetaContext { id, name }) => {
                if let Some(asked) = &self.selection.plain {
                    if asked != name {
                        let (asked, got) = (asked.clone(), (*name).to_owned());
                        return Err(PeerMisbehaved::WrongContext { asked, got }.into());
                    }
                    if !self.selection.contexts.is_empty() {
                        return Err(PeerMisbehaved::SeveralContexts { asked: asked.clone() }.into());
                    }
                }
                self.selection.contexts.push(MetaContext { id: *id, name: (*name).to_owned() });
            }
            _ => {}
        }
        Ok(())
    }

    fn acknowledged(&mut self, option: OptionCode, more_input: bool) -> Result<(), Error> {
        let next = match option {
            OptionCode::STARTTLS if more_input => return Err(PeerMisbehaved::ClearTextBehindStartTls.into()),
            OptionCode::STARTTLS => State::SwitchToTls,
            OptionCode::STRUCTURED_REPLY => {
                // Extended headers take precedence if both were agreed.
                if self.reply_style == ReplyStyle::Simple {
                    self.reply_style = ReplyStyle::Structured;
                }
                State::Choose
            }
            OptionCode::EXTENDED_HEADERS => {
                self.reply_style = ReplyStyle::Extended;
                State::Choose
            }
            OptionCode::SET_META_CONTEXT => {
                self.selection.check_ids()?;
                State::Choose
            }
            OptionCode::INFO | OptionCode::GO => {
                let Some(facts) = self.export.facts else {
                    return Err(PeerMisbehaved::AckBeforeExport { option }.into());
                };
                if !facts.flags.contains(TransmissionFlags::HAS_FLAGS) {
                    return Err(PeerMisbehaved::FlagsMissing { flags: facts.flags.bits() }.into());
                }
                if option == OptionCode::GO { State::Ready } else { State::Choose }
            }
            _ => State::Choose,
        };
        self.state = Ok(next);
        Ok(())
    }

    fn refused(&mut self, refusal: &Refusal, out: &mut Vec<u8>) -> Result<(), Error> {
        if refusal.option == OptionCode::SET_META_CONTEXT {
            // "Issuing this command replaces all previously-set metadata contexts (including when this command
            // fails)" (spec, `NBD_OPT_SET_META_CONTEXT`).
            self.selection = Selection::default();
        }
        self.export = PendingExport::default();
        // "The server MUST NOT send `NBD_REP_ERR_TLS_REQD` in reply to any option if TLS has already been
        // negotiated" (spec, *SELECTIVETLS mode*).
        if self.tls && refusal.reply == ReplyType::ERR_TLS_REQD {
            return Err(PeerMisbehaved::TlsRequiredInsideTls { option: refusal.option }.into());
        }
        self.state = Ok(State::Choose);
        // "If the client receives `NBD_REP_ERR_SHUTDOWN` it MUST initiate a soft disconnect" (spec, *Termination
        // of the session during option haggling*).
        if refusal.reply == ReplyType::ERR_SHUTDOWN {
            return Err(self.leave(Unavailable::Refused(refusal.clone()).into(), out));
        }
        Ok(())
    }
}

impl Selection {
    fn of(request: &MetaContextRequest<'_>) -> Self {
        // A query that ends in a colon is a wildcard, and what a query means in the experimental `x-` namespaces
        // is their own affair; any other can only select the context of that name (O9).
        let plain = match request.queries[..] {
            [query] if !query.ends_with(':') && !query.starts_with("x-") => Some(query.to_owned()),
            _ => None,
        };
        Self { export: request.export.to_owned(), plain, contexts: Vec::new() }
    }

    /// "each with a unique metadata context ID" (spec, `NBD_OPT_SET_META_CONTEXT`).
    fn check_ids(&self) -> Result<(), PeerMisbehaved> {
        let mut ids: Vec<_> = self.contexts.iter().map(|context| context.id).collect();
        ids.sort_unstable();
        match ids.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(PeerMisbehaved::ContextIdTwice { id: pair[0] }),
            None => Ok(()),
        }
    }
}

/// Holds a reply against what the option returns (R7). Of an option nobody knows, anything may come.
fn check_expected(option: OptionCode, got: ReplyType) -> Result<(), PeerMisbehaved> {
    let (between, expected) = match option {
        OptionCode::LIST => (Some(ReplyType::SERVER), "NBD_REP_SERVER or NBD_REP_ACK"),
        OptionCode::INFO | OptionCode::GO => (Some(ReplyType::INFO), "NBD_REP_INFO or NBD_REP_ACK"),
        OptionCode::LIST_META_CONTEXT | OptionCode::SET_META_CONTEXT => {
            (Some(ReplyType::META_CONTEXT), "NBD_REP_META_CONTEXT or NBD_REP_ACK")
        }
        option if option.name().is_some() => (None, "NBD_REP_ACK"),
        _ => return Ok(()),
    };
    if got.is_error() || got == ReplyType::ACK || Some(got) == between {
        return Ok(());
    }
    Err(PeerMisbehaved::UnexpectedOptionReply { option, got, expected })
}

/// Holds the length of an information against its kind before it has come, because it has to fit the input
/// buffer (O3, O4).
fn check_known_info(info: InfoType, length: u64) -> Result<(), InvalidMessage> {
    let (message, expected) = match info {
        InfoType::EXPORT => (Message::InfoExport, Expected::Exactly(12)),
        InfoType::BLOCK_SIZE => (Message::InfoBlockSize, Expected::Exactly(14)),
        string => {
            let field = if string == InfoType::NAME { Field::ExportName } else { Field::Description };
            let length = length - 2;
            let fits = length <= MAX_STRING as u64;
            return if fits { Ok(()) } else { Err(InvalidMessage::StringTooLong { field, length }) };
        }
    };
    if expected.holds(length) { Ok(()) } else { Err(InvalidMessage::Length { message, expected, got: length }) }
}

/// A flow chooses legal options, so what is left is the caller's own strings.
pub(super) fn local(refused: &Refused) -> Error {
    Ended::GivenUp { reason: refused.to_string() }.into()
}

/// Holds our own strings and lists against what the protocol can carry.
fn check_fields(request: &OptionRequest<'_>) -> Result<(), Refused> {
    let refused = |reason| Err(Refused::Option { option: request.option(), reason });
    let string = |field, text: &str| {
        if text.len() > MAX_STRING || text.contains('\0') { Err(Refused::String { field }) } else { Ok(()) }
    };
    match request {
        OptionRequest::ExportName(name) => string(Field::ExportName, name)?,
        OptionRequest::Info(request) | OptionRequest::Go(request) => {
            string(Field::ExportName, request.export)?;
            if u16::try_from(request.requests.len()).is_err() {
                return Err(Refused::TooMany { field: Field::InfoRequests });
            }
            // "The client MUST NOT include any information request in the list more than once" (spec,
            // `NBD_OPT_INFO`).
            let mut sorted = request.requests.clone();
            sorted.sort_unstable();
            if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
                return refused("an information is asked for twice");
            }
        }
        OptionRequest::ListMetaContext(request) | OptionRequest::SetMetaContext(request) => {
            string(Field::ExportName, request.export)?;
            for query in &request.queries {
                string(Field::Query, query)?;
            }
        }
        // Its answer would be taken for something it is not. `PEEK_EXPORT` was withdrawn: its form is nobody's.
        OptionRequest::Unknown { option, .. } if option.name().is_some() && *option != OptionCode::PEEK_EXPORT => {
            return refused("it has a form of its own, which has to be used");
        }
        _ => {}
    }
    // The whole payload's length has to fit the header.
    if u32::try_from(request.payload_length()).is_err() {
        return Err(Refused::TooMany { field: Field::Queries });
    }
    Ok(())
}
