//! New connections for dead ones, for as long as a device lives.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use crate::attach::Interface;
use crate::connection::Connection;
use crate::device::{Device, Ended, Life};
use crate::error::{Error, Step};
use crate::stopper::Stopper;

/// How often the device is looked at when nothing is heard of it.
const TICK: Duration = Duration::from_secs(1);

/// The longest that a delay can be.
const DAY: Duration = Duration::from_secs(24 * 3600);

type Attempt = Result<Connection, Error>;

/// Watches over a device: when one of its connections dies, it makes a new one, checks that it leads to the same
/// export, and gives it to the device. What was in flight then goes on as if nothing had happened, if the device was
/// made with a time-out *and* a dead time-out that are long enough (see [`Attach`](crate::Attach)).
///
/// ```text
///              LINK_DEAD                          made, and the same export
///   Watching ──────────────▶ Connecting ──────────────────────────────────────▶ Watching
///      │                      │   ▲                                     (its death is on record)
///      │          failed, or  ▼   │ delay, doubled each time
///      │        another export Waiting
///      ▼
///   run returns: the device has ended, or it was stopped
/// ```
#[derive(Debug)]
pub struct Supervisor<F> {
    device: Device,
    connect: Arc<F>,
    delays: Delays,
    follow_size: bool,
}

#[derive(Debug)]
struct Delays {
    first: Duration,
    longest: Duration,
    next: Duration,
    /// When the last connection was handed over.
    mended: Option<Instant>,
}

impl Delays {
    fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first, mended: None }
    }

    /// How long to wait after a failure, and longer after the next.
    fn failed(&mut self) -> Duration {
        let delay = self.next;
        self.next = (delay * 2).min(self.longest);
        delay
    }

    fn mended(&mut self) {
        self.mended = Some(Instant::now());
    }

    /// How long to wait after a death. A server that takes each connection and drops it is no better than none.
    fn lost(&mut self) -> Duration {
        match self.mended.take() {
            Some(at) if at.elapsed() < self.longest => self.failed(),
            _ => {
                self.next = self.first;
                Duration::ZERO
            }
        }
    }
}

/// However it comes, even by a panic.
struct WakeInTheEnd(Stopper);

impl Drop for WakeInTheEnd {
    fn drop(&mut self) {
        self.0.wake();
    }
}

impl<F: Fn() -> Result<Connection, Error> + Send + Sync + 'static> Supervisor<F> {
    /// Takes a device that was made by netlink; by ioctl there is no way to replace a connection. `connect` makes new
    /// connections, in a thread of its own, and should come to an end by itself.
    pub fn new(device: Device, connect: F) -> Result<Self, Error> {
        if device.interface() == Interface::Ioctl {
            return Err(Error::NeedsNetlink("to replace a connection"));
        }
        Ok(Self {
            device,
            connect: Arc::new(connect),
            delays: Delays::new(Duration::from_millis(100), Duration::from_secs(5)),
            follow_size: false,
        })
    }

    /// How long to wait before the second attempt; each time twice as long, up to `longest`. Default: 100 milliseconds,
    /// 5 seconds. More than a day counts as a day.
    #[must_use]
    pub fn delays(mut self, first: Duration, longest: Duration) -> Self {
        self.delays = Delays::new(first.min(DAY), longest.max(first).min(DAY));
        self
    }

    /// Whether the device takes the export's new size when it has another one on a new connection. Default: no, such
    /// a connection is refused.
    #[must_use]
    pub fn follow_size(mut self, follow: bool) -> Self {
        self.follow_size = follow;
        self
    }

    /// The device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Gives the device back, still attached.
    pub fn into_device(self) -> Device {
        self.device
    }

    /// Ends [`run`](Self::run).
    pub fn stopper(&self) -> Stopper {
        self.device.stopper()
    }

    /// Watches, until the device ends, or until it is stopped: then `None`, and the device is still attached. What
    /// goes wrong meanwhile is logged, and tried again.
    pub fn run(&mut self) -> Option<Ended> {
        let stopper = self.device.stopper();
        let mut attempt: Option<Receiver<Attempt>> = None;
        let mut not_before: Option<Instant> = None;
        loop {
            if stopper.is_stopped() {
                return None;
            }
            let dead = match self.device.look() {
                Ok(Life::Over(ended)) => return Some(ended),
                Ok(Life::Lost(dead)) => dead,
                Ok(Life::Well) => 0,
                // A device that cannot be looked at now is not one to give up.
                Err(error) => {
                    tracing::warn!("{error}");
                    self.device.pause(TICK);
                    continue;
                }
            };
            if let Some(made) = attempt.as_ref().map(Receiver::try_recv) {
                match made {
                    Err(TryRecvError::Empty) => {}
                    made => {
                        attempt = None;
                        let made = made.unwrap_or_else(|_| Err(Error::ConnectPanicked));
                        not_before = Instant::now().checked_add(self.take(made));
                        continue;
                    }
                }
            } else if dead > 0 {
                let at = *not_before.get_or_insert_with(|| {
                    tracing::warn!("{}: {dead} of {} connections lost", self.device.id(), self.device.connections());
                    Instant::now() + self.delays.lost()
                });
                if at <= Instant::now() {
                    match self.start() {
                        Ok(started) => attempt = Some(started),
                        Err(error) => not_before = Instant::now().checked_add(self.take(Err(error))),
                    }
                }
            } else {
                not_before = None;
            }
            let left = not_before.filter(|_| attempt.is_none());
            let left = left.map_or(TICK, |at| at.saturating_duration_since(Instant::now()).min(TICK));
            self.device.pause(left);
        }
    }

    /// Begins to connect, aside, so that a stop or an end is seen meanwhile.
    fn start(&self) -> Result<Receiver<Attempt>, Error> {
        let (sender, receiver) = mpsc::channel();
        let connect = Arc::clone(&self.connect);
        let wake = WakeInTheEnd(self.device.stopper());
        let name = format!("{}-connect", self.device.id().name());
        let started = thread::Builder::new().name(name).spawn(move || {
            // Nobody waits for it any more after a stop.
            let _wake = wake;
            // Dropped before the other one, so that whoever is woken finds it so.
            let sender = sender;
            drop(sender.send(connect()));
        });
        let failed = |source| Error::Step { step: Step::Thread, device: Some(self.device.id()), source, advice: None };
        started.map(|_| receiver).map_err(failed)
    }

    /// Hands a new connection over; returns how long to wait before the next attempt.
    fn take(&mut self, made: Attempt) -> Duration {
        let id = self.device.id();
        let size = self.device.export().size;
        match made.and_then(|connection| self.device.replace(connection, self.follow_size)) {
            Ok(()) => {
                tracing::info!("{id}: connected again");
                if self.device.export().size != size {
                    tracing::info!("{id}: the export has {} bytes now", self.device.export().size);
                }
                self.delays.mended();
                Duration::ZERO
            }
            // Somebody was faster.
            Err(Error::NoneDead(_)) => Duration::ZERO,
            Err(error) => {
                let delay = self.delays.failed();
                tracing::warn!("{id}: not connected: {error}; next attempt in {} ms", delay.as_millis());
                delay
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Delays;

    const FIRST: Duration = Duration::from_secs(60);
    const LONGEST: Duration = Duration::from_secs(1000);

    #[test]
    fn each_failure_doubles_the_delay_up_to_the_longest() {
        let mut delays = Delays::new(FIRST, LONGEST);
        let waited: Vec<_> = (0..7).map(|_| delays.failed().as_secs()).collect();
        assert_eq!(waited, [60, 120, 240, 480, 960, 1000, 1000]);
    }

    #[test]
    fn the_first_death_is_not_waited_for_and_begins_anew() {
        let mut delays = Delays::new(FIRST, LONGEST);
        delays.failed();
        delays.failed();
        assert_eq!(delays.lost(), Duration::ZERO);
        assert_eq!(delays.failed(), FIRST);
    }

    #[test]
    fn a_connection_that_dies_young_counts_as_a_failure() {
        let mut delays = Delays::new(FIRST, LONGEST);
        assert_eq!(delays.lost(), Duration::ZERO);
        for delay in [60, 120, 240] {
            delays.mended();
            assert_eq!(delays.lost().as_secs(), delay);
        }
    }

    #[test]
    fn a_connection_that_has_lived_for_long_is_mended_at_once() {
        // Every life is long here.
        let mut delays = Delays::new(Duration::ZERO, Duration::ZERO);
        delays.mended();
        delays.next = FIRST;
        assert_eq!(delays.lost(), Duration::ZERO);
        assert_eq!(delays.next, Duration::ZERO);
    }
}
