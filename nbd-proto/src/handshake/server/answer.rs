//! The caller's answers, and everything that is sent for them.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::contexts::{Queries, Selection};
use super::offer::check_name;
use super::question::{Asked, Question, Wanted, What};
use super::{Offer, ServerHandshake, ServerTls, State, turned_away};
use crate::error::{Field, Refused};
use crate::handshake::{ExportInfo, HandshakeStyle, MetaContext, Negotiated, ReplyStyle};
use crate::observe::Observation;
use crate::text::cut;
use crate::wire::flags::{ClientFlags, TransmissionFlags};
use crate::wire::greeting::{ExportFacts, Greeting};
use crate::wire::info::Info;
use crate::wire::number::{ContextId, OptionCode, ReplyType};
use crate::wire::option_reply::OptionReply;

impl ServerHandshake {
    /// Answers a [`LookUp`](super::ServerHandshakeEvent::LookUp): this is what the export is. What the client gets to
    /// hear of it depends on what it asked.
    ///
    /// An offer that is to be had inside [TLS only](Offer::tls_required) is not told in clear: the client is refused,
    /// with the error that the specification has for it, or turned away.
    ///
    /// Refused, with nothing appended and the answer still awaited, if no look-up awaits one, or if the offer breaks
    /// the rules that [`Offer`] names.
    pub fn offer(&mut self, offer: &Offer, out: &mut Vec<u8>) -> Result<(), Refused> {
        offer.check()?;
        let asked = match core::mem::replace(&mut self.state, Ok(State::AwaitOption)) {
            Ok(State::AwaitAnswer(Question::LookUp(asked))) => asked,
            other => {
                self.state = other;
                return Err(Refused::Answer { reason: "no look-up awaits an answer" });
            }
        };
        if offer.tls_required && !self.tls {
            let (reply, message) = self.tls_only(asked.option);
            self.answer_with_error(Question::LookUp(asked), reply, message, out);
            return Ok(());
        }
        let Asked { option, name, what } = asked;
        match what {
            What::Facts => self.tell_facts(name, offer, out),
            What::Info(wanted) => self.tell_info(option, name, wanted, offer, out),
            What::ListContexts(queries) => {
                for name in offer.contexts.iter().filter(|name| queries.lists(name)) {
                    // "The metadata context ID in these replies is reserved and SHOULD be set to zero" (spec,
                    // `NBD_OPT_LIST_META_CONTEXT`).
                    self.emit(option, OptionReply::MetaContext { id: ContextId(0), name }, out);
                }
                self.acknowledge(option, out);
            }
            What::SetContexts(queries) => self.select(name, &queries, offer, out),
        }
        Ok(())
    }

    /// Answers a [`List`](super::ServerHandshakeEvent::List) with names and descriptions. Descriptions are cut at 4096
    /// bytes, and before a NUL.
    ///
    /// Refused, with nothing appended and the answer still awaited, if no list is awaited, or if a name is longer than
    /// 4096 bytes or has a NUL in it.
    pub fn list<'n>(
        &mut self,
        exports: impl IntoIterator<Item = (&'n str, &'n str)>,
        out: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        if !matches!(self.state, Ok(State::AwaitAnswer(Question::List))) {
            return Err(Refused::Answer { reason: "no list is awaited" });
        }
        let exports: Vec<_> = exports.into_iter().collect();
        for (name, _) in &exports {
            check_name(Field::ExportName, name)?;
        }
        for (name, description) in exports {
            let description = cut(description).as_bytes();
            self.emit(OptionCode::LIST, OptionReply::Server { name, description }, out);
        }
        self.acknowledge(OptionCode::LIST, out);
        Ok(())
    }

    /// Answers any event with an error: for a look-up `ERR_UNKNOWN`, `ERR_POLICY`, … and words for people, which are
    /// cut at 4096 bytes, and before a NUL. The next option is awaited; but a client that used `EXPORT_NAME`, or is to
    /// be greeted oldstyle, can only be turned away: then the status is [`Closed`](super::ServerStatus::Closed), and
    /// [`input`](Self::input) returns [`Unavailable::TurnedAway`](crate::error::Unavailable::TurnedAway).
    ///
    /// Refused, with nothing appended and the answer still awaited, if no event awaits one, or if the specification
    /// forbids the reply there: one without the error bit; `ERR_UNSUP` to `GO` after extended headers were agreed;
    /// `ERR_BLOCK_SIZE_REQD` to who has asked for block sizes; `ERR_EXT_HEADER_REQD` to who has agreed to extended
    /// headers; `ERR_TLS_REQD` where TLS is in use or not to be had, or to an option that neither describes an export
    /// nor enters the transmission phase.
    pub fn refuse(&mut self, reply: ReplyType, message: &str, out: &mut Vec<u8>) -> Result<(), Refused> {
        match core::mem::replace(&mut self.state, Ok(State::AwaitOption)) {
            Ok(State::AwaitAnswer(question)) => {
                if let Err(reason) = self.check_refusal(&question, reply) {
                    self.state = Ok(State::AwaitAnswer(question));
                    return Err(Refused::Answer { reason });
                }
                self.answer_with_error(question, reply, message, out);
                Ok(())
            }
            other => {
                self.state = other;
                Err(Refused::Answer { reason: "no event awaits an answer" })
            }
        }
    }

    /// Acknowledges an option, and awaits the next.
    pub(super) fn acknowledge(&mut self, option: OptionCode, out: &mut Vec<u8>) {
        self.emit(option, OptionReply::Ack, out);
        self.state = Ok(State::AwaitOption);
    }

    /// Answers an option with an error, and awaits the next.
    pub(super) fn refuse_option(&mut self, option: OptionCode, reply: ReplyType, message: &str, out: &mut Vec<u8>) {
        self.emit(option, OptionReply::Error { reply, message: cut(message).as_bytes() }, out);
        self.state = Ok(State::AwaitOption);
    }

    fn answer_with_error(&mut self, question: Question, reply: ReplyType, message: &str, out: &mut Vec<u8>) {
        match question {
            Question::LookUp(Asked { what: What::Facts, name, .. }) => {
                self.fail(turned_away(name, reply, message));
            }
            other => self.refuse_option(other.option(), reply, message, out),
        }
    }

    fn emit(&mut self, option: OptionCode, reply: OptionReply<'_>, out: &mut Vec<u8>) {
        reply.emit(option, out);
        self.hook.observe(|| Observation::OptionReply { option, reply });
    }

    fn check_refusal(&self, question: &Question, reply: ReplyType) -> Result<(), &'static str> {
        let option = question.option();
        match reply {
            reply if !reply.is_error() => Err("a refusal needs a reply type with the error bit"),
            // Spec, `NBD_OPT_GO`: "the server MUST NOT fail `NBD_OPT_GO` with `NBD_REP_ERR_UNSUP`".
            ReplyType::ERR_UNSUP if option == OptionCode::GO && self.reply_style == ReplyStyle::Extended => {
                Err("extended headers were agreed, so NBD_OPT_GO has to be supported")
            }
            // "The server MUST NOT send this error if size constraints were requested" (spec, `NBD_OPT_GO`).
            ReplyType::ERR_BLOCK_SIZE_REQD if question.asks_block_sizes() => {
                Err("the client has asked for block sizes")
            }
            // Spec, *NOTLS mode* and *SELECTIVETLS mode*.
            ReplyType::ERR_TLS_REQD if self.tls => Err("TLS is in use"),
            ReplyType::ERR_TLS_REQD if self.tls_only(option).0 != ReplyType::ERR_TLS_REQD => {
                Err("this cannot be answered with a demand for TLS")
            }
            // "for a client that has not yet requested extended headers" (spec, `NBD_REP_ERR_EXT_HEADER_REQD`).
            ReplyType::ERR_EXT_HEADER_REQD if self.reply_style == ReplyStyle::Extended => {
                Err("extended headers were agreed")
            }
            _ => Ok(()),
        }
    }

    /// How an export is refused in clear that is to be had inside TLS only.
    fn tls_only(&self, option: OptionCode) -> (ReplyType, &'static str) {
        match option {
            // "The server MUST NOT respond to any option request with `NBD_REP_ERR_TLS_REQD`" (spec, *NOTLS mode*).
            _ if self.tls_mode() == ServerTls::Off => {
                (ReplyType::ERR_POLICY, "this export is to be had inside TLS only, which this server does not do here")
            }
            OptionCode::INFO | OptionCode::GO | OptionCode::EXPORT_NAME => {
                (ReplyType::ERR_TLS_REQD, "this export is to be had inside TLS only")
            }
            // "MUST NOT send `NBD_REP_ERR_TLS_REQD` in response to any option other than" these three (spec,
            // *SELECTIVETLS mode*).
            _ => (ReplyType::ERR_UNKNOWN, "there is no such export outside TLS"),
        }
    }

    /// The flags as they are told. They hang on nothing but the offer and what was agreed before, so that `INFO` and
    /// `GO` with nothing between them tell the same (spec, `NBD_OPT_GO`).
    fn flags(&self, name: &str, offer: &Offer) -> TransmissionFlags {
        let mut flags = offer.sound_flags();
        let extended = self.reply_style == ReplyStyle::Extended;
        let contexts = !self.selection.of_export(name).is_empty();
        flags.set(TransmissionFlags::SEND_DF, self.reply_style != ReplyStyle::Simple);
        flags.set(TransmissionFlags::BLOCK_STATUS_PAYLOAD, extended && contexts);
        flags
    }

    fn tell_facts(&mut self, name: String, offer: &Offer, out: &mut Vec<u8>) {
        let facts = ExportFacts { size: offer.size, flags: self.flags(&name, offer) };
        if self.settings.style == HandshakeStyle::Oldstyle {
            let greeting = Greeting::Oldstyle(facts);
            greeting.emit(out);
            self.hook.observe(|| Observation::Greeting(greeting));
        } else {
            facts.emit(self.client.contains(ClientFlags::NO_ZEROES), out);
            self.hook.observe(|| Observation::ExportName(facts));
        }
        self.enter(name, told(facts, None, None, offer));
    }

    fn tell_info(&mut self, option: OptionCode, name: String, wanted: Wanted, offer: &Offer, out: &mut Vec<u8>) {
        let facts = ExportFacts { size: offer.size, flags: self.flags(&name, offer) };
        let canonical_name = offer.canonical_name.as_deref().or(wanted.name.then_some(&*name));
        let description = offer.description.as_deref().filter(|_| wanted.description).map(cut);
        let info = told(facts, canonical_name, description, offer);
        self.emit(option, OptionReply::Info(Info::Export(facts)), out);
        if let Some(name) = canonical_name {
            self.emit(option, OptionReply::Info(Info::Name(name)), out);
        }
        if let Some(text) = description {
            self.emit(option, OptionReply::Info(Info::Description(text.as_bytes())), out);
        }
        // "MUST send this info if it is requested and it intends to enforce size constraints other than the defaults"
        // (spec, `NBD_INFO_BLOCK_SIZE`); who has not asked loses nothing by hearing of them.
        if let Some(sizes) = offer.block_sizes {
            self.emit(option, OptionReply::Info(Info::BlockSize(sizes)), out);
        }
        self.acknowledge(option, out);
        if option == OptionCode::GO {
            self.enter(name, info);
        }
    }

    /// Ids are places in the list of what is offered, from 1: never 0, because that is what a context that was only
    /// listed has.
    fn select(&mut self, name: String, queries: &Queries, offer: &Offer, out: &mut Vec<u8>) {
        let option = OptionCode::SET_META_CONTEXT;
        let mut contexts = Vec::new();
        for (id, name) in (1..).map(ContextId).zip(&offer.contexts).filter(|(_, name)| queries.selects(name)) {
            self.emit(option, OptionReply::MetaContext { id, name }, out);
            contexts.push(MetaContext { id, name: name.clone() });
        }
        self.acknowledge(option, out);
        self.selection = Selection { export: name, contexts };
    }

    fn enter(&mut self, export: String, info: ExportInfo) {
        let contexts = self.selection.of_export(&export).to_vec();
        self.state = Ok(State::Ready(Box::new(Negotiated {
            export,
            info,
            handshake_style: self.settings.style,
            reply_style: self.reply_style,
            tls: self.tls,
            contexts,
            available_contexts: None,
        })));
    }
}

fn told(facts: ExportFacts, canonical_name: Option<&str>, description: Option<&str>, offer: &Offer) -> ExportInfo {
    ExportInfo {
        size: facts.size,
        flags: facts.flags,
        block_sizes: offer.block_sizes,
        canonical_name: canonical_name.map(ToOwned::to_owned),
        description: description.map(ToOwned::to_owned),
    }
}
