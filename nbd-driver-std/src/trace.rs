//! Protocol steps as `tracing` events, at level TRACE.

use nbd_proto::observe::{Observation, Observer};

/// An observer that traces, if anybody listens; otherwise none, which costs nothing.
pub(crate) fn observer() -> Option<Box<dyn Observer>> {
    if !tracing::enabled!(tracing::Level::TRACE) {
        return None;
    }
    Some(Box::new(|step: &Observation<'_>| tracing::trace!(?step)))
}
