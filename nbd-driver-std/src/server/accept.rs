//! The thread that takes connections in.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::connection;
use super::listener::Listener;
use super::running::Shared;
use crate::error::Error;
use crate::stream::Stream;
use crate::waker::Waker;

/// How long nothing is accepted after the system had no room for a connection, unless one ends before.
const PAUSE: Duration = Duration::from_millis(500);

/// How long a client has for its handshake, once the system has no room for others. Honest ones need far less.
const PATIENCE: Duration = Duration::from_secs(1);

/// Accepts until the server is to stop.
pub(super) fn accept(shared: &Arc<Shared>, listeners: &[Listener]) -> Result<(), Error> {
    let mut paused: Option<Instant> = None;
    while !shared.is_stopping() {
        shared.connections.join_ended();
        paused = paused.filter(|until| *until > Instant::now());
        let closed = paused.is_some() || shared.connections.is_full();
        let mut fds = vec![PollFd::new(&*shared.waker, PollFlags::IN)];
        if !closed {
            fds.extend(listeners.iter().map(|listener| PollFd::new(listener, PollFlags::IN)));
        }
        let timeout = paused.map(|until| until.saturating_duration_since(Instant::now()));
        if wait(&mut fds, timeout)? {
            shared.waker.clear();
            // A connection has ended, and with it there may be room.
            paused = None;
        }
        let ready: Vec<_> = fds.iter().skip(1).map(|fd| !fd.revents().is_empty()).collect();
        for (listener, _) in listeners.iter().zip(ready).filter(|(_, ready)| *ready) {
            if !take_in(shared, listener) {
                // Where it was a thread that could not be started, its own end must not be what ends the pause.
                shared.waker.clear();
                shared.connections.make_room(PATIENCE);
                paused = Some(Instant::now() + PAUSE);
            }
        }
    }
    Ok(())
}

/// Waits until one can be read; says whether the first can.
pub(super) fn wait(fds: &mut [PollFd<'_>], timeout: Option<Duration>) -> Result<bool, Error> {
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    match poll(fds, timeout.as_ref()) {
        Ok(_) => Ok(!fds[0].revents().is_empty()),
        // The caller looks again in any case.
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(Error::io("waiting for connections", error)),
    }
}

/// Takes one connection in, if there is one. Says whether more can be taken.
fn take_in(shared: &Arc<Shared>, listener: &Listener) -> bool {
    // First what may fail, so that clients wait in the backlog and need not be turned away.
    let accepted = Waker::new().and_then(|waker| match listener.accept() {
        Ok((socket, peer)) => Ok(Some((Stream::woken_by(waker, socket), peer))),
        // There is none any more; or it brought an error of the network with it (accept(2)).
        Err(
            Errno::AGAIN
            | Errno::INTR
            | Errno::CONNABORTED
            | Errno::PROTO
            | Errno::NETDOWN
            | Errno::NOPROTOOPT
            | Errno::HOSTDOWN
            | Errno::NONET
            | Errno::HOSTUNREACH
            | Errno::OPNOTSUPP
            | Errno::NETUNREACH,
        ) => Ok(None),
        // Too many files are open, or memory is short.
        Err(error) => Err(Error::io("accepting a connection", error)),
    });
    let started = accepted.and_then(|accepted| {
        let Some((stream, peer)) = accepted else { return Ok(()) };
        let site = shared.site.clone();
        let run = move |place| drop(connection::run(&place, &site));
        let place = shared.connections.enter(stream, peer);
        place.spawn(run).map_err(|error| Error::io("starting a thread for a connection", error))
    });
    if let Err(error) = &started {
        tracing::warn!("nothing is accepted for a moment: {error}");
    }
    started.is_ok()
}
