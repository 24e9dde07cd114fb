//! What a handshake ends in.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::limits::DEFAULT_MAX_PAYLOAD;
use crate::wire::flags::TransmissionFlags;
use crate::wire::info::BlockSizes;
use crate::wire::number::ContextId;

/// How a server opens a connection (spec, *Handshake*).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeStyle {
    /// Size and flags at once, one export, no options.
    Oldstyle,
    /// The only option is `EXPORT_NAME`.
    Newstyle,
    /// Any option, each with replies.
    FixedNewstyle,
}

/// How replies of the transmission phase look; the handshake agrees on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyStyle {
    /// Simple replies only: the default.
    Simple,
    /// Structured chunks, and simple replies where no payload is needed.
    Structured,
    /// Extended requests and extended chunks, nothing else.
    Extended,
}

impl fmt::Display for HandshakeStyle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Oldstyle => "oldstyle",
            Self::Newstyle => "newstyle",
            Self::FixedNewstyle => "fixed newstyle",
        })
    }
}

impl fmt::Display for ReplyStyle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Simple => "simple",
            Self::Structured => "structured",
            Self::Extended => "extended",
        })
    }
}

/// What a server told about an export.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExportInfo {
    /// Size in bytes. Any 64-bit value may come; nothing is computed from it without a check.
    pub size: u64,
    /// What the export can do.
    pub flags: TransmissionFlags,
    /// Size constraints, if the server told any. They bind both sides if they were asked for with `GO`.
    pub block_sizes: Option<BlockSizes>,
    /// The server's own name of the export, if it told one.
    pub canonical_name: Option<String>,
    /// The server's description for people, not escaped.
    pub description: Option<String>,
}

/// A selected metadata context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaContext {
    /// Its id, valid on this connection.
    pub id: ContextId,
    /// Its name, `namespace:leaf`.
    pub name: String,
}

/// All that a finished handshake agreed on: the way into the transmission phase.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Negotiated {
    /// The name that was asked for; empty for the default export.
    pub export: String,
    /// What the server told about the export.
    pub info: ExportInfo,
    /// How the server opened the connection.
    pub handshake_style: HandshakeStyle,
    /// How replies will look.
    pub reply_style: ReplyStyle,
    /// Whether the connection is inside TLS.
    pub tls: bool,
    /// The selected metadata contexts; without any there is no block status.
    pub contexts: Vec<MetaContext>,
    /// The contexts that the server has for this export, if they were asked for.
    pub available_contexts: Option<Vec<String>>,
}

impl Negotiated {
    /// The minimum block size to keep, in bytes: the server's, or 1, the default of a server that tells none
    /// (spec, *Size constraints*).
    pub fn minimum_block(&self) -> u32 {
        self.info.block_sizes.map_or(1, |sizes| sizes.minimum)
    }

    /// The largest payload of one request in bytes: the server's, or 32 MiB where it told none
    /// (spec, *Size constraints*).
    pub fn maximum_payload(&self) -> u32 {
        self.info.block_sizes.map_or(DEFAULT_MAX_PAYLOAD, |sizes| sizes.maximum)
    }

    /// The selected context of this name.
    pub fn context(&self, name: &str) -> Option<&MetaContext> {
        self.contexts.iter().find(|context| context.name == name)
    }
}
