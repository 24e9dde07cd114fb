//! What a client asks for, what it is told of an export, and what a server's handshake ends in.

use alloc::string::String;
use alloc::vec::Vec;

use crate::handshake::Negotiated;
use crate::wire::flags::TransmissionFlags;
use crate::wire::info::BlockSizes;
use crate::wire::number::OptionCode;

/// A client asks about an export, or asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookUp<'a> {
    /// What it is for: `GO` and `EXPORT_NAME` enter the transmission phase, `INFO`, `LIST_META_CONTEXT` and
    /// `SET_META_CONTEXT` do not. An oldstyle client, who cannot ask, is shown as `EXPORT_NAME` too.
    pub option: OptionCode,
    /// The name; empty for the default export.
    pub name: &'a str,
    /// Whether the client promises to keep the block sizes that it is told.
    pub asks_block_sizes: bool,
}

/// What a server tells about an export.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Offer {
    /// Size in bytes.
    pub size: u64,
    /// What the export can do. `HAS_FLAGS`, `SEND_DF` and `BLOCK_STATUS_PAYLOAD` are the engine's own business:
    /// they are set and cleared as the agreed style of replies demands.
    pub flags: TransmissionFlags,
    /// Size constraints. None: the specification's defaults are kept.
    pub block_sizes: Option<BlockSizes>,
    /// The name to use for this export, if it is another than the client's.
    pub canonical_name: Option<String>,
    /// Words for people. Cut at 4096 bytes.
    pub description: Option<String>,
    /// The metadata contexts, `namespace:leaf`, that can be selected.
    pub contexts: Vec<String>,
    /// Whether the export is to be had inside TLS only.
    pub tls_required: bool,
}

impl Offer {
    /// An export of this size that can do this.
    pub const fn new(size: u64, flags: TransmissionFlags) -> Self {
        Self {
            size,
            flags,
            block_sizes: None,
            canonical_name: None,
            description: None,
            contexts: Vec::new(),
            tls_required: false,
        }
    }
}

/// What a server's handshake ends in: the way into [`transmission::Server`](crate::transmission::Server). A type of
/// its own, so that it cannot be taken for what a client has negotiated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted(Negotiated);

impl Accepted {
    /// What was agreed on, as the client knows it too.
    pub const fn negotiated(&self) -> &Negotiated {
        &self.0
    }

    pub(crate) fn into_negotiated(self) -> Negotiated {
        self.0
    }
}
