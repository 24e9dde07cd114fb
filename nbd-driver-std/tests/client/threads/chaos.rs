//! The server that does what is most trouble, and many threads.

use std::time::Duration;

use crate::chaos::survives;
use crate::driver::{Client, ConnectOptions};
use crate::threads::{disk, run};

fn survive(seed: u64, options: &ConnectOptions) {
    survives(seed, options, disk().contents(), |client: &Client, initial| run(client, initial, 20));
}

#[test]
fn with_many_places() {
    survive(1, &ConnectOptions::new());
}

#[test]
fn with_few_places() {
    survive(2, &ConnectOptions::new().max_in_flight(5));
}

#[test]
fn with_a_time_limit_that_is_not_reached() {
    survive(3, &ConnectOptions::new().request_timeout(Some(Duration::from_secs(50))));
}
