//! Signals to a process that has a device.

use std::ops::ControlFlow;
use std::process::{self, ExitCode};
use std::sync::{Arc, Mutex, PoisonError};

use nbd_kernel::Stopper;
use rustix::process::Signal;

use crate::signals;

/// Whether somebody wants the device to end.
#[derive(Clone, Debug, Default)]
pub(super) struct Interrupt(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    signal: Option<Signal>,
    stopper: Option<Stopper>,
}

impl Interrupt {
    /// From here on the first signal is noted, and the second one ends the program.
    pub(super) fn on_signals() -> anyhow::Result<Self> {
        let interrupt = Self::default();
        let noted = interrupt.clone();
        signals::watch(move |signal| {
            if !noted.note(signal) {
                process::exit(signals::exit_code(signal).into());
            }
            ControlFlow::Continue(())
        })?;
        Ok(interrupt)
    }

    /// Notes a signal; `false` if there was one before.
    pub(super) fn note(&self, signal: Signal) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.signal.is_some() {
            return false;
        }
        state.signal = Some(signal);
        state.stopper.iter().for_each(Stopper::stop);
        true
    }

    /// Has a signal, even one that has come already, end the waiting for a device.
    pub(super) fn stops(&self, stopper: Stopper) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.signal.is_some() {
            stopper.stop();
        }
        state.stopper = Some(stopper);
    }

    /// The exit code, if a signal has come.
    pub(super) fn code(&self) -> Option<ExitCode> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.signal.map(|signal| ExitCode::from(signals::exit_code(signal)))
    }
}
