//! A server's side of the handshake.

use nbd_proto::wire::flags::HandshakeFlags;
use nbd_proto::wire::flags::TransmissionFlags;
use nbd_proto::wire::greeting::{ExportFacts, Greeting};
use nbd_proto::wire::info::{BlockSizes, Info};
use nbd_proto::wire::number::{ContextId, InfoType, OptionCode, ReplyType};
use nbd_proto::wire::option_reply::OptionReply;

use crate::Seeds;

/// Options are chosen one by one, without a greeting put in front.
pub const BARE: u8 = 0x00;
const INTERACTIVE: u8 = 0x10;
const CONNECT: u8 = 0x11;
const LIST: u8 = 0x12;
/// Without a greeting put in front.
const CONNECT_BARE: u8 = 0x01;
const LIST_BARE: u8 = 0x02;
pub const TLS_OPPORTUNISTIC: u8 = 1 << 2;
const TLS_REQUIRED: u8 = 2 << 2;
const ALL_WISHES: u8 = 0x7f;

pub fn script(basics: u8, wishes: u8, options: &[u8], limit: u8, clear: &[u8], tls: &[u8]) -> Vec<u8> {
    let [high, low] = (clear.len() as u16).to_be_bytes();
    let mut seed = vec![basics, wishes, options.len() as u8, 7, 0x9e, 0, 0x3f, high, low, limit];
    seed.extend(options);
    seed.extend(clear);
    seed.extend(tls);
    seed
}

/// Option replies whose option number the body fills in.
fn replies(list: &[OptionReply<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for reply in list {
        reply.emit(OptionCode(0), &mut out);
    }
    out
}

pub fn seeds() -> Seeds {
    let facts = ExportFacts { size: 1 << 20, flags: TransmissionFlags::HAS_FLAGS | TransmissionFlags::SEND_FLUSH };
    let sizes = BlockSizes { minimum: 1, preferred: 4096, maximum: 1 << 25 };
    let no = |reply| OptionReply::Error { reply, message: b"not here" };
    let context = |id, name| OptionReply::MetaContext { id: ContextId(id), name };
    let server = |name| OptionReply::Server { name, description: b"one of ours" };
    let ack = OptionReply::Ack;
    let export = OptionReply::Info(Info::Export(facts));
    let all_infos = [
        export,
        OptionReply::Info(Info::Name("canonical")),
        OptionReply::Info(Info::Description(b"text \xff")),
        OptionReply::Info(Info::BlockSize(sizes)),
        OptionReply::Info(Info::Unknown { info: InfoType(0x77), payload: &[7; 100] }),
        ack,
    ];
    let mut seeds = Seeds::new();

    // The list of contexts is asked for twice, because the first has nothing of `qemu:`.
    let (base, bitmap) = (context(1, "base:allocation"), context(2, "qemu:dirty-bitmap:b"));
    let mut list = vec![ack, base, ack, bitmap, ack, base, bitmap, ack];
    list.extend(all_infos);
    seeds.push(("connect_extended_contexts", script(CONNECT, ALL_WISHES, &[], 0, &replies(&list), &[])));

    let list = [no(ReplyType::ERR_UNSUP), no(ReplyType::ERR_UNSUP), no(ReplyType::ERR_UNSUP), server(""), ack];
    let mut stream = replies(&list);
    facts.emit(true, &mut stream);
    seeds.push(("connect_export_name", script(CONNECT, ALL_WISHES, &[], 0, &stream, &[])));

    let mut stream = Vec::new();
    Greeting::Oldstyle(facts).emit(&mut stream);
    seeds.push(("connect_oldstyle", script(CONNECT_BARE, 0, &[], 0, &stream, &[])));
    seeds.push(("list_oldstyle", script(LIST_BARE, 0, &[], 0, &stream, &[])));

    let mut stream = Vec::new();
    Greeting::Newstyle(HandshakeFlags::empty()).emit(&mut stream);
    facts.emit(false, &mut stream);
    seeds.push(("connect_newstyle", script(CONNECT_BARE, 0, &[], 0, &stream, &[])));

    let mut list = vec![ack];
    list.extend(all_infos);
    let (clear, tls) = (replies(&[ack]), replies(&list));
    seeds.push(("connect_tls_required", script(CONNECT | TLS_REQUIRED, 1, &[], 0, &clear, &tls)));
    let mut both = clear.clone();
    both.extend(&tls);
    seeds.push(("connect_clear_behind_starttls", script(CONNECT | TLS_REQUIRED, 1, &[], 0, &both, &[])));
    let list = [no(ReplyType::ERR_POLICY), no(ReplyType::ERR_TLS_REQD)];
    seeds.push(("connect_tls_refused", script(CONNECT | TLS_OPPORTUNISTIC, 1, &[], 0, &replies(&list), &[])));

    let mut list = vec![ack, server("a"), server("b"), ack];
    list.extend(all_infos);
    list.extend([context(0, "base:allocation"), ack, context(0, "qemu:allocation-depth"), ack]);
    list.push(no(ReplyType::ERR_UNKNOWN));
    seeds.push(("list_with_details", script(LIST, ALL_WISHES, &[], 0, &replies(&list), &[])));

    let list = [no(ReplyType::ERR_UNSUP), ack, server("a"), server("b"), server("c"), ack];
    seeds.push(("list_over_limit", script(LIST, 0b11, &[], 2, &replies(&list), &[])));

    // Every option once: STRUCTURED_REPLY, LIST, INFO, LIST_META_CONTEXT, SET_META_CONTEXT twice, an unknown one,
    // EXTENDED_HEADERS, GO.
    let options = [6, 3, 5, 7, 8, 9, 11, 10, 0];
    let mut list = vec![ack, server("a"), ack];
    list.extend(all_infos);
    list.extend([context(0, "base:allocation"), ack, context(1, "base:allocation"), ack]);
    list.extend([context(1, "base:allocation"), context(2, "qemu:x"), ack]);
    list.extend([OptionReply::Unknown { reply: ReplyType(0x77), payload: b"what" }, ack, ack]);
    list.extend(all_infos);
    seeds.push(("interactive_all_options", script(INTERACTIVE, 0, &options, 0, &replies(&list), &[])));

    let mut list = vec![ack];
    list.extend(all_infos);
    let starttls = script(INTERACTIVE | TLS_OPPORTUNISTIC, 0, &[4, 6, 0], 0, &replies(&[ack]), &replies(&list));
    seeds.push(("interactive_starttls", starttls));

    let list = [server("a"), server("b"), server("c"), ack];
    seeds.push(("interactive_over_limit", script(INTERACTIVE, 0, &[3, 0], 2, &replies(&list), &[])));

    let list = [ack, no(ReplyType::ERR_SHUTDOWN)];
    seeds.push(("interactive_shutdown", script(INTERACTIVE, 0, &[6, 3, 0], 0, &replies(&list), &[])));
    seeds
}
