//! Signals to a process that has a device.

use std::ops::ControlFlow;
use std::process::{self, ExitCode};
use std::sync::{Arc, Mutex, PoisonError};

use nbd_kernel::{Device, DeviceId, Stopper};
use rustix::process::Signal;

use crate::signals;

/// Whether somebody wants the device to end.
#[derive(Clone, Debug, Default)]
pub(super) struct Interrupt(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    signal: Option<Signal>,
    device: Option<(DeviceId, Stopper)>,
    /// Whether somebody was told that more than a signal depends on the device.
    warned: bool,
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

    /// Notes a signal; `false` if there was one before. One alone does not take the disk away from a file system.
    pub(super) fn note(&self, signal: Signal) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.signal.is_some() {
            return false;
        }
        if let Some((id, stopper)) = &state.device {
            let dependents = if state.warned { Vec::new() } else { nbd_kernel::dependents(*id) };
            if !dependents.is_empty() {
                let dependents = dependents.join(", ");
                tracing::warn!(
                    "{id} is {dependents}: it stays until the next signal, which takes it away all the same"
                );
                state.warned = true;
                return true;
            }
            stopper.stop();
        }
        state.signal = Some(signal);
        true
    }

    /// Has a signal, even one that has come already, end the waiting for a device.
    pub(super) fn stops(&self, device: &Device) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stopper = device.stopper();
        if state.signal.is_some() {
            stopper.stop();
        }
        state.device = Some((device.id(), stopper));
    }

    /// The exit code, if a signal has come.
    pub(super) fn code(&self) -> Option<ExitCode> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.signal.map(|signal| ExitCode::from(signals::exit_code(signal)))
    }
}
