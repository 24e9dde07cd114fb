//! The driver under test, behind a front like that of the blocking client: the same names, for one thread.
//!
//! Each client has a poll of its own, and bytes move only inside calls. The driver gets a turn when its documentation says
//! that one is due, and never otherwise: if it forgets to ask for one, a test hangs.

mod client;
mod error;
mod event_loop;
mod motor;
mod options;
mod queue;
mod status;

pub(crate) use nbd_driver_mio::nbd_proto;

pub(crate) use self::client::Client;
pub(crate) use self::error::Error;
pub(crate) use self::event_loop::Loop;
pub(crate) use self::options::ConnectOptions;
pub(crate) use self::queue::Queue;
