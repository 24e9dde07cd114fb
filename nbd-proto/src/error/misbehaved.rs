//! Sound messages where they may not stand.

use thiserror::Error as ThisError;

use crate::handshake::ReplyStyle;
use crate::limits::{MAX_ERROR_CHUNKS, MAX_FRAGMENTS};
use crate::text::Escaped;
use crate::wire::number::{ChunkType, CommandType, ContextId, Cookie, OptionCode, ReplyType};
use alloc::string::String;

/// Which rule a peer broke.
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum PeerMisbehaved {
    /// A reply to an option that is not the one asked (R1).
    #[error("a reply to {got} came where one to {asked} was awaited")]
    WrongOption {
        /// What was asked.
        asked: OptionCode,
        /// What was answered.
        got: OptionCode,
    },
    /// A reply that the option does not return (R7).
    #[error("{got} came in answer to {option}, where {expected} was expected")]
    UnexpectedOptionReply {
        /// What was asked.
        option: OptionCode,
        /// What came.
        got: ReplyType,
        /// What the option returns.
        expected: &'static str,
    },
    /// Success of `INFO` or `GO` without the one information that must come (O6).
    #[error("{option} was acknowledged before NBD_INFO_EXPORT had been sent")]
    AckBeforeExport {
        /// `INFO` or `GO`.
        option: OptionCode,
    },
    /// Transmission flags without `HAS_FLAGS` (O6).
    #[error("the transmission flags {flags:#06x} lack NBD_FLAG_HAS_FLAGS")]
    FlagsMissing {
        /// What came.
        flags: u16,
    },
    /// Plain text behind the acknowledgement of `STARTTLS`; or, in a server, behind `STARTTLS` itself.
    #[error("bytes came in clear behind NBD_OPT_STARTTLS; somebody may be tampering")]
    ClearTextBehindStartTls,
    /// `TLS_REQD` although TLS is on (spec, *FORCEDTLS mode*).
    #[error("{option} was answered with NBD_REP_ERR_TLS_REQD although TLS is in use")]
    TlsRequiredInsideTls {
        /// What was asked.
        option: OptionCode,
    },
    /// More replies to one option than the limit allows.
    #[error("{option} brought more than {limit} replies; raise the limit if the server really has so many")]
    TooManyReplies {
        /// What was asked.
        option: OptionCode,
        /// [`HandshakeLimits::replies_per_option`](crate::limits::HandshakeLimits::replies_per_option)
        limit: u32,
    },
    /// More reply bytes than the limit allows.
    #[error("the replies to options add up to more than {limit} bytes; raise the limit if that is right")]
    TooManyReplyBytes {
        /// [`HandshakeLimits::reply_bytes`](crate::limits::HandshakeLimits::reply_bytes)
        limit: u64,
    },
    /// `SET_META_CONTEXT` with one plain query brought another context (O9).
    #[error("metadata context \"{}\" was asked for, \"{}\" came", Escaped(.asked), Escaped(.got))]
    WrongContext {
        /// The query.
        asked: String,
        /// The name that came.
        got: String,
    },
    /// `SET_META_CONTEXT` with one plain query brought several contexts (O9).
    #[error("metadata context \"{}\" was asked for, and several came", Escaped(.asked))]
    SeveralContexts {
        /// The query.
        asked: String,
    },
    /// Two selected contexts with one id.
    #[error("the server gave id {id} to two metadata contexts")]
    ContextIdTwice {
        /// The id.
        id: ContextId,
    },
    /// `GO` unsupported by a server that agreed to extended headers (which forbids `EXPORT_NAME`).
    #[error("the server agreed to extended headers, yet it does not support NBD_OPT_GO")]
    ExtendedHeadersWithoutGo,

    /// Client flags that the server did not offer ("the server MUST drop the TCP connection", spec, *Client flags*).
    #[error("the client answers the greeting with the flags {got:#010x}, and {offered:#06x} were offered")]
    ClientFlags {
        /// What the client sent.
        got: u32,
        /// What the server offered.
        offered: u16,
    },
    /// Another option than `EXPORT_NAME` ("the only valid option in nonfixed newstyle negotiation", spec).
    #[error("{option} came in a handshake that is not fixed newstyle, where only NBD_OPT_EXPORT_NAME may")]
    OptionNotFixed {
        /// What was asked.
        option: OptionCode,
    },
    /// `EXPORT_NAME` after extended headers were agreed (spec, `NBD_OPT_EXPORT_NAME`).
    #[error("the client agreed to extended headers and then used NBD_OPT_EXPORT_NAME, which rules them out")]
    ExportNameWithExtendedHeaders,
    /// An option with more payload than a server is willing to skip.
    #[error("{option} has a payload of {length} bytes; more than {limit} are not skipped")]
    OptionTooLong {
        /// What was asked.
        option: OptionCode,
        /// The length of its payload in bytes.
        length: u32,
        /// [`ServerHandshakeLimits::skipped_payload`](crate::limits::ServerHandshakeLimits::skipped_payload)
        limit: u32,
    },
    /// More options on one connection than the limit allows.
    #[error("the client sent more than {limit} options; raise the limit if it really needs so many")]
    TooManyOptions {
        /// [`ServerHandshakeLimits::options`](crate::limits::ServerHandshakeLimits::options)
        limit: u32,
    },
    /// A request with more payload than a server is willing to skip.
    #[error("{command} has a payload of {length} bytes; more than {limit} are not skipped")]
    PayloadTooLong {
        /// The command.
        command: CommandType,
        /// The length of its payload in bytes.
        length: u64,
        /// [`ServerSettings::max_skipped`](crate::transmission::ServerSettings::max_skipped), or the maximum payload
        /// that was offered.
        limit: u64,
    },

    /// A reply to a request that is not in flight.
    #[error("a reply names the cookie {cookie}, which no request in flight has")]
    UnknownCookie {
        /// The cookie.
        cookie: Cookie,
    },
    /// A reply in a style that was not agreed.
    #[error("a reply in {got} style came, but {agreed} replies were agreed")]
    ReplyStyle {
        /// What was agreed.
        agreed: ReplyStyle,
        /// What came.
        got: ReplyStyle,
    },
    /// A simple reply where only chunks may answer.
    #[error("{command} was answered with a simple reply, which structured replies rule out")]
    SimpleReply {
        /// The command.
        command: CommandType,
    },
    /// A chunk that the command cannot bring.
    #[error("{chunk} came in answer to {command}, which does not bring it")]
    WrongChunk {
        /// The command.
        command: CommandType,
        /// The chunk.
        chunk: ChunkType,
    },
    /// A chunk type that is neither known nor an error.
    #[error("{chunk} came, which this client does not know")]
    UnknownChunk {
        /// The chunk.
        chunk: ChunkType,
    },
    /// `NBD_REPLY_TYPE_NONE` without `NBD_REPLY_FLAG_DONE`.
    #[error("NBD_REPLY_TYPE_NONE came without NBD_REPLY_FLAG_DONE")]
    NoneNotDone,
    /// Content outside the range that was asked for.
    #[error("{length} bytes at {offset} came in answer to a read of {asked_length} bytes at {asked_offset}")]
    OutOfBounds {
        /// Where the content claims to be.
        offset: u64,
        /// Its length.
        length: u64,
        /// The request's offset.
        asked_offset: u64,
        /// The request's length.
        asked_length: u64,
    },
    /// Content that was there already.
    #[error("{length} bytes at {offset} overlap with what this read has had already")]
    Overlap {
        /// Where the content claims to be.
        offset: u64,
        /// Its length.
        length: u64,
    },
    /// A read answered in more disjoint pieces than can be kept track of.
    #[error("a read is answered in more than {MAX_FRAGMENTS} disjoint pieces")]
    TooManyFragments,
    /// A reply with more error chunks than any command has a use for.
    #[error("the reply to one command has more than {MAX_ERROR_CHUNKS} error chunks")]
    TooManyErrors,
    /// A second content chunk, or a hole beside data, despite the DF flag.
    #[error("a read with NBD_CMD_FLAG_DF was answered in more than one content chunk")]
    Fragmented,
    /// An error chunk whose offset lies outside the request.
    #[error("an error at offset {offset} came for a request of {asked_length} bytes at {asked_offset}")]
    ErrorOffsetOutOfBounds {
        /// Where the error claims to be.
        offset: u64,
        /// The request's offset.
        asked_offset: u64,
        /// The request's length.
        asked_length: u64,
    },
    /// A block status of a context that was not selected, or not asked for.
    #[error("a block status came for metadata context {context}, which was not asked for")]
    ContextNotAsked {
        /// The context.
        context: ContextId,
    },
    /// Two block status chunks of one context in one reply.
    #[error("two block status chunks for metadata context {context} came in one reply")]
    ContextTwice {
        /// The context.
        context: ContextId,
    },
    /// More than one extent, or one longer than the request, despite `REQ_ONE`.
    #[error("a block status request with NBD_CMD_FLAG_REQ_ONE brought more than one extent, or too long a one")]
    MoreThanOneExtent,
    /// An extent that begins at or behind the end of the request.
    #[error("a block status went on behind the {asked_length} bytes that were asked for")]
    ExtentBehindRequest {
        /// The request's length.
        asked_length: u64,
    },
    /// An extended reply that does not echo the request's offset.
    #[error("an extended reply echoes offset {got}, the request had {asked}")]
    OffsetEcho {
        /// The request's offset.
        asked: u64,
        /// What came.
        got: u64,
    },
    /// A status with upper bits set in a context of 32-bit flags (`base:`).
    #[error("metadata context {context} has 32-bit flags, and {flags:#x} came")]
    WideFlags {
        /// The context.
        context: ContextId,
        /// What came.
        flags: u64,
    },
}
