//! The library against a kernel that records what it is asked for.

mod cve_2023_5215_huge_sizes;
mod deaths;
mod detach;
mod geometry;
mod hygiene;
mod interfaces;
mod ioctl_end;
mod ioctl_failures;
mod ioctl_order;
mod ioctl_threads;
mod netlink_failures;
mod netlink_requests;
mod owner;
mod passing;
mod queue;
mod refusals;
mod replace;
mod status;
mod strangers;
mod stubborn;
mod supervisor;
mod support;
