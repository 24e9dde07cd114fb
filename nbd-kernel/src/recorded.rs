//! A kernel of the tests' own, in the place of the real one: it keeps what it was asked for, in order, behaves like the
//! real one as far as that matters here, and fails or hangs where a test says so.
//!
//! No time passes: a pause is over at once. Only where a device was begun by ioctl, whose thread needs some time, a pause
//! lasts until something happens, or for a moment.

mod connections;
mod disk;
mod faults;
mod kernel;
mod news;
mod node;
mod request;
mod settings;
mod state;
mod system;
mod wire;

pub(crate) use connections::{Offer, name_of, negotiated};
pub(crate) use disk::FIRST;
pub(crate) use kernel::Kernel;
pub(crate) use settings::BEGAN;
pub(crate) use state::Answer;
