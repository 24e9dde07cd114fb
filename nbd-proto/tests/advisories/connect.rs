//! The client's handshake and scripted servers, as its own tests have them.
#![allow(dead_code, reason = "few of the helpers are needed here")]

#[path = "../handshake/bytes.rs"]
pub(crate) mod bytes;
#[path = "../handshake/engine.rs"]
pub(crate) mod engine;
#[path = "../handshake/peer.rs"]
pub(crate) mod peer;
