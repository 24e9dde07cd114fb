//! A process that stays when the command has returned: the same program once more.
//!
//! ```text
//!   nbd attach ──starts──▶ nbd attach, in a session of its own
//!       │                       │ connects, attaches, prints the device or the error
//!       │◀────── one byte ──────┤ ready (or the pipe's end: it has failed)
//!   exits                       │ lets go of terminal and directory, and stays
//! ```

use std::env;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{self, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;

use anyhow::{Context as _, bail};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, setsid};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

use super::interrupt::Interrupt;

/// Set for the process that stays. Its standard input is the pipe to the one that started it.
const VARIABLE: &str = "NBD_ATTACH_IN_BACKGROUND";

/// Starts the process that stays, and waits until its device is ready.
pub(super) fn start() -> anyhow::Result<ExitCode> {
    const STARTING: &str = "starting a process to stay in the background";
    let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC).context(STARTING)?;
    let mut arguments = env::args_os();
    let name = arguments.next().unwrap_or_else(|| "nbd".into());
    // Our copy of its end goes with the builder, so that the pipe's end can be seen.
    let mut child = Command::new(env::current_exe().context(STARTING)?)
        .arg0(name)
        .args(arguments)
        .env(VARIABLE, "1")
        .stdin(Stdio::from(theirs))
        .spawn()
        .context(STARTING)?;
    let ready = File::from(ours).read(&mut [0]).context("waiting for the process in the background")?;
    if ready > 0 {
        return Ok(ExitCode::SUCCESS);
    }
    let status = child.wait().context("waiting for the process in the background")?;
    match status.code().map(u8::try_from) {
        // It has said why.
        Some(Ok(code @ 1..)) => Ok(ExitCode::from(code)),
        _ => match status.signal() {
            Some(signal) => bail!("the process in the background was ended by signal {signal} before it was ready"),
            None => bail!("the process in the background ended without a word, with {status}"),
        },
    }
}

/// Whoever started this process and waits for the device.
#[derive(Debug)]
pub(super) struct Starter {
    pipe: OwnedFd,
}

impl Starter {
    /// `None` unless this is the process that stays.
    pub(super) fn of_this_process() -> anyhow::Result<Option<Self>> {
        if env::var_os(VARIABLE).is_none() {
            return Ok(None);
        }
        // What the terminal sends is for the process that waits.
        setsid().context("leaving the terminal")?;
        Ok(Some(Self { pipe: io::stdin().as_fd().try_clone_to_owned().context("opening the pipe")? }))
    }

    /// From here on the end of whoever waits is the end of this process, too, until it is ready.
    pub(super) fn watch(self) -> anyhow::Result<Watched> {
        let shared = Arc::new(Shared::default());
        let (pipe, seen) = (self.pipe.try_clone().context("opening the pipe")?, Arc::clone(&shared));
        let wait = move || {
            // The end is told whether it is asked for or not.
            let gone = || poll(&mut [PollFd::new(&pipe, PollFlags::empty())], None);
            let _ = rustix::io::retry_on_intr(gone);
            if seen.ready.load(Ordering::SeqCst) {
                return;
            }
            match seen.interrupt.get() {
                None => process::exit(1),
                Some(interrupt) => drop(interrupt.note(Signal::HUP)),
            }
        };
        thread::Builder::new().name("nbd-starter".to_owned()).spawn(wait).context("starting a thread")?;
        Ok(Watched { pipe: self.pipe, shared })
    }
}

/// The same, and its end is seen.
#[derive(Debug)]
pub(super) struct Watched {
    pipe: OwnedFd,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    interrupt: OnceLock<Interrupt>,
    ready: AtomicBool,
}

impl Watched {
    /// There is a device now, or soon: an end has to be an orderly one.
    pub(super) fn interrupts(&self, interrupt: &Interrupt) {
        // It is told once.
        let _ = self.shared.interrupt.set(interrupt.clone());
    }

    /// Lets go of all that belongs to whoever waits, and tells that the device is ready.
    pub(super) fn ready(self) -> anyhow::Result<()> {
        const STEP: &str = "going to the background";
        let null = File::options().read(true).write(true).open("/dev/null").context(STEP)?;
        // Whoever reads what the command prints waits for its end.
        dup2_stdin(&null).context(STEP)?;
        dup2_stdout(&null).context(STEP)?;
        dup2_stderr(&null).context(STEP)?;
        // A file system can be unmounted only if nobody works in it.
        env::set_current_dir("/").context(STEP)?;
        self.shared.ready.store(true, Ordering::SeqCst);
        rustix::io::write(&self.pipe, &[1]).context("telling whoever started this process")?;
        Ok(())
    }
}
