//! What a server offers under a name.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use nbd_proto::handshake::Offer;
use nbd_proto::wire::flags::TransmissionFlags;
use nbd_proto::wire::info::BlockSizes;
use nbd_proto::wire::number::ErrorValue;

use crate::backend::{Backend, Failure, Features, ReadOnly};

type Open = dyn Fn() -> Result<Arc<dyn Backend>, Failure> + Send + Sync;

/// A name, and what is behind it. Cheap to clone.
#[derive(Clone)]
pub struct Export {
    name: Arc<str>,
    description: Arc<str>,
    read_only: bool,
    open: Arc<Open>,
}

/// A backend that is open for a client, with what the client is told of it.
pub(super) struct Opened {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) features: Features,
    pub(super) offer: Offer,
}

impl Export {
    /// An export over a backend that is there already; all connections share it. Clients who ask for no name get the
    /// export whose name is empty.
    pub fn shared(name: impl Into<String>, backend: Arc<dyn Backend>) -> Self {
        Self::opened_by(name, move || Ok(backend.clone()))
    }

    /// An export whose backend is opened when a client is about to use it or asks what it is like, and dropped when
    /// the client leaves or has its answer. The client waits meanwhile, and nobody else. A failure is told to the
    /// client as `NBD_REP_ERR_POLICY`, with its words.
    pub fn opened_by(
        name: impl Into<String>,
        open: impl Fn() -> Result<Arc<dyn Backend>, Failure> + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into().into(), description: "".into(), read_only: false, open: Arc::new(open) }
    }

    /// Words for people, told to clients who ask. Cut at 4096 bytes, and before a NUL (spec, *Conventions*).
    #[must_use]
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.description = text.into().into();
        self
    }

    /// Whether clients may [only read](ReadOnly), even where the backend can do more. Default: no.
    #[must_use]
    pub fn read_only(mut self, yes: bool) -> Self {
        self.read_only = yes;
        self
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn describes(&self) -> &str {
        &self.description
    }

    /// Opens the backend. No payload will be larger than `memory` bytes.
    pub(super) fn open(&self, memory: usize) -> Result<Opened, Failure> {
        let open = || {
            let backend: Arc<dyn Backend> = (self.open)()?;
            let backend = if self.read_only { Arc::new(ReadOnly::new(backend)) } else { backend };
            let features = backend.features();
            let mut offer = Offer::new(backend.size(), flags(features));
            offer.block_sizes = Some(bounded(backend.block_sizes(), memory));
            offer.description = (!self.description.is_empty()).then(|| self.description.to_string());
            offer.contexts = backend.contexts();
            Ok(Opened { backend, features, offer })
        };
        catch_unwind(AssertUnwindSafe(open)).unwrap_or_else(|_| {
            tracing::error!(export = %nbd_proto::text::Escaped(&self.name), "opening the backend panicked");
            Err(Failure::new(ErrorValue::EIO, "the server failed to open the export"))
        })
    }
}

impl fmt::Debug for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Export").field("name", &self.name).field("read_only", &self.read_only).finish_non_exhaustive()
    }
}

/// What clients are told of features (spec, *Transmission flags*). What writes is offered only where writing is.
fn flags(features: Features) -> TransmissionFlags {
    let reading = [
        (Features::FLUSH, TransmissionFlags::SEND_FLUSH),
        (Features::CACHE, TransmissionFlags::SEND_CACHE),
        (Features::MULTI_CONN, TransmissionFlags::CAN_MULTI_CONN),
        (Features::ROTATIONAL, TransmissionFlags::ROTATIONAL),
    ];
    let writing = [
        (Features::FUA, TransmissionFlags::SEND_FUA),
        (Features::TRIM, TransmissionFlags::SEND_TRIM),
        (Features::WRITE_ZEROES, TransmissionFlags::SEND_WRITE_ZEROES),
        // Only of use, and legal, with the one before.
        (Features::WRITE_ZEROES.union(Features::FAST_ZERO), TransmissionFlags::SEND_FAST_ZERO),
    ];
    let can_write = features.contains(Features::WRITE);
    let mut flags = TransmissionFlags::HAS_FLAGS;
    flags.set(TransmissionFlags::READ_ONLY, !can_write);
    for (feature, flag) in reading {
        flags.set(flag, features.contains(feature));
    }
    for (feature, flag) in writing {
        flags.set(flag, can_write && features.contains(feature));
    }
    flags
}

/// The same sizes, but nothing larger than there may be memory for. The maximum stays "a multiple of the minimum
/// block size" (spec, *Size constraints*).
fn bounded(sizes: BlockSizes, memory: usize) -> BlockSizes {
    let memory = u32::try_from(memory).unwrap_or(u32::MAX);
    if sizes.maximum <= memory {
        return sizes;
    }
    BlockSizes { maximum: memory - memory % sizes.minimum.max(1), ..sizes }
}

#[cfg(test)]
mod tests {
    use super::{bounded, flags};
    use crate::backend::Features;
    use nbd_proto::wire::flags::TransmissionFlags;
    use nbd_proto::wire::info::BlockSizes;

    #[test]
    fn nothing_that_writes_is_offered_where_writing_is_not() {
        let offered = flags(Features::all() - Features::WRITE);
        let expected = TransmissionFlags::HAS_FLAGS
            | TransmissionFlags::READ_ONLY
            | TransmissionFlags::SEND_FLUSH
            | TransmissionFlags::SEND_CACHE
            | TransmissionFlags::CAN_MULTI_CONN
            | TransmissionFlags::ROTATIONAL;
        assert_eq!(offered, expected);
    }

    #[test]
    fn fast_zeroes_are_offered_only_with_zeroes() {
        assert!(!flags(Features::WRITE | Features::FAST_ZERO).contains(TransmissionFlags::SEND_FAST_ZERO));
        let both = flags(Features::WRITE | Features::WRITE_ZEROES | Features::FAST_ZERO);
        assert!(both.contains(TransmissionFlags::SEND_FAST_ZERO | TransmissionFlags::SEND_WRITE_ZEROES));
    }

    #[test]
    fn the_largest_payload_is_whole_blocks_within_memory() {
        let sizes = BlockSizes { minimum: 4096, preferred: 4096, maximum: u32::MAX };
        assert_eq!(bounded(sizes, 10_000).maximum, 8192);
        assert_eq!(bounded(sizes, usize::MAX), sizes);
    }
}
