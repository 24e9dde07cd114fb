//! What both whole flows do first: TLS, then the richest reply style that server and caller agree on.

use super::{ClientHandshake, ReplyStyle, TlsPolicy};
use crate::error::{Error, Refusal, TlsUnavailable, Unavailable};
use crate::wire::number::{OptionCode, ReplyType};
use crate::wire::option::OptionRequest;

/// What is still to be tried.
#[derive(Debug)]
pub(super) struct Preamble {
    policy: TlsPolicy,
    starttls: bool,
    extended_headers: bool,
    structured_replies: bool,
}

impl Preamble {
    pub(super) fn new(policy: TlsPolicy, extended_headers: bool, structured_replies: bool) -> Self {
        Self { policy, starttls: policy != TlsPolicy::Off, extended_headers, structured_replies }
    }

    /// The next option of the preamble, `None` when it is through. Asked in fixed newstyle only: no other style lets a
    /// client choose.
    pub(super) fn next(&mut self, handshake: &ClientHandshake) -> Option<OptionRequest<'static>> {
        if core::mem::take(&mut self.starttls) {
            return Some(OptionRequest::StartTls);
        }
        if core::mem::take(&mut self.extended_headers) {
            return Some(OptionRequest::ExtendedHeaders);
        }
        if core::mem::take(&mut self.structured_replies) && handshake.reply_style() == ReplyStyle::Simple {
            return Some(OptionRequest::StructuredReply);
        }
        None
    }

    /// Whether a refused option ends the attempt. The options of the preamble may be refused with anything but
    /// `TLS_REQD`, which means that nothing will go without it (R4), unless TLS was a must (H7).
    pub(super) fn refused(&self, refusal: &Refusal) -> Result<(), Error> {
        if refusal.option == OptionCode::STARTTLS && self.policy == TlsPolicy::Required {
            return Err(Unavailable::Tls(TlsUnavailable::Refused(refusal.clone())).into());
        }
        requires_tls(refusal)
    }
}

/// Turns `TLS_REQD` into the error that says what to do.
pub(super) fn requires_tls(refusal: &Refusal) -> Result<(), Error> {
    match refusal.reply {
        ReplyType::ERR_TLS_REQD => Err(Unavailable::ServerRequiresTls(refusal.clone()).into()),
        _ => Ok(()),
    }
}
