//! Dozens of kills of our own server, under a client that replaces its connection.

use nbd_testkit::{Bird, must_end};

use super::killed::{one_thread_with_a_queue, threads_that_share_a_client};

pub(super) fn ours() -> Bird {
    Bird::Ours(env!("CARGO_BIN_EXE_nbd").into())
}

#[test]
fn our_server_is_killed_dozens_of_times_under_a_queue() {
    must_end(|| one_thread_with_a_queue(3, ours()));
}

#[test]
fn our_server_is_killed_dozens_of_times_under_threads() {
    threads_that_share_a_client(ours());
}
