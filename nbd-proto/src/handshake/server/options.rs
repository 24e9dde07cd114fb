//! What becomes of each option: held against the rules on its header alone, then skipped or taken whole.

use alloc::borrow::ToOwned;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::contexts::{Queries, Selection};
use super::question::{Asked, Question, Wanted, What};
use super::{LookUp, ServerHandshake, ServerHandshakeEvent, ServerTls, State, turned_away};
use crate::error::{Error, Field, InvalidMessage, PeerMisbehaved};
use crate::handshake::{Advance, HandshakeStyle, ReplyStyle};
use crate::limits::{MAX_OPTION_PAYLOAD, MAX_STRING};
use crate::observe::Observation;
use crate::wire::number::{OptionCode, ReplyType};
use crate::wire::option::{OptionHeader, OptionRequest};

/// A payload that is skipped as it comes, so that its length costs nothing, and what is due behind it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Skip {
    option: OptionCode,
    /// How many bytes are still to come.
    remaining: u32,
    then: Then,
}

#[derive(Clone, Copy, Debug)]
enum Then {
    Close,
    Refuse { reply: ReplyType, message: &'static str },
}

impl ServerHandshake {
    pub(super) fn option<'a>(
        &mut self,
        input: &'a [u8],
        out: &mut Vec<u8>,
    ) -> Result<Advance<ServerHandshakeEvent<'a>>, Error> {
        let Some((header, prefix)) = OptionHeader::parse(input)? else { return Ok(Advance::NOTHING) };
        let limit = self.settings.limits.options;
        if self.options >= limit {
            return Err(PeerMisbehaved::TooManyOptions { limit }.into());
        }
        let OptionHeader { option, length } = header;
        let body = &input[prefix..];
        if let Some(then) = self.judge(header)? {
            self.begin(option);
            self.hook.observe(|| Observation::SkippedOption { option, length });
            let skip = Skip { option, remaining: length, then };
            return Ok(Advance::quiet(prefix + self.skip(skip, body, out)));
        }
        let Some((payload, behind)) = body.split_at_checked(length as usize) else { return Ok(Advance::NOTHING) };
        self.begin(option);
        let event = self.take(option, payload, out)?;
        if matches!(self.state, Ok(State::SwitchToTls)) && !behind.is_empty() {
            return Err(PeerMisbehaved::ClearTextBehindStartTls.into());
        }
        Ok(Advance { consumed: prefix + length as usize, event })
    }

    /// Skips what has come of a payload, and answers the option if that was all of it. Returns how much it was.
    pub(super) fn skip(&mut self, mut skip: Skip, input: &[u8], out: &mut Vec<u8>) -> usize {
        let consumed = input.len().min(skip.remaining as usize);
        skip.remaining -= consumed as u32;
        if skip.remaining > 0 {
            self.state = Ok(State::SkipOption(skip));
            return consumed;
        }
        match skip.then {
            Then::Close => {
                self.acknowledge(skip.option, out);
                self.state = Ok(State::Closed);
            }
            Then::Refuse { reply, message } => self.refuse_option(skip.option, reply, message, out),
        }
        consumed
    }

    /// The event that asks the caller for an export where the only other answer is to hang up.
    pub(super) fn ask_for_export<'a>(&mut self, name: &'a str) -> Result<ServerHandshakeEvent<'a>, Error> {
        // "as this request cannot error, it MUST terminate the session" (spec, *FORCEDTLS mode*).
        if self.must_start_tls() {
            return Err(turned_away(name.to_owned(), ReplyType::ERR_TLS_REQD, ""));
        }
        if self.shutting_down {
            return Err(turned_away(name.to_owned(), ReplyType::ERR_SHUTDOWN, ""));
        }
        Ok(self.ask(OptionCode::EXPORT_NAME, name, What::Facts))
    }

    /// Counts an option that is there. "Issuing this command replaces all previously-set metadata contexts (including
    /// when this command fails)" (spec, `NBD_OPT_SET_META_CONTEXT`).
    fn begin(&mut self, option: OptionCode) {
        self.options += 1;
        if option == OptionCode::SET_META_CONTEXT {
            self.selection = Selection::default();
        }
    }

    fn must_start_tls(&self) -> bool {
        self.tls_mode() == ServerTls::Required && !self.tls
    }

    /// Whether an option is to be skipped, by its header alone: because of what it is, of when it comes, or of how
    /// long it is.
    fn judge(&self, header: OptionHeader) -> Result<Option<Then>, Error> {
        let OptionHeader { option, length } = header;
        let then = self.check_legal(header)?;
        let limit = self.settings.limits.skipped_payload;
        if then.is_some() && length > limit {
            return Err(PeerMisbehaved::OptionTooLong { option, length, limit }.into());
        }
        Ok(then)
    }

    fn check_legal(&self, header: OptionHeader) -> Result<Option<Then>, Error> {
        let OptionHeader { option, length } = header;
        let refuse = |reply, message| Ok(Some(Then::Refuse { reply, message }));
        // Without fixed newstyle no reply has a form, so there is nothing to say but goodbye.
        if self.settings.style != HandshakeStyle::FixedNewstyle && option != OptionCode::EXPORT_NAME {
            return Err(PeerMisbehaved::OptionNotFixed { option }.into());
        }
        match option {
            OptionCode::EXPORT_NAME if self.reply_style == ReplyStyle::Extended => {
                return Err(PeerMisbehaved::ExportNameWithExtendedHeaders.into());
            }
            OptionCode::EXPORT_NAME if length as usize > MAX_STRING => {
                let (field, length) = (Field::ExportName, u64::from(length));
                return Err(InvalidMessage::StringTooLong { field, length }.into());
            }
            OptionCode::EXPORT_NAME => return Ok(None),
            // "a server SHOULD ignore any data sent by the client" (spec, `NBD_OPT_ABORT`).
            OptionCode::ABORT => return Ok(Some(Then::Close)),
            _ => {}
        }
        // "If the server receives any other option, including `NBD_OPT_INFO` and unsupported options, it MUST reply
        // with `NBD_REP_ERR_TLS_REQD`" (spec, *FORCEDTLS mode*).
        if self.must_start_tls() && option != OptionCode::STARTTLS {
            return refuse(ReplyType::ERR_TLS_REQD, "this server is to be had inside TLS only");
        }
        if self.shutting_down {
            return refuse(ReplyType::ERR_SHUTDOWN, "this server is shutting down");
        }
        if !self.knows(option) {
            return refuse(ReplyType::ERR_UNSUP, "this server does not have that option");
        }
        // "If a client attempts to do so, a server SHOULD send `NBD_REP_ERR_INVALID`" (spec,
        // `NBD_OPT_SET_META_CONTEXT`, and with MAY `NBD_OPT_LIST_META_CONTEXT`).
        if is_contexts(option) && self.reply_style == ReplyStyle::Simple {
            let message = "metadata contexts need structured replies or extended headers first";
            return refuse(ReplyType::ERR_INVALID, message);
        }
        if length > MAX_OPTION_PAYLOAD {
            return refuse(ReplyType::ERR_TOO_BIG, "this server looks at no more than 16 KiB of one option");
        }
        Ok(None)
    }

    fn knows(&self, option: OptionCode) -> bool {
        let settings = &self.settings;
        match option {
            OptionCode::LIST | OptionCode::INFO | OptionCode::GO => true,
            // Once TLS is up it is known, and a second one invalid.
            OptionCode::STARTTLS => self.tls_mode() != ServerTls::Off,
            OptionCode::STRUCTURED_REPLY => settings.structured_replies,
            OptionCode::EXTENDED_HEADERS => settings.extended_headers,
            option => is_contexts(option) && (settings.structured_replies || settings.extended_headers),
        }
    }

    fn take<'a>(
        &mut self,
        option: OptionCode,
        payload: &'a [u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<ServerHandshakeEvent<'a>>, Error> {
        let request = match OptionRequest::parse(option, payload) {
            Ok(request) => request,
            Err(error) => {
                let malformed = OptionRequest::Unknown { option, payload };
                self.hook.observe(|| Observation::OptionRequest(&malformed));
                if option == OptionCode::EXPORT_NAME {
                    return Err(error.into());
                }
                self.refuse_option(option, ReplyType::ERR_INVALID, &error.to_string(), out);
                return Ok(None);
            }
        };
        self.hook.observe(|| Observation::OptionRequest(&request));
        match request {
            OptionRequest::ExportName(name) => return self.ask_for_export(name).map(Some),
            OptionRequest::List => {
                self.state = Ok(State::AwaitAnswer(Question::List));
                return Ok(Some(ServerHandshakeEvent::List));
            }
            OptionRequest::Info(request) | OptionRequest::Go(request) => {
                let what = What::Info(Wanted::of(&request.requests));
                return Ok(Some(self.ask(option, request.export, what)));
            }
            OptionRequest::ListMetaContext(request) | OptionRequest::SetMetaContext(request) => {
                let sets = option == OptionCode::SET_META_CONTEXT;
                let what = if sets { What::SetContexts } else { What::ListContexts };
                match Queries::keep(&request.queries) {
                    Ok(queries) => return Ok(Some(self.ask(option, request.export, what(queries)))),
                    Err(message) => self.refuse_option(option, ReplyType::ERR_INVALID, &message, out),
                }
            }
            // "If the server receives `NBD_OPT_STARTTLS` when TLS has already been negotiated, it it MUST reply with
            // `NBD_REP_ERR_INVALID`" (spec, *FORCEDTLS mode*).
            OptionRequest::StartTls if self.tls => {
                self.refuse_option(option, ReplyType::ERR_INVALID, "TLS is in use already", out);
            }
            OptionRequest::StartTls => {
                self.acknowledge(option, out);
                self.state = Ok(State::SwitchToTls);
            }
            OptionRequest::StructuredReply if self.reply_style == ReplyStyle::Extended => {
                let message = "extended headers were agreed, which replace structured replies";
                self.refuse_option(option, ReplyType::ERR_EXT_HEADER_REQD, message, out);
            }
            OptionRequest::StructuredReply => {
                self.reply_style = ReplyStyle::Structured;
                self.acknowledge(option, out);
            }
            // "this option takes precedence over structured replies" (spec, `NBD_OPT_EXTENDED_HEADERS`).
            OptionRequest::ExtendedHeaders => {
                self.reply_style = ReplyStyle::Extended;
                self.acknowledge(option, out);
            }
            // These were skipped.
            OptionRequest::Abort | OptionRequest::Unknown { .. } => {}
        }
        Ok(None)
    }

    fn ask<'a>(&mut self, option: OptionCode, name: &'a str, what: What) -> ServerHandshakeEvent<'a> {
        let question = Question::LookUp(Asked { option, name: name.to_owned(), what });
        let asks_block_sizes = question.asks_block_sizes();
        self.state = Ok(State::AwaitAnswer(question));
        ServerHandshakeEvent::LookUp(LookUp { option, name, asks_block_sizes })
    }
}

const fn is_contexts(option: OptionCode) -> bool {
    matches!(option, OptionCode::LIST_META_CONTEXT | OptionCode::SET_META_CONTEXT)
}
