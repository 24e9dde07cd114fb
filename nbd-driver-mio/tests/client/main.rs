//! The readiness driver's client: by the same tests as the blocking client, and by those of what only it promises.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests and their helpers")]
#![allow(clippy::single_range_in_vec_init, reason = "a bitmap may have one dirty range")]

// What any driver of the client has to do, behind a front like that of the blocking client.
#[path = "../../../nbd-driver-std/tests/client/addresses.rs"]
mod addresses;
#[path = "../../../nbd-driver-std/tests/client/both_ways.rs"]
mod both_ways;
#[path = "../../../nbd-driver-std/tests/client/chaos.rs"]
mod chaos;
#[path = "../../../nbd-proto/tests/common/counting.rs"]
mod counting;
#[path = "../../../nbd-driver-std/tests/client/cve_2019_15541_busy_loop_on_close.rs"]
mod cve_2019_15541_busy_loop_on_close;
#[path = "../../../nbd-driver-std/tests/client/cve_2022_0485_failed_reads.rs"]
mod cve_2022_0485_failed_reads;
mod driver;
#[path = "../../../nbd-driver-std/tests/client/endless_answers.rs"]
mod endless_answers;
#[path = "../../../nbd-driver-std/tests/client/failures.rs"]
mod failures;
#[path = "../../../nbd-driver-std/tests/client/interop.rs"]
mod interop;
#[path = "../../../nbd-driver-std/tests/client/interop_contexts.rs"]
mod interop_contexts;
#[path = "../../../nbd-driver-std/tests/client/interop_flags.rs"]
mod interop_flags;
#[path = "../../../nbd-driver-std/tests/client/interop_lists.rs"]
mod interop_lists;
#[path = "../../../nbd-driver-std/tests/client/observer.rs"]
mod observer;
#[path = "../../../nbd-driver-std/tests/client/peer.rs"]
mod peer;
#[path = "../../../nbd-driver-std/tests/client/queue.rs"]
mod queue;
#[path = "../../../nbd-driver-std/tests/client/shutdown.rs"]
mod shutdown;
#[path = "../../../nbd-driver-std/tests/client/support.rs"]
mod support;
#[path = "../../../nbd-driver-std/tests/client/timeouts.rs"]
mod timeouts;
#[path = "../../../nbd-driver-std/tests/client/users.rs"]
mod users;

// What only this one promises.
mod buffers;
mod by_hand;
mod deadlines;
mod descriptors;
mod endless;
mod fairness;
mod goodbye_for_ever;
mod handed_over;
mod late;
mod listing;
mod moving;
mod not_now;
mod one_completion;
mod rig;
mod saturated;
mod shrink;
mod spurious;
mod untaken_answers;
