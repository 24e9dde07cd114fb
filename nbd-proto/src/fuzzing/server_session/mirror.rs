//! What a server sent, seen by a client of ours that has sent what the hostile one did.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::fuzzing::client::Transmission;
use crate::fuzzing::server::Outcome;
use crate::fuzzing::verdict::judge;
use crate::handshake::ReplyStyle;
use crate::transmission::{Checks, Client, ClientSettings, Command};
use crate::wire::flags::CommandFlags;
use crate::wire::flags::{ClientFlags, HandshakeFlags};
use crate::wire::greeting::{ExportFacts, Greeting};
use crate::wire::number::{CommandType, ContextId, Cookie, ErrorValue};
use crate::wire::number::{OptionCode, ReplyType};
use crate::wire::option::OptionHeader;
use crate::wire::option_reply::{OptionReply, OptionReplyHeader};
use crate::wire::reply::{ReplyHeader, SimpleReply};
use crate::wire::request::{BlockStatusPayload, CompactRequest, ExtendedRequest};

/// What the handshake sent: a greeting, then for each option, in order, replies that parse and of which the last is
/// final; or behind `EXPORT_NAME` the facts.
pub(super) fn check_handshake(stream: &[u8], mut out: &[u8]) {
    if out.is_empty() {
        return;
    }
    let Ok(Some((greeting, length))) = Greeting::parse(out) else { unreachable!("a greeting that does not parse") };
    out = &out[length..];
    let Greeting::Newstyle(offered) = greeting else {
        return assert!(out.is_empty(), "something follows an oldstyle greeting");
    };
    let Some((flags, length)) = ClientFlags::parse(stream) else { return assert!(out.is_empty()) };
    let mut stream = &stream[length..];
    let mut asked = core::iter::from_fn(|| {
        let Ok(Some((header, length))) = OptionHeader::parse(stream) else { return None };
        stream = stream.get(length + header.length as usize..).unwrap_or(&[]);
        Some(header.option)
    });
    while !out.is_empty() {
        let Some(option) = asked.next() else { unreachable!("an answer to an option that nobody sent") };
        if option == OptionCode::EXPORT_NAME {
            let no_zeroes = offered.contains(HandshakeFlags::NO_ZEROES) && flags.contains(ClientFlags::NO_ZEROES);
            let facts = ExportFacts::parse(out, no_zeroes);
            assert_eq!(facts.map(|(_, length)| length), Some(out.len()), "the facts are not the last");
            return;
        }
        out = check_replies(option, out);
    }
}

fn check_replies(option: OptionCode, mut out: &[u8]) -> &[u8] {
    loop {
        let Ok(Some((header, length))) = OptionReplyHeader::parse(out) else {
            unreachable!("an answer to {option} that does not parse");
        };
        let Some((payload, rest)) = out[length..].split_at_checked(header.length as usize) else {
            unreachable!("a part of an answer to {option}");
        };
        assert_eq!(header.option, option, "an answer to another option");
        let reply = OptionReply::parse(header.reply, payload);
        assert!(reply.is_ok(), "{option} is answered with {reply:?}");
        out = rest;
        if header.reply == ReplyType::ACK || header.reply.is_error() {
            return out;
        }
    }
}

/// Feeds what was sent in the transmission phase to a client, which must have nothing against it; unless no client of
/// ours can have sent what the hostile one did.
pub(super) fn check_transmission(stream: &[u8], outcome: &Outcome) {
    let style = outcome.facts.reply_style;
    let settings = ClientSettings::default().with_checks(Checks::empty()).with_max_in_flight(65_536);
    let mut mirror = Transmission::new(Client::new(outcome.facts.clone(), settings));
    let mut cookies = BTreeMap::new();
    let mut filters = false;
    for Asked { command, cookie, contexts } in requests(stream, style) {
        filters |= contexts.is_some();
        if !mirror.submit(command, contexts.as_deref()) {
            return;
        }
        let Some(call) = mirror.calls.list.last() else { return };
        // Whoever names two requests alike cannot tell the answers apart.
        if cookies.insert(cookie, (call.cookie, command)).is_some() {
            return;
        }
    }
    mirror.sent(mirror.outbound_length());
    mirror.feed(&renamed(&outcome.out, &cookies, style), false);
    assert_eq!(mirror.over, None, "our client rejects what our server sent");
    // The engine may have refused one of two requests that differ in their contexts only.
    if !filters {
        judge(&mirror.calls, &outcome.arrived, |_| true);
    }
    let answered = mirror.calls.list.iter().filter(|call| call.result.is_some()).count();
    let told = outcome.arrived.iter().filter(|arrived| arrived.sent == Some(true)).count();
    assert!(answered >= told, "answers were sent that did not come");
}

struct Asked {
    command: Command,
    cookie: Cookie,
    contexts: Option<Vec<ContextId>>,
}

/// What a client's stream asks for, up to a disconnect or to where it makes no sense.
fn requests(mut stream: &[u8], style: ReplyStyle) -> impl Iterator<Item = Asked> {
    let extended = style == ReplyStyle::Extended;
    core::iter::from_fn(move || {
        let parsed = if extended {
            ExtendedRequest::parse(stream)
        } else {
            CompactRequest::parse(stream).map(|parsed| parsed.map(|(compact, length)| (compact.into(), length)))
        };
        let Ok(Some((request, length))) = parsed else { return None };
        let ExtendedRequest { flags, command, cookie, offset, length: told } = request;
        if command == CommandType::DISC {
            return None;
        }
        stream = &stream[length..];
        let mut asked = Asked { command: Command { command, flags, offset, length: told }, cookie, contexts: None };
        if command == CommandType::WRITE || extended && flags.contains(CommandFlags::PAYLOAD_LEN) {
            let payload = stream.get(..usize::try_from(told).unwrap_or(usize::MAX));
            let filter = payload.and_then(|payload| BlockStatusPayload::parse(payload).ok());
            if let (CommandType::BLOCK_STATUS, Some(filter)) = (command, filter) {
                asked.command.length = filter.effect_length;
                asked.contexts = Some(filter.contexts.to_vec());
            }
            stream = &stream[payload.map_or(stream.len(), <[u8]>::len)..];
        }
        Some(asked)
    })
}

/// The replies with our client's cookies.
fn renamed(out: &[u8], cookies: &BTreeMap<Cookie, (Cookie, Command)>, style: ReplyStyle) -> Vec<u8> {
    let mut out = Vec::from(out);
    let mut at = 0;
    while at < out.len() {
        let Ok(Some((header, length))) = ReplyHeader::parse(&out[at..]) else {
            unreachable!("a reply that does not parse");
        };
        let Some((cookie, command)) = cookies.get(&header.cookie()) else {
            unreachable!("a reply to {}, which nobody sent", header.cookie());
        };
        out[at + 8..at + 16].copy_from_slice(&cookie.0.to_be_bytes());
        let payload = match header {
            ReplyHeader::Simple(SimpleReply { error: ErrorValue(0), .. })
                if style == ReplyStyle::Simple && command.command == CommandType::READ =>
            {
                command.length
            }
            ReplyHeader::Simple(_) => 0,
            ReplyHeader::Structured(reply) => reply.length.into(),
            ReplyHeader::Extended(reply) => {
                assert_eq!(reply.offset, command.offset, "the offset is not echoed");
                reply.length
            }
        };
        at += length + payload as usize;
    }
    assert_eq!(at, out.len(), "a part of a reply");
    out
}
