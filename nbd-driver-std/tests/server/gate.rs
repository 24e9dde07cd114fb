//! Makes calls of a backend wait until the test says so, and tells the test that they have come.

use std::sync::{Condvar, Mutex};

use crate::support::HANG;

#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    open: bool,
    arrived: usize,
}

impl Gate {
    /// Waits until the gate is open. Called by the backend.
    pub(crate) fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.arrived += 1;
        self.changed.notify_all();
        drop(self.changed.wait_timeout_while(state, HANG, |state| !state.open).unwrap());
    }

    /// Lets everybody through, from now on.
    pub(crate) fn open(&self) {
        self.state.lock().unwrap().open = true;
        self.changed.notify_all();
    }

    /// Waits until so many have come, in all.
    #[track_caller]
    pub(crate) fn expect(&self, count: usize) {
        let state = self.state.lock().unwrap();
        let (state, _) = self.changed.wait_timeout_while(state, HANG, |state| state.arrived < count).unwrap();
        assert!(state.arrived >= count, "only {} of {count} came", state.arrived);
    }

    /// How many have come so far.
    pub(crate) fn arrived(&self) -> usize {
        self.state.lock().unwrap().arrived
    }
}
