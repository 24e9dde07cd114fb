//! Octets by hand, so that the crate's own emitters prove nothing here.

/// `NBDMAGIC`
pub(crate) const NBDMAGIC: &[u8] = b"NBDMAGIC";
/// `IHAVEOPT`
pub(crate) const IHAVEOPT: &[u8] = b"IHAVEOPT";
/// The oldstyle magic.
pub(crate) const OLDSTYLE: &[u8] = &[0, 0, 0x42, 0x02, 0x81, 0x86, 0x12, 0x53];

pub(crate) const EXPORT_NAME: u32 = 1;
pub(crate) const ABORT: u32 = 2;
pub(crate) const LIST: u32 = 3;
pub(crate) const STARTTLS: u32 = 5;
pub(crate) const INFO: u32 = 6;
pub(crate) const GO: u32 = 7;
pub(crate) const STRUCTURED_REPLY: u32 = 8;
pub(crate) const LIST_META_CONTEXT: u32 = 9;
pub(crate) const SET_META_CONTEXT: u32 = 10;
pub(crate) const EXTENDED_HEADERS: u32 = 11;

pub(crate) const REP_ACK: u32 = 1;
pub(crate) const REP_SERVER: u32 = 2;
pub(crate) const REP_INFO: u32 = 3;
pub(crate) const REP_META_CONTEXT: u32 = 4;

pub(crate) const UNSUP: u32 = 0x8000_0001;
pub(crate) const POLICY: u32 = 0x8000_0002;
pub(crate) const INVALID: u32 = 0x8000_0003;
pub(crate) const PLATFORM: u32 = 0x8000_0004;
pub(crate) const TLS_REQD: u32 = 0x8000_0005;
pub(crate) const UNKNOWN: u32 = 0x8000_0006;
pub(crate) const SHUTDOWN: u32 = 0x8000_0007;
pub(crate) const BLOCK_SIZE_REQD: u32 = 0x8000_0008;
pub(crate) const TOO_BIG: u32 = 0x8000_0009;
pub(crate) const EXT_HEADER_REQD: u32 = 0x8000_000a;

/// Every error a server may answer an option with, and one that nobody knows.
pub(crate) const ERRORS: [u32; 11] = [
    UNSUP,
    POLICY,
    INVALID,
    PLATFORM,
    TLS_REQD,
    UNKNOWN,
    SHUTDOWN,
    BLOCK_SIZE_REQD,
    TOO_BIG,
    EXT_HEADER_REQD,
    0x8000_7777,
];

/// Joins pieces.
pub(crate) fn join(pieces: &[&[u8]]) -> Vec<u8> {
    pieces.concat()
}

/// What a newstyle server says first.
pub(crate) fn greeting(flags: u16) -> Vec<u8> {
    join(&[NBDMAGIC, IHAVEOPT, &flags.to_be_bytes()])
}

/// What an oldstyle server says first.
pub(crate) fn oldstyle(size: u64, flags: u32) -> Vec<u8> {
    join(&[NBDMAGIC, OLDSTYLE, &size.to_be_bytes(), &flags.to_be_bytes(), &[0; 124]])
}

/// One reply to an option.
pub(crate) fn reply(option: u32, kind: u32, payload: &[u8]) -> Vec<u8> {
    let magic = [0, 0x03, 0xe8, 0x89, 0x04, 0x55, 0x65, 0xa9];
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    join(&[&magic, &option.to_be_bytes(), &kind.to_be_bytes(), &length, payload])
}

/// The reply header alone, with a length of one's own.
pub(crate) fn reply_header(option: u32, kind: u32, length: u32) -> Vec<u8> {
    let mut header = reply(option, kind, b"");
    header[16..].copy_from_slice(&length.to_be_bytes());
    header
}

/// Success.
pub(crate) fn ack(option: u32) -> Vec<u8> {
    reply(option, REP_ACK, b"")
}

/// A refusal without words.
pub(crate) fn refused(option: u32, kind: u32) -> Vec<u8> {
    reply(option, kind, b"")
}

/// `NBD_REP_SERVER`
pub(crate) fn server(name: &str, description: &str) -> Vec<u8> {
    reply(LIST, REP_SERVER, &join(&[&string(name), description.as_bytes()]))
}

/// `NBD_REP_META_CONTEXT`
pub(crate) fn context(option: u32, id: u32, name: &str) -> Vec<u8> {
    reply(option, REP_META_CONTEXT, &join(&[&id.to_be_bytes(), name.as_bytes()]))
}

/// `NBD_REP_INFO` of any type.
pub(crate) fn info(option: u32, kind: u16, payload: &[u8]) -> Vec<u8> {
    reply(option, REP_INFO, &join(&[&kind.to_be_bytes(), payload]))
}

/// `NBD_INFO_EXPORT`
pub(crate) fn info_export(option: u32, size: u64, flags: u16) -> Vec<u8> {
    info(option, 0, &join(&[&size.to_be_bytes(), &flags.to_be_bytes()]))
}

/// `NBD_INFO_BLOCK_SIZE`
pub(crate) fn info_block_size(option: u32, minimum: u32, preferred: u32, maximum: u32) -> Vec<u8> {
    info(option, 3, &join(&[&minimum.to_be_bytes(), &preferred.to_be_bytes(), &maximum.to_be_bytes()]))
}

/// The answer to `EXPORT_NAME`, without its zeroes.
pub(crate) fn export_facts(size: u64, flags: u16) -> Vec<u8> {
    join(&[&size.to_be_bytes(), &flags.to_be_bytes()])
}

/// A string behind its length.
pub(crate) fn string(text: &str) -> Vec<u8> {
    join(&[&u32::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()])
}

/// What a client answers to a newstyle greeting.
pub(crate) fn client_flags(flags: u32) -> Vec<u8> {
    flags.to_be_bytes().to_vec()
}

/// An option as a client sends it.
pub(crate) fn option(option: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    join(&[IHAVEOPT, &option.to_be_bytes(), &length, payload])
}

/// `INFO` or `GO` as a client sends it.
pub(crate) fn ask_info(code: u32, export: &str, infos: &[u16]) -> Vec<u8> {
    let count = u16::try_from(infos.len()).unwrap().to_be_bytes();
    let infos: Vec<u8> = infos.iter().flat_map(|info| info.to_be_bytes()).collect();
    option(code, &join(&[&string(export), &count, &infos]))
}

/// `LIST_META_CONTEXT` or `SET_META_CONTEXT` as a client sends it.
pub(crate) fn ask_contexts(code: u32, export: &str, queries: &[&str]) -> Vec<u8> {
    let count = u32::try_from(queries.len()).unwrap().to_be_bytes();
    let queries: Vec<u8> = queries.iter().flat_map(|query| string(query)).collect();
    option(code, &join(&[&string(export), &count, &queries]))
}
