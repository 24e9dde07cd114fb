//! The kernel, and what it does when it is called.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::{fs, io, thread};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use tempfile::TempDir;

use super::name_of;
use super::node::is_hung_up;
use super::state::State;
use crate::attach::Interface;
use crate::system::{Call, System};

/// One kernel; its clones are the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kernel(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    notes: OnceLock<TempDir>,
}

impl Kernel {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// What the library takes.
    pub(crate) fn system(&self) -> Arc<dyn System> {
        Arc::new(self.clone())
    }

    /// All calls until now.
    pub(crate) fn calls(&self) -> Vec<String> {
        let mut state = self.state();
        state.sweep();
        state.record.iter().map(|(call, _)| call.clone()).collect()
    }

    /// All calls since the last time.
    pub(crate) fn take_calls(&self) -> Vec<String> {
        let calls = self.calls();
        self.state().record.clear();
        calls
    }

    /// The threads that calls of this name came from.
    pub(crate) fn threads_of(&self, call: &str) -> Vec<thread::ThreadId> {
        let state = self.state();
        state
            .record
            .iter()
            .filter(|(kept, _)| kept.split(' ').next() == Some(call))
            .map(|(_, thread)| *thread)
            .collect()
    }

    /// Where notes are kept.
    pub(crate) fn notes_dir(&self) -> PathBuf {
        self.0.notes.get_or_init(|| TempDir::new().unwrap()).path().to_owned()
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    /// Waits for any change; everything waits for it that hangs.
    pub(super) fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        // The notice may be of a change that nobody told of, such as a pipe's.
        self.0.changed.wait_timeout(state, std::time::Duration::from_millis(10)).unwrap().0
    }

    pub(super) fn tell_change(&self) {
        self.0.changed.notify_all();
    }

    /// Keeps a call, then lets it fail or hang as the test wants.
    pub(super) fn enter(&self, name: &str, call: String) -> Result<MutexGuard<'_, State>, Errno> {
        let mut state = self.state();
        state.keep(call);
        self.tell_change();
        while state.faults.hangs(name) {
            state = self.wait(state);
        }
        state.faults.strike(name)?;
        Ok(state)
    }

    pub(super) fn ioctl_of(&self, node: BorrowedFd<'_>, call: Call<'_>) -> io::Result<()> {
        let (name, argument) = words(call);
        let device = {
            let state = self.state();
            let node = state.nodes.iter().find(|open| open.name == name_of(node));
            node.expect("a call on a node that is open").device
        };
        let text = argument.map_or(name.to_owned(), |argument| format!("{name} {argument}"));
        let mut state = self.enter(name, text)?;
        let polite = state.polite;
        let disk = state.disk(device);
        let by_netlink = disk.pid.is_some() && disk.interface == Interface::Netlink;
        if by_netlink && !matches!(call, Call::Disconnect | Call::ClearSock) {
            return Err(Errno::INVAL.into());
        }
        match call {
            Call::SetSock(socket) => {
                let here = thread::current().id();
                if disk.pid.is_some() || disk.claimed.is_some_and(|by| by != here) {
                    return Err(Errno::BUSY.into());
                }
                disk.claimed = Some(here);
                disk.sockets.push(Arc::new(socket.try_clone_to_owned()?));
                state.threads = true;
            }
            Call::SetBlkSize(bytes) => disk.block_size = bytes.into(),
            Call::SetSizeBlocks(blocks) => disk.size = blocks * disk.block_size,
            Call::SetSize(bytes) => disk.size = bytes,
            Call::ClearSock => disk.finish(),
            Call::Disconnect if polite => disk.finish(),
            Call::DoIt => return Ok(self.run(state, device)?),
            _ => {}
        }
        self.tell_change();
        Ok(())
    }

    fn run(&self, mut state: MutexGuard<'_, State>, device: u32) -> Result<(), Errno> {
        let disk = state.disk(device);
        if disk.sockets.is_empty() {
            return Err(Errno::INVAL);
        }
        disk.pid = Some(std::process::id());
        let (sockets, end) = (disk.sockets.clone(), Arc::clone(&disk.end));
        state.blocked = Some(blocked_signals());
        drop(state);
        self.tell_change();

        let living = |socket: &&Arc<OwnedFd>| !is_hung_up(socket);
        while let [_, ..] = &sockets.iter().filter(living).collect::<Vec<_>>()[..] {
            let sockets = sockets.iter().filter(living).map(|socket| PollFd::new(socket, PollFlags::empty()));
            let mut fds: Vec<_> =
                [PollFd::from_borrowed_fd(end.as_fd(), PollFlags::IN)].into_iter().chain(sockets).collect();
            poll(&mut fds, None).unwrap();
            if !fds[0].revents().is_empty() {
                break;
            }
        }

        let mut state = self.state();
        while state.faults.hangs("the end of DO_IT") {
            state = self.wait(state);
        }
        state.disk(device).finish();
        self.tell_change();
        state.result
    }
}

fn words(call: Call<'_>) -> (&'static str, Option<u64>) {
    match call {
        Call::SetSock(socket) => ("SET_SOCK", Some(name_of(socket))),
        Call::SetBlkSize(bytes) => ("SET_BLKSIZE", Some(bytes.into())),
        Call::SetSizeBlocks(blocks) => ("SET_SIZE_BLOCKS", Some(blocks)),
        Call::SetSize(bytes) => ("SET_SIZE", Some(bytes)),
        Call::SetTimeout(seconds) => ("SET_TIMEOUT", Some(seconds)),
        Call::SetFlags(flags) => ("SET_FLAGS", Some(flags.into())),
        Call::DoIt => ("DO_IT", None),
        Call::ClearQue => ("CLEAR_QUE", None),
        Call::ClearSock => ("CLEAR_SOCK", None),
        Call::Disconnect => ("DISCONNECT", None),
        Call::SetReadOnly => ("BLKROSET", None),
    }
}

/// Those of this thread, one bit each (proc(5)).
fn blocked_signals() -> u64 {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap()
}
