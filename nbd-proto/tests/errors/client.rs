//! The client's side of a handshake, from the tests of it.

#[path = "../handshake/bytes.rs"]
#[allow(dead_code, reason = "its own tests use the rest")]
pub(crate) mod bytes;
#[path = "../handshake/engine.rs"]
#[allow(dead_code, reason = "its own tests use the rest")]
pub(crate) mod engine;
#[path = "../handshake/peer.rs"]
#[allow(dead_code, reason = "its own tests use the rest")]
pub(crate) mod peer;
