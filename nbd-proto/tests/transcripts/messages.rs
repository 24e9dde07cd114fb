//! The messages of a transmission phase, as they lie in both streams.

use std::ops::Range;

use nbd_proto::handshake::ReplyStyle;
use nbd_proto::wire::flags::CommandFlags;
use nbd_proto::wire::number::{CommandType, Cookie, ErrorValue};
use nbd_proto::wire::reply::{ExtendedReply, ReplyHeader, SimpleReply, StructuredReply};
use nbd_proto::wire::request::{BlockStatusPayload, CompactRequest, ExtendedRequest};

/// A request.
pub(crate) struct Sent {
    pub(crate) header: ExtendedRequest,
    pub(crate) payload: Vec<u8>,
    /// Where it lies in the client's stream.
    pub(crate) place: Range<usize>,
    /// How much the server had said before it.
    pub(crate) behind: usize,
}

impl Sent {
    /// How many bytes of the export it is about.
    pub(crate) fn length(&self) -> u64 {
        if self.header.command == CommandType::BLOCK_STATUS && !self.payload.is_empty() {
            return BlockStatusPayload::parse(&self.payload).unwrap().effect_length;
        }
        self.header.length
    }
}

/// A reply, or one chunk of it.
pub(crate) struct Reply {
    pub(crate) header: ReplyHeader,
    /// To which request.
    pub(crate) command: usize,
    /// Where it lies in the server's stream.
    pub(crate) place: Range<usize>,
}

/// The requests of a stream from `at` on; the last one is `DISC` if the client said goodbye.
pub(crate) fn requests(client: &[u8], mut at: usize, style: ReplyStyle, behind: impl Fn(usize) -> usize) -> Vec<Sent> {
    let mut requests = Vec::new();
    while at < client.len() {
        let rest = &client[at..];
        let parsed = match style {
            ReplyStyle::Extended => ExtendedRequest::parse(rest).unwrap(),
            _ => CompactRequest::parse(rest).unwrap().map(|(compact, length)| (compact.into(), length)),
        };
        let (header, length) = parsed.expect("a whole request");
        // QEMU's client sets no `PAYLOAD_LEN` on a `WRITE`, and sends the payload all the same.
        let announced = style == ReplyStyle::Extended && header.flags.contains(CommandFlags::PAYLOAD_LEN);
        let has_payload = announced || header.command == CommandType::WRITE;
        let count = if has_payload { header.length as usize } else { 0 };
        let end = at + length + count;
        let payload = client[at + length..end].to_vec();
        requests.push(Sent { header, payload, place: at..end, behind: behind(at + length) });
        at = end;
    }
    requests
}

/// The replies of a stream from `at` on. A cookie that was used again means its latest request.
pub(crate) fn replies(server: &[u8], mut at: usize, requests: &[Sent]) -> Vec<Reply> {
    let mut replies = Vec::new();
    while at < server.len() {
        let (header, length) = ReplyHeader::parse(&server[at..]).unwrap().expect("a whole header");
        let asked = |sent: &Sent| sent.header.cookie == header.cookie() && sent.behind <= at;
        let command = requests.iter().rposition(asked).expect("a reply to what was asked");
        let payload = match header {
            ReplyHeader::Simple(SimpleReply { error: ErrorValue(0), .. }) => match requests[command].header {
                ExtendedRequest { command: CommandType::READ, length, .. } => length,
                _ => 0,
            },
            ReplyHeader::Simple(_) => 0,
            ReplyHeader::Structured(StructuredReply { length, .. }) => length.into(),
            ReplyHeader::Extended(ExtendedReply { length, .. }) => length,
        };
        let end = at + length + payload as usize;
        replies.push(Reply { header, command, place: at..end });
        at = end;
    }
    assert_eq!(at, server.len(), "the last reply is whole");
    replies
}

/// Puts another cookie into a reply.
pub(crate) fn readdress(stream: &mut [u8], reply: &Reply, cookie: Cookie) {
    // Magic, and an error or flags and type: 8 bytes in each style.
    let at = reply.place.start + 8;
    stream[at..at + 8].copy_from_slice(&cookie.0.to_be_bytes());
}
