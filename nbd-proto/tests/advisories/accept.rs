//! The server's handshake and a client played by hand, as its own tests have them.
#![allow(dead_code, reason = "few of the helpers are needed here")]

#[path = "../handshake_server/bytes.rs"]
pub(crate) mod bytes;
#[path = "../handshake_server/session.rs"]
pub(crate) mod session;
