//! Sockets from a service manager. Taking a descriptor by its number cannot be proven safe; the crate `listenfd`
//! vouches for it.

use std::os::fd::OwnedFd;

use listenfd::ListenFd;

use crate::error::Error;

/// The sockets passed to this process, in order.
pub(super) fn sockets() -> Result<Vec<OwnedFd>, Error> {
    // "If $LISTEN_PID does not match the PID of the process, it returns 0" (sd_listen_fds(3)). The crate would also
    // take them without a number.
    let pid = std::env::var("LISTEN_PID").ok().and_then(|pid| pid.parse().ok());
    if pid != Some(std::process::id()) {
        return Ok(Vec::new());
    }
    let mut passed = ListenFd::from_env();
    (0..passed.len()).map(|index| take(&mut passed, index)).collect()
}

fn take(passed: &mut ListenFd, index: usize) -> Result<OwnedFd, Error> {
    if let Ok(Some(socket)) = passed.take_tcp_listener(index) {
        return Ok(socket.into());
    }
    match passed.take_unix_listener(index) {
        Ok(Some(socket)) => Ok(socket.into()),
        Ok(None) => Err(Error::Unsupported("an inherited file descriptor was taken twice")),
        Err(error) => Err(Error::io(format!("taking inherited file descriptor {}", 3 + index), error)),
    }
}
