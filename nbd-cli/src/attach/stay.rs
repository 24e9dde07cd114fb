//! The process that stays until the device ends.

use std::process::ExitCode;

use anyhow::bail;
use nbd_kernel::{Detached, Device, DeviceId, Ended, Supervisor};
use sd_notify::NotifyState;

use super::connect;
use super::plan::Plan;

/// Waits, with `--persist` mends what can be mended, and leaves nothing behind.
pub(super) fn until_end(plan: &Plan, mut device: Device) -> anyhow::Result<ExitCode> {
    let id = device.id();
    tracing::info!("{id}: attached to {}", plan.uri);
    notify(plan, &NotifyState::Ready);
    let ended = if plan.persist {
        let uri = plan.uri.clone();
        let mut supervisor = Supervisor::new(device, move || connect::one(&uri))?.follow_size(plan.follow_size);
        let ended = supervisor.run();
        device = supervisor.into_device();
        ended
    } else {
        device.wait(None)?
    };
    notify(plan, &NotifyState::Stopping);
    match ended {
        None => {
            tracing::info!("{id}: a signal ends it");
            tell(id, &device.detach()?);
            Ok(ExitCode::SUCCESS)
        }
        Some(Ended::Detached) => {
            tracing::info!("{id}: detached by another process");
            Ok(ExitCode::SUCCESS)
        }
        Some(Ended::ServerGone) => {
            tell(id, &device.detach()?);
            bail!("{id}: the server has gone, and the device is detached");
        }
    }
}

fn tell(id: DeviceId, detached: &Detached) {
    for holder in &detached.still_held {
        tracing::warn!("{id} has ended, but it is still {holder}");
    }
}

/// To systemd, if it has started this process and waits for that.
fn notify(plan: &Plan, state: &NotifyState<'_>) {
    if !plan.foreground {
        return;
    }
    if let Err(error) = sd_notify::notify(std::slice::from_ref(state)) {
        tracing::warn!("telling systemd: {error}");
    }
}
