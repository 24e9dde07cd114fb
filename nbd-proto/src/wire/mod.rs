//! Bytes to values and back: every message of the protocol, in both directions, without any state.
//!
//! Two shapes of parser:
//!
//! - Messages that stand by themselves in the stream (greetings, headers) take whatever has arrived and return
//!   a [`Parsed`]: the value and its length, or `None` while bytes are missing. A wrong magic is an error as
//!   soon as it can be seen.
//! - Payloads, whose length a header has already told, take exactly that many bytes.
//!
//! `emit` appends to any [`BufMut`](bytes::BufMut), and `parse` of what it wrote gives the same value back.
//! Numbers keep values that nobody knows yet: see [`number`].

pub mod chunk;
pub mod flags;
pub mod greeting;
pub mod info;
pub mod magic;
pub mod number;
pub mod option;
pub mod option_reply;
pub mod reply;
pub mod request;
mod strings;

use crate::error::InvalidMessage;

/// A message and the number of bytes it took; `None` while more bytes are needed to tell.
pub type Parsed<T> = Result<Option<(T, usize)>, InvalidMessage>;
