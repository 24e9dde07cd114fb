//! A supervisor and what it makes of deaths.

use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use nbd_testkit::must_end;

use super::support::{attached, attached_as, await_call, by_ioctl, by_netlink, count};
use crate::connection::Connection;
use crate::device::{Device, Ended};
use crate::error::Error;
use crate::netlink::Event;
use crate::recorded::{FIRST, Kernel, Offer};
use crate::stopper::Stopper;
use crate::supervisor::Supervisor;

const SHORT: Duration = Duration::from_millis(1);

/// A server that is asked for connections, and what becomes of each.
#[derive(Clone)]
struct Host {
    /// One for each attempt; without any the offer of the device is made.
    offers: Arc<Mutex<Vec<Option<Offer>>>>,
    attempts: Arc<AtomicUsize>,
    ends: Arc<Mutex<Vec<UnixStream>>>,
}

impl Host {
    fn new(offers: impl IntoIterator<Item = Option<Offer>>) -> Self {
        let mut offers: Vec<_> = offers.into_iter().collect();
        offers.reverse();
        Self { offers: Arc::new(Mutex::new(offers)), attempts: Arc::default(), ends: Arc::default() }
    }

    fn connect(&self) -> Result<Connection, Error> {
        self.attempts.fetch_add(1, Ordering::SeqCst);
        let offer = self.offers.lock().unwrap().pop().unwrap_or(Some(Offer::default().shared()));
        let (connection, end) = offer.ok_or(Error::NoConnection)?.connect();
        self.ends.lock().unwrap().push(end);
        Ok(connection)
    }
}

type Outcome = Option<Ended>;

/// A supervisor that runs in a thread, until it is stopped or the device is over.
struct Watch {
    stopper: Stopper,
    ended: mpsc::Receiver<(Outcome, Device)>,
}

impl Watch {
    fn start(
        device: Device,
        connect: impl Fn() -> Result<Connection, Error> + Send + Sync + 'static,
        follow: bool,
    ) -> Self {
        let supervisor = Supervisor::new(device, connect).unwrap();
        let mut supervisor = supervisor.delays(SHORT, SHORT).follow_size(follow);
        let stopper = supervisor.stopper();
        let (sender, ended) = mpsc::channel();
        thread::spawn(move || {
            let outcome = supervisor.run();
            sender.send((outcome, supervisor.into_device())).unwrap();
        });
        Self { stopper, ended }
    }

    fn over(self) -> (Outcome, Device) {
        must_end(move || self.ended.recv().unwrap())
    }

    /// Stops it.
    fn stop(self) -> Device {
        self.stopper.stop();
        let (outcome, device) = self.over();
        assert_eq!(outcome, None);
        device
    }
}

#[test]
fn a_connection_that_dies_is_made_anew() {
    let kernel = Kernel::new();
    let host = Host::new([]);
    let (device, _servers) = attached(&kernel, 1);
    let asked = host.clone();
    let watch = Watch::start(device, move || asked.connect(), false);
    for deaths in 1..=3 {
        kernel.kill_link(FIRST, 0);
        await_call(&kernel, "RECONFIGURE", deaths);
    }
    drop(watch.stop());
    assert_eq!(host.attempts.load(Ordering::SeqCst), 3);
}

#[test]
fn nothing_is_connected_while_all_is_well() {
    let kernel = Kernel::new();
    let host = Host::new([]);
    let (device, _servers) = attached(&kernel, 1);
    let asked = host.clone();
    let watch = Watch::start(device, move || asked.connect(), false);
    kernel.tell(Event::LinkDead(FIRST + 1));
    kernel.tell(Event::Overrun);
    let hearing = kernel.clone();
    must_end(move || hearing.await_heard());
    drop(watch.stop());
    assert_eq!(host.attempts.load(Ordering::SeqCst), 0);
}

#[test]
fn it_is_tried_until_the_server_is_back() {
    let kernel = Kernel::new();
    let host = Host::new([None, None, None, None]);
    let (device, _servers) = attached(&kernel, 1);
    let asked = host.clone();
    let watch = Watch::start(device, move || asked.connect(), false);
    kernel.kill_link(FIRST, 0);
    await_call(&kernel, "RECONFIGURE", 1);
    drop(watch.stop());
    assert_eq!(host.attempts.load(Ordering::SeqCst), 5);
}

#[test]
fn another_export_is_not_handed_over() {
    let kernel = Kernel::new();
    let right = Offer::default().shared();
    let wrong = [Offer { size: 2 << 20, ..right }, Offer::default(), right.blocks(512, 1 << 25)];
    let host = Host::new(wrong.map(Some));
    let (device, _servers) = attached(&kernel, 1);
    let asked = host.clone();
    let watch = Watch::start(device, move || asked.connect(), false);
    kernel.kill_link(FIRST, 0);
    await_call(&kernel, "RECONFIGURE", 1);
    let device = watch.stop();
    assert_eq!((host.attempts.load(Ordering::SeqCst), count(&kernel, "RECONFIGURE")), (4, 1));
    assert_eq!(device.export().size, 1 << 20);
}

#[test]
fn growth_is_passed_on_if_it_is_wanted() {
    let kernel = Kernel::new();
    let host = Host::new([Some(Offer { size: 2 << 20, ..Offer::default().shared() })]);
    let (device, _servers) = attached(&kernel, 1);
    let asked = host.clone();
    let watch = Watch::start(device, move || asked.connect(), true);
    kernel.kill_link(FIRST, 0);
    await_call(&kernel, "RECONFIGURE", 2);
    let device = watch.stop();
    assert_eq!((kernel.size(FIRST), device.export().size, device.geometry().size), (2 << 20, 2 << 20, 2 << 20));
}

#[test]
fn each_of_several_dead_connections_is_made_anew() {
    let kernel = Kernel::new();
    let host = Host::new([]);
    let (device, _servers) = attached(&kernel, 3);
    let asked = host.clone();
    let watch = Watch::start(device, move || asked.connect(), false);
    kernel.kill_link(FIRST, 0);
    kernel.kill_link(FIRST, 1);
    kernel.kill_link(FIRST, 2);
    await_call(&kernel, "RECONFIGURE", 3);
    let device = watch.stop();
    assert_eq!((host.attempts.load(Ordering::SeqCst), device.connections()), (3, 3));
    let ends = host.ends.lock().unwrap().len();
    assert_eq!((ends, kernel.sockets(FIRST).len()), (3, 3));
}

#[test]
fn a_function_that_panics_is_an_attempt_that_failed() {
    let kernel = Kernel::new();
    let host = Host::new([]);
    let (device, _servers) = attached(&kernel, 1);
    let asked = host.clone();
    let connect = move || match asked.attempts.load(Ordering::SeqCst) {
        0 => {
            asked.attempts.fetch_add(1, Ordering::SeqCst);
            panic!("as the test wants it")
        }
        _ => asked.connect(),
    };
    let watch = Watch::start(device, connect, false);
    kernel.kill_link(FIRST, 0);
    await_call(&kernel, "RECONFIGURE", 1);
    drop(watch.stop());
    assert_eq!(host.attempts.load(Ordering::SeqCst), 2);
}

#[test]
fn a_stop_does_not_wait_for_a_connect_that_hangs() {
    let kernel = Kernel::new();
    let (device, _servers) = attached(&kernel, 1);
    let (begun, begins) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let connect = move || {
        begun.send(()).unwrap();
        // Until the test is over.
        let _ = released.lock().unwrap().recv();
        Err(Error::NoConnection)
    };
    let watch = Watch::start(device, connect, false);
    kernel.kill_link(FIRST, 0);
    must_end(move || begins.recv().unwrap());
    drop(watch.stop());
    drop(release);
}

#[test]
fn a_device_that_ends_while_it_is_connected_anew_ends_the_run() {
    let kernel = Kernel::new();
    let (device, _servers) = attached(&kernel, 1);
    let foreign = kernel.clone();
    let connect = move || {
        foreign.detach_foreign(FIRST);
        Err(Error::NoConnection)
    };
    let watch = Watch::start(device, connect, false);
    kernel.kill_link(FIRST, 0);
    let (outcome, device) = watch.over();
    assert_eq!(outcome, Some(Ended::Detached));
    drop(device);
    assert_eq!(count(&kernel, "NL_DISCONNECT"), 0);
}

#[test]
fn a_device_that_is_detached_ends_the_run_and_nothing_is_connected() {
    let kernel = Kernel::new();
    let host = Host::new([]);
    let (device, _servers) = attached(&kernel, 1);
    let asked = host.clone();
    let watch = Watch::start(device, move || asked.connect(), false);
    kernel.detach_foreign(FIRST);
    assert_eq!(watch.over().0, Some(Ended::Detached));
    assert_eq!(host.attempts.load(Ordering::SeqCst), 0);
}

#[test]
fn a_stop_from_before_the_run_counts_and_leaves_the_device_attached() {
    let kernel = Kernel::new();
    let (device, _servers) = attached(&kernel, 1);
    let mut supervisor = Supervisor::new(device, || Err(Error::NoConnection)).unwrap();
    supervisor.stopper().stop();
    assert_eq!(supervisor.run(), None);
    assert!(kernel.is_attached(FIRST));
    supervisor.into_device().leave().unwrap();
    assert!(kernel.is_attached(FIRST));
}

#[test]
fn news_that_cannot_be_heard_once_do_not_end_the_run() {
    let kernel = Kernel::new();
    let host = Host::new([]);
    let (device, _servers) = attached(&kernel, 1);
    let asked = host.clone();
    let watch = Watch::start(device, move || asked.connect(), false);
    kernel.tell_failure(rustix::io::Errno::IO);
    kernel.kill_link(FIRST, 0);
    await_call(&kernel, "RECONFIGURE", 1);
    drop(watch.stop());
}

#[test]
fn a_device_by_ioctl_cannot_be_supervised_and_is_detached() {
    let kernel = Kernel::new();
    let (device, _servers) = attached_as(&kernel, &by_ioctl(), Offer::default(), 1);
    let refused = Supervisor::new(device, || Err(Error::NoConnection));
    assert!(matches!(refused, Err(Error::NeedsNetlink(_))));
    assert!(!kernel.is_attached(FIRST));
}

#[test]
fn a_kernel_that_refuses_a_connection_is_asked_again() {
    let kernel = Kernel::new();
    let host = Host::new([]);
    let (device, _servers) = attached_as(&kernel, &by_netlink().identifier("i"), Offer::default().shared(), 1);
    kernel.fail_times("RECONFIGURE", rustix::io::Errno::INVAL, 0, 2);
    let asked = host.clone();
    let watch = Watch::start(device, move || asked.connect(), false);
    kernel.kill_link(FIRST, 0);
    await_call(&kernel, "RECONFIGURE", 3);
    drop(watch.stop());
    assert_eq!(host.attempts.load(Ordering::SeqCst), 3);
}

#[test]
fn the_longest_delays_there_are_do_not_overflow() {
    let kernel = Kernel::new();
    let (device, _servers) = attached(&kernel, 1);
    let (sender, attempts) = mpsc::channel();
    let connect = move || {
        sender.send(()).unwrap();
        Err(Error::NoConnection)
    };
    let mut supervisor = Supervisor::new(device, connect).unwrap().delays(Duration::MAX, Duration::MAX);
    let stopper = supervisor.stopper();
    kernel.kill_link(FIRST, 0);
    let running = thread::spawn(move || (supervisor.run(), supervisor));
    must_end(move || {
        attempts.recv().unwrap();
        stopper.stop();
        assert_eq!(running.join().unwrap().0, None);
    });
}
