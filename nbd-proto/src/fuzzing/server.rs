//! A server as its caller runs it: an export in memory, and requests held against what the engine promises.

mod disk;
mod end;
mod transmission;

pub(super) use disk::Disk;
pub(super) use end::{End, Outcome, ServerEnd, ServerPlan};
pub(super) use transmission::{Answer, Arrived, Habits, Transmission};
