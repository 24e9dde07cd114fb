//! How hard to try.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nbd_proto::resume::JournalSettings;

use crate::error::Error;

/// What stands for a pause that no clock can measure: about a year.
const ENDLESS: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// What happens when a connection is lost: see [`ConnectOptions::reconnect`](crate::ConnectOptions::reconnect).
///
/// The first attempt follows at once; the pause before the second is [`first_delay`](Self::first_delay), and each
/// after that is twice as long, up to [`max_delay`](Self::max_delay). It begins anew when a connection has proved good:
/// a command of the caller's has succeeded on it.
#[derive(Clone, Debug)]
pub struct Reconnect {
    first_delay: Duration,
    max_delay: Duration,
    total: Option<Duration>,
    attempts: Option<u32>,
    pub(crate) journal: JournalSettings,
    listener: Listener,
}

/// What becomes of the connection, for [`Reconnect::on_event`].
#[derive(Debug)]
#[non_exhaustive]
pub enum ReconnectEvent<'a> {
    /// It is lost.
    Lost {
        /// How.
        error: &'a Error,
    },
    /// An attempt to connect anew has failed.
    Failed {
        /// How.
        error: &'a Error,
        /// How many there were since the loss.
        attempts: u32,
    },
    /// There is a new one, to the same export.
    Restored {
        /// How many attempts it took.
        attempts: u32,
    },
}

/// Whoever wants to know.
#[derive(Clone, Default)]
struct Listener(Option<Arc<Listen>>);

type Listen = dyn Fn(&ReconnectEvent<'_>) + Send + Sync;

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Listener" } else { "none" })
    }
}

impl Default for Reconnect {
    fn default() -> Self {
        Self {
            first_delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(10),
            total: Some(Duration::from_secs(60)),
            attempts: None,
            journal: JournalSettings::default(),
            listener: Listener::default(),
        }
    }
}

/// Since when there is no connection that works.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trouble {
    pub(super) since: Instant,
    pub(super) attempts: u32,
}

impl Reconnect {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// The pause before the second attempt. From 1 millisecond; default 100.
    #[must_use]
    pub fn first_delay(mut self, delay: Duration) -> Self {
        self.first_delay = delay.max(Duration::from_millis(1));
        self
    }

    /// The longest pause. Default 10 seconds.
    #[must_use]
    pub fn max_delay(mut self, delay: Duration) -> Self {
        self.max_delay = delay;
        self
    }

    /// How long to try in all, from the loss on; and how long one command may be sent again and again, if it is what
    /// ends the connections. `None` is for ever; default 60 seconds.
    #[must_use]
    pub fn total_time(mut self, time: Option<Duration>) -> Self {
        self.total = time;
        self
    }

    /// How many attempts to make. `None`, the default, is as many as the time allows.
    #[must_use]
    pub fn max_attempts(mut self, attempts: Option<u32>) -> Self {
        self.attempts = attempts;
        self
    }

    /// How many bytes of writes that were answered, but not flushed yet, may be kept in memory, to be sent again. At
    /// half of it the client flushes by itself, and at all of it writes wait. Default 64 MiB.
    #[must_use]
    pub fn max_kept(mut self, bytes: u64) -> Self {
        self.journal = self.journal.with_max_kept(bytes);
        self
    }

    /// Is told when a connection is lost, and what comes of it. It is called by whichever thread moves bytes, while the
    /// others wait for it: it must be quick, and must not use the client.
    #[must_use]
    pub fn on_event(mut self, listener: impl Fn(&ReconnectEvent<'_>) + Send + Sync + 'static) -> Self {
        self.listener = Listener(Some(Arc::new(listener)));
        self
    }

    pub(crate) fn tell(&self, event: &ReconnectEvent<'_>) {
        match event {
            ReconnectEvent::Lost { error } => tracing::warn!(%error, "the connection is lost"),
            ReconnectEvent::Failed { error, attempts } => tracing::warn!(%error, attempts, "connecting anew failed"),
            ReconnectEvent::Restored { attempts } => tracing::warn!(attempts, "the connection is restored"),
        }
        if let Some(listener) = &self.listener.0 {
            listener(event);
        }
    }

    pub(crate) fn total(&self) -> Option<Duration> {
        self.total
    }

    /// When to try next. No pause is longer than the time that is left.
    pub(super) fn next(&self, trouble: Trouble) -> Instant {
        let Trouble { since, attempts } = trouble;
        let left = self.total.map_or(Duration::MAX, |total| total.saturating_sub(since.elapsed()));
        let now = Instant::now();
        now.checked_add(self.delay(attempts).min(left)).unwrap_or_else(|| now + ENDLESS)
    }

    /// The pause behind so many attempts that failed.
    fn delay(&self, attempts: u32) -> Duration {
        let doubled = attempts.checked_sub(1).map(|times| 1_u32.checked_shl(times).unwrap_or(u32::MAX));
        doubled.map_or(Duration::ZERO, |factor| self.first_delay.saturating_mul(factor).min(self.max_delay))
    }

    /// Whether it is enough after so many attempts and so much time.
    pub(crate) fn is_exhausted(&self, attempts: u32, time: Duration) -> bool {
        self.attempts.is_some_and(|most| attempts >= most) || self.total.is_some_and(|total| time >= total)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Reconnect;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let millis = Duration::from_millis;
        let policy = Reconnect::new().first_delay(millis(100)).max_delay(millis(350));
        let pauses: Vec<_> = (0..5).map(|attempts| policy.delay(attempts)).collect();
        assert_eq!(pauses, [millis(0), millis(100), millis(200), millis(350), millis(350)]);
        assert_eq!(policy.delay(u32::MAX), millis(350));
    }

    #[test]
    fn attempts_and_time_are_bounded_each_by_itself() {
        let second = Duration::from_secs(1);
        let policy = Reconnect::new().max_attempts(Some(3)).total_time(Some(10 * second));
        assert!(!policy.is_exhausted(2, 9 * second));
        assert!(policy.is_exhausted(3, second) && policy.is_exhausted(1, 10 * second));
        assert!(!Reconnect::new().total_time(None).is_exhausted(u32::MAX, Duration::MAX));
    }
}
