//! A client that survives the loss of its connection.
//!
//! ```text
//!   callers, queues ──▶ Survivor: journal, buffers ──▶ Carrier: up, a client and its queue ──▶ server
//!                                                         ▲  │ lost
//!                                              a new one, │  ▼
//!                                         the same export └─ down, until the next attempt is due
//! ```
//!
//! Which command goes out when is the [`Journal`](nbd_proto::resume::Journal)'s affair. As with one connection, there
//! is no thread of its own: among the threads that wait, one has the carrier and moves things for all.

mod carrier;
mod fate;
mod ids;
mod policy;
mod queue;
mod survivor;
mod table;

pub use policy::{Reconnect, ReconnectEvent};
pub(crate) use queue::{SurvivingInterrupter, SurvivingQueue};
pub(crate) use survivor::Survivor;
