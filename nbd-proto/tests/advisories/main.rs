//! One file for each published advisory of an NBD implementation that is about the protocol itself, named by it. What the
//! class is, as its description tells, stands at the head of each, with what we promise; the tests of the engines go
//! deeper. Classes about sockets, threads and time are in `nbd-driver-std/tests` and `nbd-cli/tests`; `SECURITY.md` has
//! the table of all.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests and their helpers")]

mod accept;
mod client;
mod connect;
mod index;
mod server;

mod cve_2017_15118_long_names;
mod cve_2017_15119_options_of_4_gib;
mod cve_2017_2630_lengths_in_list;
mod cve_2019_14842_required_tls;
mod cve_2020_10761_own_long_errors;
mod cve_2021_20286_peer_leaves;
mod cve_2021_3716_starttls_state;
mod cve_2022_0485_failed_reads;
mod cve_2022_26495_length_that_wraps;
mod cve_2022_26496_inner_name_length;
mod cve_2023_5215_huge_sizes;
mod cve_2023_5871_wide_extents;
mod cve_2025_47711_larger_extents_than_asked;
mod cve_2025_47712_status_of_4_gib;
mod libnbd_2019_10_chunk_bounds;
mod libnbd_2023_07_context_not_negotiated;
