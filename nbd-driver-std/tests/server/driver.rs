//! The driver under test, and the client it is tested by. Whatever brings another server by these names can run the same
//! tests, by including their files and a `driver.rs` of its own.

pub(crate) use nbd_driver_std::server::{Export, Listener, Running, Server, ServerOptions, Stopper};
pub(crate) use nbd_driver_std::{Client, ConnectOptions, Error, backend, nbd_proto};
