//! What a client asks for, what it is told of an export, and what a server's handshake ends in.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use super::contexts::namespace;
use crate::error::{Field, Refused};
use crate::handshake::Negotiated;
use crate::limits::MAX_STRING;
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
///
/// The specification's rules on it are checked when it is given: names of at most 4096 bytes without NUL; contexts
/// with a namespace, a colon and something behind it, none of them twice; block sizes that
/// [keep the specification](BlockSizes::keeps_the_specification).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Offer {
    /// Size in bytes.
    pub size: u64,
    /// What the export can do. `HAS_FLAGS`, `SEND_DF` and `BLOCK_STATUS_PAYLOAD` are the engine's own business: they
    /// are set and cleared as the agreed style of replies demands. `SEND_RESIZE`, of an extension that nobody here
    /// speaks, is cleared, and so is `SEND_FAST_ZERO` without `SEND_WRITE_ZEROES`.
    pub flags: TransmissionFlags,
    /// Size constraints. None: the specification's defaults are kept.
    pub block_sizes: Option<BlockSizes>,
    /// The name to use for this export, if it is another than the client's.
    pub canonical_name: Option<String>,
    /// Words for people. Cut at 4096 bytes, and before a NUL.
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

    /// Sets [`block_sizes`](Self::block_sizes).
    #[must_use]
    pub const fn with_block_sizes(mut self, sizes: BlockSizes) -> Self {
        self.block_sizes = Some(sizes);
        self
    }

    /// Sets [`canonical_name`](Self::canonical_name).
    #[must_use]
    pub fn with_canonical_name(mut self, name: impl Into<String>) -> Self {
        self.canonical_name = Some(name.into());
        self
    }

    /// Sets [`description`](Self::description).
    #[must_use]
    pub fn with_description(mut self, text: impl Into<String>) -> Self {
        self.description = Some(text.into());
        self
    }

    /// Adds one of the [`contexts`](Self::contexts), for example `base:allocation`.
    #[must_use]
    pub fn with_context(mut self, name: impl Into<String>) -> Self {
        self.contexts.push(name.into());
        self
    }

    /// Sets [`tls_required`](Self::tls_required).
    #[must_use]
    pub const fn with_tls_required(mut self, required: bool) -> Self {
        self.tls_required = required;
        self
    }

    /// Holds what is to be told against the specification.
    pub(super) fn check(&self) -> Result<(), Refused> {
        if self.block_sizes.is_some_and(|sizes| !sizes.keeps_the_specification()) {
            return Err(Refused::Answer { reason: "its block sizes break the specification" });
        }
        if let Some(name) = &self.canonical_name {
            check_name(Field::ExportName, name)?;
        }
        let mut seen = BTreeSet::new();
        for name in &self.contexts {
            check_name(Field::ContextName, name)?;
            if namespace(name).is_none_or(|namespace| namespace.len() + 1 == name.len()) {
                return Err(Refused::Answer { reason: "a metadata context is not named namespace:leaf" });
            }
            if !seen.insert(name) {
                return Err(Refused::Answer { reason: "a metadata context is offered twice" });
            }
        }
        Ok(())
    }

    /// The flags to tell, apart from those that hang on what was agreed.
    pub(super) fn sound_flags(&self) -> TransmissionFlags {
        let mut flags = (self.flags | TransmissionFlags::HAS_FLAGS) - TransmissionFlags::SEND_RESIZE;
        // "MUST set this transmission flag to 0 if `NBD_FLAG_SEND_WRITE_ZEROES` is not set" (spec, *Transmission
        // flags*).
        if !flags.contains(TransmissionFlags::SEND_WRITE_ZEROES) {
            flags.remove(TransmissionFlags::SEND_FAST_ZERO);
        }
        flags
    }
}

/// Holds a name against what the protocol can carry (spec, *Conventions*).
pub(super) fn check_name(field: Field, name: &str) -> Result<(), Refused> {
    if name.len() > MAX_STRING || name.contains('\0') { Err(Refused::String { field }) } else { Ok(()) }
}

/// What a server's handshake ends in: the way into [`transmission::Server`](crate::transmission::Server). A type of
/// its own, so that it cannot be taken for what a client has negotiated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted(Negotiated);

impl Accepted {
    pub(super) const fn new(negotiated: Negotiated) -> Self {
        Self(negotiated)
    }

    /// What was agreed on, as the client knows it too; but the block sizes are those of the [`Offer`] even where the
    /// client did not get to hear them, with `EXPORT_NAME` and oldstyle.
    pub const fn negotiated(&self) -> &Negotiated {
        &self.0
    }

    pub(crate) fn into_negotiated(self) -> Negotiated {
        self.0
    }
}
