//! Arbitrary values of every wire type: valid ones, with unknown numbers and flags among them.
//!
//! Messages borrow what they hold. Here they borrow it for ever: [`keep`] leaks it, a few megabytes a run, so that
//! a message can be a strategy's value.

use nbd_proto::wire::chunk::{Chunk, Descriptor, Descriptors, ErrorChunk, OffsetHole, Width};
use nbd_proto::wire::flags::{ClientFlags, CommandFlags, HandshakeFlags, ReplyFlags, TransmissionFlags};
use nbd_proto::wire::greeting::{ExportFacts, Greeting};
use nbd_proto::wire::info::{BlockSizes, Info};
use nbd_proto::wire::number::{ChunkType, CommandType, ContextId, Cookie, ErrorValue, InfoType, OptionCode, ReplyType};
use nbd_proto::wire::option::{InfoRequest, MetaContextRequest, OptionHeader, OptionRequest};
use nbd_proto::wire::option_reply::OptionReply;
use nbd_proto::wire::reply::{ExtendedReply, ReplyHeader, SimpleReply, StructuredReply};
use nbd_proto::wire::request::{BlockStatusPayload, CompactRequest, ExtendedRequest};
use proptest::collection::vec;
use proptest::prelude::*;

fn keep(bytes: Vec<u8>) -> &'static [u8] {
    bytes.leak()
}

/// A name that the protocol can carry.
pub(crate) fn name() -> impl Strategy<Value = &'static str> {
    let any = prop_oneof![
        4 => "[^\0]{0,40}",
        2 => "[a-z]{1,8}:[a-z:-]{0,16}",
        1 => (4090..=4096_usize).prop_map(|length| "a".repeat(length)),
        1 => (2040..=2048_usize).prop_map(|length| "é".repeat(length)),
    ];
    any.prop_map(|name| &*name.leak())
}

/// A text for people that the protocol can carry.
pub(crate) fn text() -> impl Strategy<Value = &'static [u8]> {
    prop_oneof![4 => vec(any::<u8>(), 0..64), 1 => vec(any::<u8>(), 4090..=4096)].prop_map(keep)
}

fn payload(least: usize) -> impl Strategy<Value = &'static [u8]> {
    vec(any::<u8>(), least..200).prop_map(keep)
}

/// Small numbers, where the known ones are, and any others.
fn number16() -> impl Strategy<Value = u16> {
    prop_oneof![0..16_u16, any::<u16>()]
}

/// As [`number16`], and the numbers of errors.
fn number32() -> impl Strategy<Value = u32> {
    prop_oneof![0..16_u32, 0x8000_0000..0x8000_0010_u32, any::<u32>()]
}

pub(crate) fn option_code() -> impl Strategy<Value = OptionCode> {
    number32().prop_map(OptionCode)
}

pub(crate) fn reply_type() -> impl Strategy<Value = ReplyType> {
    number32().prop_map(ReplyType)
}

pub(crate) fn chunk_type() -> impl Strategy<Value = ChunkType> {
    prop_oneof![0..8_u16, 0x8000..0x8008_u16, any::<u16>()].prop_map(ChunkType)
}

pub(crate) fn export_facts() -> impl Strategy<Value = ExportFacts> {
    any::<(u64, u16)>()
        .prop_map(|(size, flags)| ExportFacts { size, flags: TransmissionFlags::from_bits_retain(flags) })
}

pub(crate) fn greeting() -> impl Strategy<Value = Greeting> {
    prop_oneof![
        export_facts().prop_map(Greeting::Oldstyle),
        any::<u16>().prop_map(|flags| Greeting::Newstyle(HandshakeFlags::from_bits_retain(flags))),
    ]
}

pub(crate) fn client_flags() -> impl Strategy<Value = ClientFlags> {
    any::<u32>().prop_map(ClientFlags::from_bits_retain)
}

pub(crate) fn option_header() -> impl Strategy<Value = OptionHeader> {
    (option_code(), any::<u32>()).prop_map(|(option, length)| OptionHeader { option, length })
}

fn info_request() -> impl Strategy<Value = InfoRequest<'static>> {
    (name(), vec(number16(), 0..10)).prop_map(|(export, requests)| {
        let requests = requests.into_iter().map(InfoType).collect();
        InfoRequest { export, requests }
    })
}

fn meta_context_request() -> impl Strategy<Value = MetaContextRequest<'static>> {
    (name(), vec(name(), 0..8)).prop_map(|(export, queries)| MetaContextRequest { export, queries })
}

pub(crate) fn option_request() -> impl Strategy<Value = OptionRequest<'static>> {
    let unknown = (option_code(), payload(0))
        .prop_filter("an option without a type of its own", |(option, _)| {
            *option == OptionCode::PEEK_EXPORT || option.name().is_none()
        })
        .prop_map(|(option, payload)| OptionRequest::Unknown { option, payload });
    prop_oneof![
        name().prop_map(OptionRequest::ExportName),
        Just(OptionRequest::Abort),
        Just(OptionRequest::List),
        Just(OptionRequest::StartTls),
        info_request().prop_map(OptionRequest::Info),
        info_request().prop_map(OptionRequest::Go),
        Just(OptionRequest::StructuredReply),
        meta_context_request().prop_map(OptionRequest::ListMetaContext),
        meta_context_request().prop_map(OptionRequest::SetMetaContext),
        Just(OptionRequest::ExtendedHeaders),
        unknown,
    ]
}

/// Block sizes that can be worked with, whether they keep the specification or not.
fn block_sizes() -> impl Strategy<Value = BlockSizes> {
    (0..32_u32, 0..32_u32, any::<u32>()).prop_map(|(one, other, maximum)| {
        let minimum = 1 << one.min(other);
        BlockSizes { minimum, preferred: 1 << one.max(other), maximum: maximum.max(minimum) }
    })
}

pub(crate) fn info() -> impl Strategy<Value = Info<'static>> {
    prop_oneof![
        export_facts().prop_map(Info::Export),
        name().prop_map(Info::Name),
        text().prop_map(Info::Description),
        block_sizes().prop_map(Info::BlockSize),
        (4..=u16::MAX, payload(0)).prop_map(|(info, payload)| Info::Unknown { info: InfoType(info), payload }),
    ]
}

pub(crate) fn option_reply() -> impl Strategy<Value = OptionReply<'static>> {
    let context = (any::<u32>(), name())
        .prop_filter("the name of a context is not empty", |(_, name)| !name.is_empty())
        .prop_map(|(id, name)| OptionReply::MetaContext { id: ContextId(id), name });
    let error = (prop_oneof![0..16_u32, 0..1_u32 << 31], text())
        .prop_map(|(number, message)| OptionReply::Error { reply: ReplyType(number | 1 << 31), message });
    let unknown = (prop_oneof![Just(0), 5..16_u32, 5..1_u32 << 31], payload(0))
        .prop_map(|(number, payload)| OptionReply::Unknown { reply: ReplyType(number), payload });
    prop_oneof![
        Just(OptionReply::Ack),
        (name(), text()).prop_map(|(name, description)| OptionReply::Server { name, description }),
        info().prop_map(OptionReply::Info),
        context,
        error,
        unknown,
    ]
}

pub(crate) fn compact_request() -> impl Strategy<Value = CompactRequest> {
    (any::<u16>(), number16(), any::<(u64, u64, u32)>()).prop_map(|(flags, command, (cookie, offset, length))| {
        let (flags, command) = (CommandFlags::from_bits_retain(flags), CommandType(command));
        CompactRequest { flags, command, cookie: Cookie(cookie), offset, length }
    })
}

pub(crate) fn extended_request() -> impl Strategy<Value = ExtendedRequest> {
    (any::<u16>(), number16(), any::<(u64, u64, u64)>()).prop_map(|(flags, command, (cookie, offset, length))| {
        let (flags, command) = (CommandFlags::from_bits_retain(flags), CommandType(command));
        ExtendedRequest { flags, command, cookie: Cookie(cookie), offset, length }
    })
}

pub(crate) fn block_status_payload() -> impl Strategy<Value = BlockStatusPayload> {
    (any::<u64>(), vec(any::<u32>(), 0..20)).prop_map(|(effect_length, contexts)| {
        let contexts = contexts.into_iter().map(ContextId).collect();
        BlockStatusPayload { effect_length, contexts }
    })
}

pub(crate) fn reply_header() -> impl Strategy<Value = ReplyHeader> {
    let chunk = || (any::<u16>().prop_map(ReplyFlags::from_bits_retain), chunk_type(), any::<u64>().prop_map(Cookie));
    prop_oneof![
        (number32(), any::<u64>()).prop_map(|(error, cookie)| {
            ReplyHeader::Simple(SimpleReply { error: ErrorValue(error), cookie: Cookie(cookie) })
        }),
        (chunk(), any::<u32>()).prop_map(|((flags, chunk, cookie), length)| {
            ReplyHeader::Structured(StructuredReply { flags, chunk, cookie, length })
        }),
        (chunk(), any::<(u64, u64)>()).prop_map(|((flags, chunk, cookie), (offset, length))| {
            ReplyHeader::Extended(ExtendedReply { flags, chunk, cookie, offset, length })
        }),
    ]
}

pub(crate) fn descriptor(width: Width) -> impl Strategy<Value = Descriptor> {
    let most = match width {
        Width::Bits32 => u64::from(u32::MAX),
        Width::Bits64 => u64::MAX,
    };
    (1..=most, 0..=most).prop_map(|(length, flags)| Descriptor { length, flags })
}

fn block_status(width: Width) -> impl Strategy<Value = Chunk<'static>> {
    (any::<u32>(), vec(descriptor(width), 1..30)).prop_map(move |(context, descriptors)| {
        let mut bytes = Vec::new();
        for descriptor in &descriptors {
            descriptor.emit(width, &mut bytes);
        }
        let extents = Descriptors::new(width, keep(bytes));
        assert!(extents.clone().eq(descriptors), "descriptors come back as they went");
        Chunk::BlockStatus { context: ContextId(context), extents }
    })
}

fn error_chunk() -> impl Strategy<Value = ErrorChunk<'static>> {
    let error = || prop_oneof![1..200_u32, 1..=u32::MAX].prop_map(ErrorValue);
    let unknown = prop_oneof![Just(0x8000_u16), 0x8003..=u16::MAX].prop_map(ChunkType);
    prop_oneof![
        (error(), text()).prop_map(|(error, message)| {
            ErrorChunk { chunk: ChunkType::ERROR, error, message, offset: None, rest: b"" }
        }),
        (error(), text(), any::<u64>()).prop_map(|(error, message, offset)| {
            ErrorChunk { chunk: ChunkType::ERROR_OFFSET, error, message, offset: Some(offset), rest: b"" }
        }),
        (unknown, error(), text(), text()).prop_map(|(chunk, error, message, rest)| ErrorChunk {
            chunk,
            error,
            message,
            offset: None,
            rest
        }),
    ]
}

pub(crate) fn chunk() -> impl Strategy<Value = Chunk<'static>> {
    let unknown = prop_oneof![3..5_u16, 7..0x8000_u16].prop_map(ChunkType);
    prop_oneof![
        Just(Chunk::None),
        (any::<u64>(), payload(1)).prop_map(|(offset, data)| Chunk::OffsetData { offset, data }),
        (any::<u64>(), 1..=u32::MAX).prop_map(|(offset, length)| Chunk::OffsetHole(OffsetHole { offset, length })),
        block_status(Width::Bits32),
        block_status(Width::Bits64),
        error_chunk().prop_map(Chunk::Error),
        (unknown, payload(0)).prop_map(|(chunk, payload)| Chunk::Unknown { chunk, payload }),
    ]
}
