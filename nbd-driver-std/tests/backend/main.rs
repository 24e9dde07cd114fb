//! What a server can serve, held to what it promises.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests and their helpers")]

mod block_device;
mod defaults;
mod errno;
mod file_fast_zero;
mod file_open;
mod file_read_only;
mod file_shrunk;
mod file_sparse;
mod file_try_read;
mod flush_lost;
mod loop_device;
mod memory_extents;
mod memory_huge;
mod memory_limit;
mod memory_threads;
mod model;
mod model_runs;
mod null;
mod pins;
mod pointers;
mod read_only;
mod support;
