//! Whole streams of clients, from their flags on.

use nbd_proto::fuzzing::ServerSessionHeader;
use nbd_proto::wire::flags::{ClientFlags, CommandFlags};
use nbd_proto::wire::number::{CommandType, ContextId, Cookie, InfoType, OptionCode};
use nbd_proto::wire::option::{InfoRequest, MetaContextRequest, OptionRequest};
use nbd_proto::wire::request::{BlockStatusPayload, CompactRequest, ExtendedRequest};

use crate::Seeds;

fn options(list: &[OptionRequest<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    ClientFlags::all().intersection(ClientFlags::FIXED_NEWSTYLE | ClientFlags::NO_ZEROES).emit(&mut out);
    list.iter().for_each(|option| option.emit(&mut out));
    out
}

fn go(export: &str) -> OptionRequest<'_> {
    OptionRequest::Go(InfoRequest {
        export,
        requests: [InfoType::NAME, InfoType::DESCRIPTION, InfoType::BLOCK_SIZE].into_iter().collect(),
    })
}

fn contexts<'a>(export: &'a str, queries: &[&'a str]) -> MetaContextRequest<'a> {
    MetaContextRequest { export, queries: queries.to_vec() }
}

/// Type, flags, offset, length, payload.
type Request<'a> = (CommandType, CommandFlags, u64, u64, &'a [u8]);

fn compact(out: &mut Vec<u8>, requests: &[Request<'_>]) {
    for (number, (command, flags, offset, length, payload)) in requests.iter().enumerate() {
        let (cookie, length) = (Cookie(number as u64), *length as u32);
        CompactRequest { flags: *flags, command: *command, cookie, offset: *offset, length }.emit(out);
        out.extend(*payload);
    }
}

fn extended(out: &mut Vec<u8>, requests: &[Request<'_>]) {
    for (number, (command, flags, offset, length, payload)) in requests.iter().enumerate() {
        let (cookie, mut flags) = (Cookie(number as u64), *flags);
        flags.set(CommandFlags::PAYLOAD_LEN, !payload.is_empty());
        ExtendedRequest { flags, command: *command, cookie, offset: *offset, length: *length }.emit(out);
        out.extend(*payload);
    }
}

pub fn seeds() -> Seeds {
    let generous = ServerSessionHeader::GENEROUS;
    let none = CommandFlags::empty();
    let data: Vec<u8> = (0..100).collect();
    let requests: &[Request<'_>] = &[
        (CommandType::READ, none, 500, 400, b""),
        (CommandType::WRITE, CommandFlags::FUA, 10, 100, &data),
        (CommandType::READ, CommandFlags::DF, 0, 900, b""),
        (CommandType::BLOCK_STATUS, CommandFlags::REQ_ONE, 0, 4096, b""),
        (CommandType::WRITE, none, u64::MAX, 100, &data),
        (CommandType::TRIM, none, 64, 128, b""),
        (CommandType::WRITE_ZEROES, CommandFlags::FAST_ZERO, 900, 60, b""),
        (CommandType::CACHE, none, 0, 1000, b""),
        (CommandType::FLUSH, none, 0, 0, b""),
        (CommandType(77), none, 0, 0, b""),
        (CommandType::READ, none, 0, 0, b""),
        (CommandType::DISC, none, 0, 0, b""),
    ];
    let set = OptionRequest::SetMetaContext(contexts("a", &["base:allocation", "qemu:dirty-bitmap:b"]));
    let mut seeds = Seeds::new();

    let mut filter = Vec::new();
    BlockStatusPayload { effect_length: 4096, contexts: [ContextId(2)].into_iter().collect() }.emit(&mut filter);
    let filtered: Request<'_> = (CommandType::BLOCK_STATUS, none, 64, filter.len() as u64, &filter);
    let mut stream = options(&[OptionRequest::ExtendedHeaders, set.clone(), go("a")]);
    extended(&mut stream, &[&[filtered], requests].concat());
    seeds.push(("extended_filter", generous.before(&stream)));
    let mut twice = Vec::new();
    BlockStatusPayload { effect_length: 64, contexts: [ContextId(1), ContextId(1)].into_iter().collect() }
        .emit(&mut twice);
    let twice: Request<'_> = (CommandType::BLOCK_STATUS, none, 0, twice.len() as u64, &twice);
    let mut stream = options(&[OptionRequest::ExtendedHeaders, set.clone(), go("a")]);
    extended(&mut stream, &[twice, filtered]);
    seeds.push(("extended_filter_twice", generous.before(&stream)));
    let mut stream = options(&[OptionRequest::ExtendedHeaders, set.clone(), go("a")]);
    extended(&mut stream, requests);
    seeds.push(("extended", generous.before(&stream)));
    let busy = ServerSessionHeader { lets_wait: 0x83, in_flight: 3, fails: 0b0010_1000, declines: 2, ..generous };
    seeds.push(("extended_last_first", busy.before(&stream)));
    seeds.push(("extended_huge", ServerSessionHeader { export: 3, ..generous }.before(&stream)));

    let mut stream = options(&[OptionRequest::StructuredReply, set.clone(), go("a")]);
    compact(&mut stream, requests);
    seeds.push(("structured", generous.before(&stream)));
    seeds.push(("structured_blocks", ServerSessionHeader { export: 0b01000, ..busy }.before(&stream)));
    seeds.push(("structured_read_only", ServerSessionHeader { export: 0b100, ..generous }.before(&stream)));
    seeds.push(("structured_shut_down", ServerSessionHeader { shuts_down: 3, ..generous }.before(&stream)));
    // Behind the disconnect nothing is read.
    compact(&mut stream, requests);
    seeds.push(("structured_tight", ServerSessionHeader { greeting: 0x80, ..busy }.before(&stream)));

    let mut stream = options(&[OptionRequest::ExportName("a")]);
    compact(&mut stream, requests);
    seeds.push(("simple_by_export_name", generous.before(&stream)));
    seeds.push(("newstyle", ServerSessionHeader { greeting: 1, ..generous }.before(&stream)));
    seeds.push(("secretive", ServerSessionHeader { refusal: 0x82, ..generous }.before(&stream)));
    let mut stream = Vec::new();
    compact(&mut stream, requests);
    seeds.push(("oldstyle", ServerSessionHeader { greeting: 2, ..busy }.before(&stream)));

    let info = OptionRequest::Info(InfoRequest { export: "missing", requests: [InfoType(77)].into_iter().collect() });
    let list = OptionRequest::ListMetaContext(contexts("a", &[]));
    let unknown = OptionRequest::Unknown { option: OptionCode(77), payload: b"payload" };
    let every = [
        OptionRequest::List,
        info.clone(),
        list.clone(),
        OptionRequest::StructuredReply,
        list,
        set,
        OptionRequest::ExtendedHeaders,
        unknown,
        OptionRequest::StartTls,
        OptionRequest::Abort,
    ];
    seeds.push(("every_option", generous.before(&options(&every))));
    seeds.push(("every_option_secretive", ServerSessionHeader { refusal: 0x88, ..generous }.before(&options(&every))));

    let mut stream = options(&[OptionRequest::List, OptionRequest::StartTls]);
    let clear = (stream.len() as u16).to_be_bytes();
    go("a").emit(&mut stream);
    compact(&mut stream, requests);
    let tls = ServerSessionHeader { greeting: 2 << 5, export: 0x80, clear, ..generous };
    seeds.push(("tls", tls.before(&stream)));
    seeds.push(("clear_text_behind_starttls", ServerSessionHeader { clear: [0; 2], ..tls }.before(&stream)));
    seeds
}
