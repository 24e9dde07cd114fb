//! Bytes that are no message of the protocol.

use core::fmt;
use thiserror::Error as ThisError;

use crate::limits::MAX_STRING;
use crate::wire::info::BlockSizes;
use crate::wire::number::{ChunkType, ContextId};

/// What is wrong with one message, seen without knowing what came before it.
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum InvalidMessage {
    /// A message does not begin as it must.
    #[error("{message} expected, but the bytes begin with {got:#0width$x}{}", hint(*.message), width = width(*.message))]
    Magic {
        /// What was expected.
        message: Message,
        /// What stood in the place of the magic.
        got: u64,
    },
    /// An oldstyle greeting with bits in the upper half of its flags (H5).
    #[error("an oldstyle greeting has flags {got:#010x}; the upper 16 bits must be zero")]
    OldstyleFlags {
        /// The flags.
        got: u32,
    },
    /// A payload whose length does not fit its kind.
    #[error("{message} has a payload of {got} bytes where {expected} is right")]
    Length {
        /// The message.
        message: Message,
        /// What its length may be.
        expected: Expected,
        /// What it is.
        got: u64,
    },
    /// A length inside a payload that does not fit the payload; or the payload ends before the length is whole,
    /// and then `length` is what that number itself takes.
    #[error("{field} claims {length} bytes in a payload that has room for {room}")]
    InnerLength {
        /// What the length is of.
        field: Field,
        /// The claim, in bytes.
        length: u64,
        /// What is left of the payload, in bytes.
        room: u64,
    },
    /// Bytes behind the last field of a payload.
    #[error("{message} has {extra} bytes behind its last field")]
    TrailingBytes {
        /// The message.
        message: Message,
        /// How many.
        extra: u64,
    },
    /// A string over the protocol's bound.
    #[error("{field} is {length} bytes long; the protocol allows {MAX_STRING}")]
    StringTooLong {
        /// Which string.
        field: Field,
        /// Its length in bytes.
        length: u64,
    },
    /// A name that is not UTF-8.
    #[error("{field} is not UTF-8")]
    NotUtf8 {
        /// Which string.
        field: Field,
    },
    /// A name with a NUL in it.
    #[error("{field} has a NUL character in it")]
    HasNul {
        /// Which string.
        field: Field,
    },
    /// Block sizes that cannot be worked with (O4).
    #[error(
        "the block sizes minimum {}, preferred {}, maximum {} make no sense: the first two must be powers of \
         two, and none may be below the minimum",
        .sizes.minimum, .sizes.preferred, .sizes.maximum
    )]
    BlockSizes {
        /// What the server sent.
        sizes: BlockSizes,
    },
    /// A hole of no bytes.
    #[error("a hole of length 0 came; it must be 1 byte at least")]
    EmptyHole,
    /// An extent of no bytes.
    #[error("an extent of length 0 came in metadata context {context}; it must be 1 byte at least")]
    EmptyExtent {
        /// The context.
        context: ContextId,
    },
    /// A 64-bit block status whose count is not the number of its descriptors.
    #[error("a block status chunk claims {told} descriptors and holds {count}")]
    DescriptorCount {
        /// The claim.
        told: u32,
        /// What the length of the payload gives.
        count: u32,
    },
    /// An error chunk that says "no error".
    #[error("an error chunk ({chunk}) came with error number 0, which stands for success")]
    ErrorChunkWithoutError {
        /// The type of the chunk.
        chunk: ChunkType,
    },
}

/// How many characters show a magic: `0x`, and its 64 bits, or 32 in the transmission phase.
fn width(message: Message) -> usize {
    match message {
        Message::Request | Message::Reply => 10,
        _ => 18,
    }
}

fn hint(message: Message) -> &'static str {
    match message {
        Message::Greeting => "; is this an NBD server?",
        _ => "",
    }
}

/// A length rule, for messages to people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// This many bytes.
    Exactly(u64),
    /// This many or more.
    AtLeast(u64),
    /// From the first to the second, both included.
    Between(u64, u64),
    /// `base`, or `base` and any multiple of `of`.
    Multiple {
        /// The fixed part.
        base: u64,
        /// The unit of the rest.
        of: u64,
    },
    /// `base` and at least one `of`.
    PositiveMultiple {
        /// The fixed part.
        base: u64,
        /// The unit of the rest.
        of: u64,
    },
}

impl Expected {
    /// Whether a length keeps the rule.
    pub const fn holds(self, length: u64) -> bool {
        match self {
            Self::Exactly(exact) => length == exact,
            Self::AtLeast(least) => length >= least,
            Self::Between(least, most) => least <= length && length <= most,
            Self::Multiple { base, of } => length >= base && (length - base) % of == 0,
            Self::PositiveMultiple { base, of } => length > base && (length - base) % of == 0,
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(exact) => write!(f, "exactly {exact}"),
            Self::AtLeast(least) => write!(f, "at least {least}"),
            Self::Between(least, most) => write!(f, "{least} to {most}"),
            Self::Multiple { base, of } => write!(f, "{base} and a multiple of {of}"),
            Self::PositiveMultiple { base, of } => write!(f, "{base} and a positive multiple of {of}"),
        }
    }
}

macro_rules! described {
    ($(#[$meta:meta])* $name:ident { $($variant:ident => $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum $name {
            $(#[doc = concat!("Shown as \"", $text, "\".")] $variant,)*
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$variant => $text,)*
                })
            }
        }
    };
}

described! {
    /// A message of the protocol, as errors name it.
    Message {
        Greeting => "the greeting NBDMAGIC",
        GreetingStyle => "the greeting's second half (IHAVEOPT, or the oldstyle magic)",
        OptionRequest => "an option request",
        OptionReply => "an option reply",
        Ack => "NBD_REP_ACK",
        Server => "NBD_REP_SERVER",
        Info => "NBD_REP_INFO",
        InfoExport => "NBD_INFO_EXPORT",
        InfoBlockSize => "NBD_INFO_BLOCK_SIZE",
        MetaContext => "NBD_REP_META_CONTEXT",
        ErrorReply => "an error reply",
        Request => "a request",
        BlockStatusPayload => "the payload of NBD_CMD_BLOCK_STATUS",
        Reply => "a reply (simple, structured or extended)",
        NoneChunk => "NBD_REPLY_TYPE_NONE",
        OffsetData => "NBD_REPLY_TYPE_OFFSET_DATA",
        OffsetHole => "NBD_REPLY_TYPE_OFFSET_HOLE",
        BlockStatus => "a block status chunk",
        ErrorChunk => "an error chunk",
    }
}

described! {
    /// A field of a message, as errors name it.
    Field {
        ExportName => "an export name",
        Description => "a description",
        ContextName => "the name of a metadata context",
        ErrorMessage => "an error message",
        InfoRequests => "the list of information requests",
        Queries => "the list of queries",
        Query => "a metadata query",
    }
}
