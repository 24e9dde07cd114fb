//! The end of a device that this process owns. Whoever has the sockets can end it, whatever hangs.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::bounded::within;
use crate::detach::{Detached, is_free, netlink_disconnect, still_held};
use crate::device_id::DeviceId;
use crate::error::Error;
use crate::ioctl::Running;
use crate::socket;
use crate::system::System;

/// How long the polite way may take: the server is told, and hangs up.
const POLITE: Duration = Duration::from_secs(3);

/// How long the other way may take.
const RUDE: Duration = Duration::from_secs(5);

/// How long a server that is busy may take to make room for the farewell.
const ROOM: Duration = Duration::from_secs(1);

/// Ends a device that was made by ioctl.
pub(crate) fn end_ioctl(
    system: &Arc<dyn System>,
    device: DeviceId,
    running: &Arc<Running>,
    sockets: &[OwnedFd],
) -> Result<Detached, Error> {
    hang_up_on_the_deaf(sockets);
    // Each way has its time for the call and the wait together: nobody waits longer than they say.
    let deadline = Instant::now() + POLITE;
    let asking = Arc::clone(running);
    let asked = within(POLITE, device, move || asking.disconnect());
    let mut ended = asked.ok().and_then(|()| running.wait(Some(deadline)));
    if ended.is_none() {
        hang_up(sockets);
        let deadline = Instant::now() + RUDE;
        let clearing = Arc::clone(running);
        within(RUDE, device, move || clearing.clear())?;
        ended = running.wait(Some(deadline));
    }
    match ended {
        None => Err(Error::TimedOut { device, what: "its end", after: RUDE }),
        Some(ended) => {
            ended?;
            Ok(still_held(&**system, device, || is_free(&**system, device)))
        }
    }
}

/// Ends a device that was made by netlink.
pub(crate) fn end_netlink(system: &Arc<dyn System>, device: DeviceId, sockets: &[OwnedFd]) -> Result<Detached, Error> {
    hang_up_on_the_deaf(sockets);
    match within(POLITE, device, netlink_disconnect(system, device)) {
        Err(Error::TimedOut { .. }) => {
            hang_up(sockets);
            within(RUDE, device, netlink_disconnect(system, device))?;
        }
        asked => asked?,
    }
    Ok(still_held(&**system, device, || is_free(&**system, device)))
}

/// Where the server takes nothing, the kernel would wait for it to say goodbye, and keep others from their work
/// meanwhile.
fn hang_up_on_the_deaf(sockets: &[OwnedFd]) {
    let deadline = Instant::now() + ROOM;
    for socket in sockets {
        if !socket::has_room(socket, deadline.saturating_duration_since(Instant::now())) {
            socket::shut_down(socket);
        }
    }
}

/// What hangs in the kernel hangs on one of these.
fn hang_up(sockets: &[OwnedFd]) {
    sockets.iter().for_each(socket::shut_down);
}
