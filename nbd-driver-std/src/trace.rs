//! Protocol steps as `tracing` events, at level TRACE, and for whoever else wants to see them.

use std::fmt;
use std::sync::Arc;

use nbd_proto::observe::{Observation, Observer};

/// An observer that the user has brought. Each connection made with the same options calls the same one.
#[derive(Clone)]
pub(crate) struct Watcher(Arc<dyn Fn(&Observation<'_>) + Send + Sync>);

impl Watcher {
    pub(crate) fn new(watch: impl Fn(&Observation<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(watch))
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watcher")
    }
}

/// An observer that traces, if anybody listens; otherwise none, which costs nothing.
pub(crate) fn observer() -> Option<Box<dyn Observer>> {
    if !tracing::enabled!(tracing::Level::TRACE) {
        return None;
    }
    Some(Box::new(|step: &Observation<'_>| tracing::trace!(?step)))
}

/// The same, and the user's own.
pub(crate) fn observer_with(watcher: Option<&Watcher>) -> Option<Box<dyn Observer>> {
    let Some(Watcher(watch)) = watcher.cloned() else { return observer() };
    let mut traces = observer();
    Some(Box::new(move |step: &Observation<'_>| {
        if let Some(traces) = &mut traces {
            traces.observe(step);
        }
        watch(step);
    }))
}
