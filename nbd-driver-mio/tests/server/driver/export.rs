//! What is offered under a name.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use nbd_driver_mio::nbd_proto::handshake::Offer;
use nbd_driver_mio::nbd_proto::wire::flags::TransmissionFlags;
use nbd_driver_mio::nbd_proto::wire::number::ErrorValue;
use nbd_driver_std::backend::{Backend, Failure, Features, ReadOnly};

type Open = dyn Fn() -> Result<Arc<dyn Backend>, Failure> + Send + Sync;

#[derive(Clone)]
pub(crate) struct Export {
    pub(super) name: String,
    pub(super) description: String,
    read_only: bool,
    open: Arc<Open>,
}

/// A backend that is open for a client.
pub(super) struct Opened {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) offer: Offer,
}

impl Export {
    pub(crate) fn shared(name: impl Into<String>, backend: Arc<dyn Backend>) -> Self {
        Self::opened_by(name, move || Ok(backend.clone()))
    }

    pub(crate) fn opened_by(
        name: impl Into<String>,
        open: impl Fn() -> Result<Arc<dyn Backend>, Failure> + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), description: String::new(), read_only: false, open: Arc::new(open) }
    }

    pub(crate) fn description(mut self, text: impl Into<String>) -> Self {
        self.description = text.into();
        self
    }

    pub(crate) fn read_only(mut self, yes: bool) -> Self {
        self.read_only = yes;
        self
    }

    /// No payload will be larger than `memory` bytes.
    pub(super) fn open(&self, memory: usize) -> Result<Opened, Failure> {
        let open = AssertUnwindSafe(|| (self.open)());
        let broken = |_| Failure::new(ErrorValue::EIO, "the server failed to open the export");
        let backend = catch_unwind(open).map_err(broken)??;
        let backend: Arc<dyn Backend> = if self.read_only { Arc::new(ReadOnly::new(backend)) } else { backend };
        let mut offer = Offer::new(backend.size(), flags(backend.features()));
        let mut sizes = backend.block_sizes();
        let most = sizes.maximum.min(u32::try_from(memory).unwrap_or(u32::MAX));
        sizes.maximum = most - most % sizes.minimum;
        offer.block_sizes = Some(sizes);
        offer.description = (!self.description.is_empty()).then(|| self.description.clone());
        offer.contexts = backend.contexts();
        Ok(Opened { backend, offer })
    }
}

fn flags(features: Features) -> TransmissionFlags {
    let can_write = features.contains(Features::WRITE);
    let mut flags = TransmissionFlags::HAS_FLAGS;
    flags.set(TransmissionFlags::READ_ONLY, !can_write);
    for (feature, flag, writes) in [
        (Features::FLUSH, TransmissionFlags::SEND_FLUSH, false),
        (Features::CACHE, TransmissionFlags::SEND_CACHE, false),
        (Features::MULTI_CONN, TransmissionFlags::CAN_MULTI_CONN, false),
        (Features::ROTATIONAL, TransmissionFlags::ROTATIONAL, false),
        (Features::FUA, TransmissionFlags::SEND_FUA, true),
        (Features::TRIM, TransmissionFlags::SEND_TRIM, true),
        (Features::WRITE_ZEROES, TransmissionFlags::SEND_WRITE_ZEROES, true),
        (Features::FAST_ZERO, TransmissionFlags::SEND_FAST_ZERO, true),
    ] {
        flags.set(flag, features.contains(feature) && (can_write || !writes));
    }
    flags
}
