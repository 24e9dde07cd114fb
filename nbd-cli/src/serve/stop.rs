//! The end of a server: who may end it, and how long that takes.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::bail;
use nbd_driver_std::server::{Running, Summary};
use rustix::process::Signal;

use super::command::Child;
use super::events::{Event, Events};
use crate::signals;

/// How long requests that have begun may take to be finished.
pub(super) const GRACE: Duration = Duration::from_millis(1500);

/// The same after a command, which may have taken its own time by then: all has to fit into [`LIMIT`].
pub(super) const GRACE_AFTER_COMMAND: Duration = Duration::from_secs(1);

/// How long a command has to end after a signal, before it is killed.
const COMMAND_GRACE: Duration = Duration::from_millis(1500);

/// From the first signal to the end of the program, whatever hangs.
const LIMIT: Duration = Duration::from_millis(2800);

/// How long the socket may take to go after a second signal. It is the first thing to go.
const REMOVAL: Duration = Duration::from_secs(1);

/// Serves until a signal comes. `file` is the socket that goes with the server.
pub(super) fn on_signal(running: Running, events: &Events, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let stopper = running.stopper();
    watch(running, events)?;
    loop {
        match events.next(None) {
            Some(Event::Signal(_)) => break,
            Some(Event::Stopped(result)) => return over(&result?),
            Some(Event::CommandEnded) | None => {}
        }
    }
    stopper.stop();
    end(events, Instant::now() + LIMIT, file)
}

/// Serves until the command ends. `file` is the socket that goes with the server.
pub(super) fn after_command(
    running: Running,
    mut child: Child,
    events: &Events,
    file: Option<&Path>,
) -> anyhow::Result<ExitCode> {
    let stopper = running.stopper();
    watch(running, events)?;
    let mut signalled: Option<Instant> = None;
    let mut result = None;
    loop {
        match events.next(signalled.map(|at| at + COMMAND_GRACE)) {
            Some(Event::CommandEnded) => break,
            Some(Event::Signal(signal)) if child.has_its_own(signal) => {}
            Some(Event::Signal(signal)) => {
                if signalled.is_some() {
                    stopper.stop();
                    return Ok(by_signal(signal, file));
                }
                signalled = Some(Instant::now());
                child.send(signal);
            }
            // There is nothing to serve it any more.
            Some(Event::Stopped(early)) => {
                result = Some(early);
                signalled.get_or_insert_with(Instant::now);
                child.send(Signal::TERM);
            }
            None => {
                child.send(Signal::KILL);
                break;
            }
        }
    }
    let code = child.exit_code()?;
    if let Some(at) = signalled {
        child.end_group(at + COMMAND_GRACE);
    }
    if let Some(result) = result {
        over(&result?)?;
    } else {
        stopper.stop();
        end(events, signalled.unwrap_or_else(Instant::now) + LIMIT, file)?;
    }
    Ok(ExitCode::from(code))
}

/// Makes the server's end an event.
fn watch(running: Running, events: &Events) -> anyhow::Result<()> {
    events.source("nbd-wait", move |sender| {
        let _ = sender.send(Event::Stopped(running.wait()));
    })
}

const GIVEN_UP: &str = "a disk did not finish its requests in time; they are given up";

/// Waits until the server, which was told to stop, has stopped.
fn end(events: &Events, deadline: Instant, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    loop {
        match events.next(Some(deadline)) {
            Some(Event::Stopped(result)) => return over(&result?),
            Some(Event::Signal(signal)) => return Ok(by_signal(signal, file)),
            Some(Event::CommandEnded) => {}
            None => bail!(GIVEN_UP),
        }
    }
}

fn over(summary: &Summary) -> anyhow::Result<ExitCode> {
    tracing::debug!(?summary, "stopped");
    match summary.left_behind {
        0 => Ok(ExitCode::SUCCESS),
        _ => bail!(GIVEN_UP),
    }
}

/// The second signal: no more patience, but with what was promised to be removed.
fn by_signal(signal: Signal, file: Option<&Path>) -> ExitCode {
    let deadline = Instant::now() + REMOVAL;
    // The server, which was told to stop, says only when all of it has stopped.
    while file.is_some_and(|file| fs::symlink_metadata(file).is_ok()) && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(1));
    }
    ExitCode::from(signals::exit_code(signal))
}
