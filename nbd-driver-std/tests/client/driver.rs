//! The driver under test. Whatever brings another client by these names can run the same tests, by including their
//! files and a `driver.rs` of its own.

pub(crate) use nbd_driver_std::{
    Client, Completion, ConnectOptions, Error, Interrupted, Oversize, Queue, Rejected, Ticket, Unaligned, nbd_proto,
};
