//! The flow that reaches an export (F1).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use smallvec::SmallVec;

use super::client::{ClientHandshake, HandshakeEvent, HandshakeSettings, local};
use super::context_names::ContextNames;
use super::preamble::{Preamble, requires_tls};
use super::{Flow, HandshakeStyle, Negotiated, ReplyStyle, Status, TlsPolicy};
use crate::error::{Error, PeerMisbehaved, Refusal, Unavailable};
use crate::limits::HandshakeLimits;
use crate::observe::Observer;
use crate::wire::number::{InfoType, OptionCode, ReplyType};
use crate::wire::option::{InfoRequest, MetaContextRequest, OptionRequest};
use crate::wire::option_reply::OptionReply;

/// What a [`Connect`] is to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectSettings {
    /// Name of the export; empty for the default one.
    pub export: String,
    /// Whether TLS is used. Default: off.
    pub tls: TlsPolicy,
    /// Whether extended headers are asked for. Default: yes.
    pub extended_headers: bool,
    /// Whether structured replies are asked for, where extended headers are not had. Default: yes.
    pub structured_replies: bool,
    /// Whether block sizes are asked for; then they bind both sides. Default: yes.
    pub block_sizes: bool,
    /// Whether the canonical name and the description are asked for. Default: yes.
    pub names: bool,
    /// Queries for metadata contexts to select. Default: none, and so no block status.
    pub meta_contexts: Vec<String>,
    /// Whether to ask which contexts there are. Default: no.
    pub list_contexts: bool,
    /// Bounds on what the server may send.
    pub limits: HandshakeLimits,
}

impl ConnectSettings {
    /// Settings for the export of this name; empty for the default one.
    pub fn new(export: impl Into<String>) -> Self {
        Self {
            export: export.into(),
            tls: TlsPolicy::Off,
            extended_headers: true,
            structured_replies: true,
            block_sizes: true,
            names: true,
            meta_contexts: Vec::new(),
            list_contexts: false,
            limits: HandshakeLimits::default(),
        }
    }

    /// Sets [`tls`](Self::tls).
    #[must_use]
    pub const fn with_tls(mut self, tls: TlsPolicy) -> Self {
        self.tls = tls;
        self
    }

    /// Sets [`extended_headers`](Self::extended_headers).
    #[must_use]
    pub const fn with_extended_headers(mut self, ask: bool) -> Self {
        self.extended_headers = ask;
        self
    }

    /// Sets [`structured_replies`](Self::structured_replies).
    #[must_use]
    pub const fn with_structured_replies(mut self, ask: bool) -> Self {
        self.structured_replies = ask;
        self
    }

    /// Sets [`block_sizes`](Self::block_sizes).
    #[must_use]
    pub const fn with_block_sizes(mut self, ask: bool) -> Self {
        self.block_sizes = ask;
        self
    }

    /// Sets [`names`](Self::names).
    #[must_use]
    pub const fn with_names(mut self, ask: bool) -> Self {
        self.names = ask;
        self
    }

    /// Adds a query to [`meta_contexts`](Self::meta_contexts), for example `base:allocation`.
    #[must_use]
    pub fn with_meta_context(mut self, query: impl Into<String>) -> Self {
        self.meta_contexts.push(query.into());
        self
    }

    /// Sets [`list_contexts`](Self::list_contexts).
    #[must_use]
    pub const fn with_list_contexts(mut self, ask: bool) -> Self {
        self.list_contexts = ask;
        self
    }

    /// Sets [`limits`](Self::limits).
    #[must_use]
    pub const fn with_limits(mut self, limits: HandshakeLimits) -> Self {
        self.limits = limits;
        self
    }
}

/// Finds the way from the greeting to one export, whatever the server can do:
///
/// ```text
///   fixed newstyle                                    newstyle        oldstyle
///        │                                                │               │
///   STARTTLS, EXTENDED_HEADERS or STRUCTURED_REPLY        │               │
///        │   (as wanted, where the server has them)       │               │
///   LIST_META_CONTEXT, SET_META_CONTEXT                   │               │
///        │                                                │               │
///        GO ── unsupported ──▶ LIST ──▶ EXPORT_NAME ◀─────┘               │
///        │                                   │                            │
///        ▼                                   ▼                            ▼
///      Ready                               Ready            Ready (nameless only)
/// ```
#[derive(Debug)]
pub struct Connect {
    handshake: ClientHandshake,
    settings: ConnectSettings,
    step: Step,
    preamble: Preamble,
    available: ContextNames,
    listed: usize,
    in_list: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Preamble,
    ListContexts,
    SetContexts,
    Go,
    List,
    ExportName,
}

impl Connect {
    /// A flow that has not seen a byte yet.
    pub fn new(settings: ConnectSettings) -> Self {
        let basics = HandshakeSettings::default().with_tls(settings.tls).with_limits(settings.limits);
        Self {
            handshake: ClientHandshake::new(basics),
            preamble: Preamble::new(settings.tls, settings.extended_headers, settings.structured_replies),
            settings,
            step: Step::Preamble,
            available: ContextNames::default(),
            listed: 0,
            in_list: false,
        }
    }

    /// Shows every step to `observer` from now on.
    pub fn set_observer(&mut self, observer: Option<Box<dyn Observer>>) {
        self.handshake.set_observer(observer);
    }

    fn handle(&mut self, event: HandshakeEvent<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
        match event {
            HandshakeEvent::Opened(HandshakeStyle::Oldstyle) if !self.settings.export.is_empty() => {
                return Err(Unavailable::ExportNameOnOldstyle { name: self.settings.export.clone() }.into());
            }
            HandshakeEvent::Opened(HandshakeStyle::Newstyle) => self.step = Step::ExportName,
            HandshakeEvent::Opened(_) => {}
            HandshakeEvent::Reply(OptionReply::Server { name, .. }) => {
                self.listed += 1;
                self.in_list |= name == self.settings.export;
            }
            HandshakeEvent::Reply(OptionReply::MetaContext { name, .. }) if self.step == Step::ListContexts => {
                self.available.push(name);
            }
            HandshakeEvent::Reply(_) => {}
            HandshakeEvent::Done { option, outcome } => self.done(option, outcome)?,
        }
        self.proceed(out)
    }

    /// Decides what follows an option.
    fn done(&mut self, option: OptionCode, outcome: Result<(), Refusal>) -> Result<(), Error> {
        match self.step {
            Step::Preamble => outcome.or_else(|refusal| self.preamble.refused(&refusal)),
            Step::ListContexts => {
                if !self.available.round_done(&outcome) {
                    self.step = Step::SetContexts;
                }
                outcome.or_else(|refusal| requires_tls(&refusal))
            }
            Step::SetContexts => {
                self.step = Step::Go;
                outcome.or_else(|refusal| requires_tls(&refusal))
            }
            Step::Go => match outcome {
                Err(refusal) if refusal.reply == ReplyType::ERR_UNSUP => {
                    if self.handshake.reply_style() == ReplyStyle::Extended {
                        return Err(PeerMisbehaved::ExtendedHeadersWithoutGo.into());
                    }
                    self.step = Step::List;
                    Ok(())
                }
                outcome => outcome.or_else(end),
            },
            // O7: a server that cannot or may not list is believed to have the export.
            Step::List => {
                self.step = Step::ExportName;
                match outcome {
                    Ok(()) if self.listed > 0 && !self.in_list => {
                        let name = self.settings.export.clone();
                        Err(Unavailable::NoSuchExport { name, listed: self.listed }.into())
                    }
                    Err(refusal) if !matches!(refusal.reply, ReplyType::ERR_UNSUP | ReplyType::ERR_POLICY) => {
                        end(refusal)
                    }
                    _ => Ok(()),
                }
            }
            Step::ExportName => {
                debug_assert_eq!(option, OptionCode::EXPORT_NAME);
                outcome.or_else(end)
            }
        }
    }

    /// Sends the next option, if one is to be chosen.
    fn proceed(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        if self.handshake.status() != Status::Choose {
            return Ok(());
        }
        let export = &self.settings.export[..];
        loop {
            let request = match self.step {
                Step::Preamble => match self.preamble.next(&self.handshake) {
                    Some(request) => request,
                    None => {
                        self.step = Step::ListContexts;
                        continue;
                    }
                },
                // Contexts go with chunks only.
                Step::ListContexts | Step::SetContexts if self.handshake.reply_style() == ReplyStyle::Simple => {
                    self.step = Step::Go;
                    continue;
                }
                Step::ListContexts if !self.settings.list_contexts => {
                    self.step = Step::SetContexts;
                    continue;
                }
                Step::ListContexts => self.available.request(export),
                Step::SetContexts if self.settings.meta_contexts.is_empty() => {
                    self.step = Step::Go;
                    continue;
                }
                Step::SetContexts => {
                    let queries = self.settings.meta_contexts.iter().map(String::as_str).collect();
                    OptionRequest::SetMetaContext(MetaContextRequest { export, queries })
                }
                Step::Go => {
                    let mut requests = SmallVec::new();
                    if self.settings.names {
                        requests.extend([InfoType::NAME, InfoType::DESCRIPTION]);
                    }
                    if self.settings.block_sizes {
                        requests.push(InfoType::BLOCK_SIZE);
                    }
                    OptionRequest::Go(InfoRequest { export, requests })
                }
                Step::List => OptionRequest::List,
                Step::ExportName => OptionRequest::ExportName(export),
            };
            return self.handshake.choose(&request, out).map_err(|refused| local(&refused));
        }
    }
}

/// The error of an option without which there is no going on (R4).
fn end(refusal: Refusal) -> Result<(), Error> {
    requires_tls(&refusal)?;
    Err(Unavailable::Refused(refusal).into())
}

impl Flow for Connect {
    type Output = Negotiated;

    fn input(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, Error> {
        let advance = self.handshake.input(input, out)?;
        if let Some(event) = advance.event {
            if let Err(error) = self.handle(event, out) {
                return Err(self.handshake.leave(error, out));
            }
        }
        Ok(advance.consumed)
    }

    fn eof(&mut self) -> Error {
        self.handshake.eof()
    }

    fn give_up(&mut self, reason: &str) -> Error {
        self.handshake.give_up(reason)
    }

    fn tls_established(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        self.handshake.switched_to_tls()?;
        self.proceed(out).map_err(|error| self.handshake.leave(error, out))
    }

    fn status(&self) -> Status {
        self.handshake.status()
    }

    fn finish(self) -> Result<Negotiated, Error> {
        let mut negotiated = self.handshake.finish()?;
        if self.settings.list_contexts {
            negotiated.available_contexts = Some(self.available.into_names());
        }
        Ok(negotiated)
    }
}
