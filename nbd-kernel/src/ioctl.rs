//! The life of a device by ioctl: claimed by its first call, run by a thread that the kernel borrows, cleared in the end.

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use nbd_proto::wire::flags::TransmissionFlags;
use nix::sys::signal::SigSet;
use rustix::io::Errno;

use crate::advice;
use crate::connection::Connection;
use crate::device::Ended;
use crate::device_id::DeviceId;
use crate::error::{Error, Step};
use crate::settings::Settings;
use crate::stopper::Stopper;
use crate::system::{Call, System};

/// A device that runs, or has run.
#[derive(Debug)]
pub(crate) struct Running {
    system: Arc<dyn System>,
    device: DeviceId,
    /// The thread's: the device is free for the next attach only when nobody holds the node any more.
    node: Weak<OwnedFd>,
    state: Arc<State>,
}

/// What `NBD_DO_IT` came to. Its 0 stands for a disconnect and for a lost server alike, so a note is kept of what was
/// asked for.
#[derive(Debug, Default)]
struct State {
    asked: AtomicBool,
    ended: Mutex<Option<Result<(), Errno>>>,
    change: Condvar,
    /// Who else is told of the end.
    listener: Mutex<Option<Stopper>>,
}

/// A node whose first socket is set: nobody else can start it.
#[derive(Debug)]
pub(crate) struct Claim {
    system: Arc<dyn System>,
    device: DeviceId,
    node: Option<OwnedFd>,
}

impl Claim {
    /// Opens the node and hands the first socket over. Of all the calls only this one cannot be made by two.
    pub(crate) fn stake(system: &Arc<dyn System>, device: DeviceId, first: &Connection) -> Result<Self, Error> {
        let failed = |step, source| advice::failed(&**system, step, device, source);
        let node = system.open_node(device).map_err(|error| failed(Step::OpenNode, error))?;
        let call = Call::SetSock(first.as_fd());
        system.ioctl(node.as_fd(), call).map_err(|error| {
            // What a device that runs by netlink says to it.
            match advice::by(&**system, device).filter(|_| Errno::from_io_error(&error) == Some(Errno::INVAL)) {
                Some(by) => Error::AlreadyAttached { device, by },
                None => failed(Step::SetSock, error),
            }
        })?;
        Ok(Self { system: Arc::clone(system), device, node: Some(node) })
    }

    /// Tells the kernel the rest, from the same thread, and starts the device.
    pub(crate) fn start(self, connections: &[Connection], settings: &Settings) -> Result<Arc<Running>, Error> {
        let blocks = settings.geometry.blocks();
        for connection in &connections[1..] {
            self.call(Step::SetSock, Call::SetSock(connection.as_fd()))?;
        }
        self.call(Step::SetBlkSize, Call::SetBlkSize(settings.geometry.block_size))?;
        self.call(Step::SetSizeBlocks, Call::SetSizeBlocks(blocks))?;
        self.call(Step::SetTimeout, Call::SetTimeout(settings.timeout))?;
        self.set_flags(settings.flags)?;
        self.run()
    }

    fn call(&self, step: Step, call: Call<'_>) -> Result<(), Error> {
        let Some(node) = &self.node else { return Ok(()) };
        let called = self.system.ioctl(node.as_fd(), call);
        called.map_err(|error| advice::failed(&*self.system, step, self.device, error))
    }

    fn set_flags(&self, flags: TransmissionFlags) -> Result<(), Error> {
        let unknown = |error: &Error| matches!(error, Error::Step { source, .. } if source.raw_os_error() == Some(Errno::NOTTY.raw_os_error()));
        match self.call(Step::SetFlags, Call::SetFlags(flags.bits())) {
            // An old kernel. Writes to a read-only export must not even be tried; the other flags only save work.
            Err(error) if unknown(&error) && flags.contains(TransmissionFlags::READ_ONLY) => {
                self.call(Step::SetReadOnly, Call::SetReadOnly)
            }
            Err(error) if unknown(&error) => Ok(()),
            other => other,
        }
    }

    fn run(mut self) -> Result<Arc<Running>, Error> {
        let Some(node) = self.node.take() else { return Err(Error::NotAttached(self.device)) };
        let node = Arc::new(node);
        let state = Arc::new(State::default());
        let (system, thread_node, thread_state) = (Arc::clone(&self.system), Arc::clone(&node), Arc::clone(&state));
        let started =
            thread::Builder::new().name(self.device.name()).spawn(move || serve(&*system, thread_node, &thread_state));
        match started {
            Ok(_) => {
                let node = Arc::downgrade(&node);
                Ok(Arc::new(Running { system: Arc::clone(&self.system), device: self.device, node, state }))
            }
            Err(error) => {
                self.node = Arc::into_inner(node);
                Err(Error::Step { step: Step::Thread, device: Some(self.device), source: error, advice: None })
            }
        }
    }
}

impl Drop for Claim {
    /// A set-up that was not finished is taken back. What made it fail is told, not how this went.
    fn drop(&mut self) {
        if let Some(node) = &self.node {
            let _ = self.system.ioctl(node.as_fd(), Call::ClearSock);
        }
    }
}

impl Running {
    /// Asks the server to take its leave, which ends the device once it hangs up.
    pub(crate) fn disconnect(&self) -> Result<(), Error> {
        self.state.asked.store(true, Ordering::SeqCst);
        self.call(Step::ClearQue, Call::ClearQue)?;
        self.call(Step::Disconnect, Call::Disconnect)
    }

    /// Ends the device at once, and fails what is in flight.
    pub(crate) fn clear(&self) -> Result<(), Error> {
        self.state.asked.store(true, Ordering::SeqCst);
        self.call(Step::ClearSock, Call::ClearSock)
    }

    pub(crate) fn resize(&self, size: u64) -> Result<(), Error> {
        if self.node.strong_count() == 0 {
            return Err(Error::NotAttached(self.device));
        }
        self.call(Step::SetSize, Call::SetSize(size))
    }

    fn call(&self, step: Step, call: Call<'_>) -> Result<(), Error> {
        // Without a node it is over.
        let Some(node) = self.node.upgrade() else { return Ok(()) };
        let called = self.system.ioctl(node.as_fd(), call);
        called.map_err(|error| advice::failed(&*self.system, step, self.device, error))
    }

    /// Has somebody woken at the end, who has to look whether it has come already.
    pub(crate) fn tell(&self, listener: Stopper) {
        *self.state.listener.lock().unwrap_or_else(PoisonError::into_inner) = Some(listener);
    }

    /// Waits for the end; `None` if it does not come in time.
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> Option<Result<Ended, Error>> {
        let mut ended = self.state.ended.lock().unwrap_or_else(PoisonError::into_inner);
        while ended.is_none() {
            let left = deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return None;
            }
            // In slices, for a wait of the longest time there is would overflow.
            let slice = left.min(Duration::from_secs(3600));
            ended = self.state.change.wait_timeout(ended, slice).unwrap_or_else(PoisonError::into_inner).0;
        }
        let asked = self.state.asked.load(Ordering::SeqCst);
        ended.map(|result| match result {
            // Never started, as far as one can tell.
            Err(errno @ (Errno::INVAL | Errno::BUSY)) => {
                Err(advice::failed(&*self.system, Step::DoIt, self.device, errno.into()))
            }
            _ if asked => Ok(Ended::Detached),
            _ => Ok(Ended::ServerGone),
        })
    }
}

/// The thread: lent to the kernel until the device ends, and then to clear up.
fn serve(system: &dyn System, node: Arc<OwnedFd>, state: &State) {
    // A signal would end the device, or worse, make the kernel start the call anew and find it spent.
    let blocked = SigSet::all().thread_block();
    let ran = match blocked {
        Ok(()) => {
            system.ioctl(node.as_fd(), Call::DoIt).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
        }
        Err(errno) => Err(Errno::from_raw_os_error(errno as i32)),
    };
    // Whatever the result: without this a request in flight would never come back. What DO_IT said survives it.
    let _ = system.ioctl(node.as_fd(), Call::ClearQue);
    let _ = system.ioctl(node.as_fd(), Call::ClearSock);
    drop(node);
    *state.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(ran);
    state.change.notify_all();
    if let Some(listener) = &*state.listener.lock().unwrap_or_else(PoisonError::into_inner) {
        listener.wake();
    }
}
