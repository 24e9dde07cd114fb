//! Options of a client that does not give up before the test does, and loses no time.

use std::time::Duration;

use nbd_driver_std::{ConnectOptions, Reconnect};
use nbd_testkit::HANG;

pub(crate) fn options() -> ConnectOptions {
    let policy = Reconnect::new().first_delay(Duration::from_millis(2)).max_delay(Duration::from_millis(50));
    ConnectOptions::new().reconnect(Some(policy.total_time(Some(HANG))))
}
