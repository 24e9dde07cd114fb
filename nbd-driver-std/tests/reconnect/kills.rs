//! Dozens of kills of nbdkit.

use nbd_testkit::{Bird, must_end};

use crate::killed::{one_thread_with_a_queue, threads_that_share_a_client};

#[test]
fn a_server_that_is_killed_dozens_of_times_leaves_no_trace_in_a_queue() {
    must_end(|| one_thread_with_a_queue(1, Bird::Nbdkit));
}

#[test]
fn a_server_that_loses_what_was_not_flushed_loses_nothing_that_was_answered() {
    must_end(|| one_thread_with_a_queue(2, Bird::Forgetful));
}

#[test]
fn threads_that_share_a_client_see_nothing_of_dozens_of_kills() {
    threads_that_share_a_client(Bird::Forgetful);
}
