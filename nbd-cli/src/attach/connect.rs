//! All connections of a device, before the kernel gets any.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nbd_driver_std::ConnectOptions;
use nbd_kernel::Connection;
use nbd_proto::error::{Error as Over, Unavailable};
use nbd_proto::uri::NbdUri;
use nbd_proto::wire::number::ReplyType;

use super::plan::Plan;
use crate::{link, report};

/// The delay before the second attempt; each time twice as long, up to the other one.
const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(5);

/// One connection, with an end to everything that a server can hold up.
pub(super) fn one(uri: &NbdUri) -> Result<Connection, nbd_kernel::Error> {
    Connection::open(uri, &ConnectOptions::new())
}

/// How long to try until the server can be reached; `None` stands for ever.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience(Option<Duration>);

impl Patience {
    pub(super) const FOR_EVER: &str = "forever";

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text == Self::FOR_EVER { Ok(Self(None)) } else { link::seconds(text).map(|time| Self(Some(time))) }
    }
}

/// All of them. Without patience there is one attempt.
pub(super) fn all(plan: &Plan, wait: Option<Patience>) -> anyhow::Result<Vec<Connection>> {
    let deadline = wait.and_then(|Patience(time)| Instant::now().checked_add(time?));
    let mut delay = FIRST_DELAY;
    loop {
        let made: Result<Vec<_>, _> = (0..plan.connections).map(|_| one(&plan.uri)).collect();
        let error = match made {
            Err(error) if wait.is_some() && may_pass(&error) => error,
            made => return made.with_context(|| plan.uri.to_string()),
        };
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(error).with_context(|| plan.uri.to_string());
        }
        if delay == FIRST_DELAY {
            report::notice(&format!("{}: {error}; trying again until it works", plan.uri));
        }
        // The last attempt is made when the time is over, and not a delay before that.
        let pause = left.map_or(delay, |left| delay.min(left));
        tracing::debug!("next attempt in {} ms", pause.as_millis());
        thread::sleep(pause);
        delay = (delay * 2).min(LONGEST_DELAY);
    }
}

/// Whether the server may only not be there yet, or not any more.
fn may_pass(error: &nbd_kernel::Error) -> bool {
    let nbd_kernel::Error::Connect(error) = error else { return false };
    match error {
        nbd_driver_std::Error::Io { source, .. } => source.kind() != std::io::ErrorKind::PermissionDenied,
        nbd_driver_std::Error::Timeout { .. } | nbd_driver_std::Error::Connection(Over::Ended(_)) => true,
        nbd_driver_std::Error::Connection(Over::Unavailable(Unavailable::Refused(refusal))) => {
            refusal.reply == ReplyType::ERR_SHUTDOWN
        }
        _ => false,
    }
}
