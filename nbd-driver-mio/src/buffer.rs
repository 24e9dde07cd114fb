//! Buffers that are handed in and come back.

use std::ops::Deref;

use bytes::{Bytes, BytesMut};

/// Memory that a request owns until it has ended. Made from any of its kinds with `into`; no kind is ever copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Buffer {
    /// Shared and read-only: good for a `WRITE`, and for the answer to a `READ`.
    Bytes(Bytes),
    /// Good for everything.
    BytesMut(BytesMut),
    /// Good for everything.
    Vec(Vec<u8>),
}

/// Memory that can be received into. As many bytes are, as it is long: capacity behind that is not used.
pub trait ReadBuffer: Into<Buffer> {}

impl ReadBuffer for BytesMut {}
impl ReadBuffer for Vec<u8> {}

impl Buffer {
    /// No memory: what a request without payload has.
    pub const NONE: Self = Self::Vec(Vec::new());

    /// The bytes, to be changed, unless they are shared.
    pub fn as_mut(&mut self) -> Option<&mut [u8]> {
        match self {
            Self::Bytes(_) => None,
            Self::BytesMut(bytes) => Some(bytes),
            Self::Vec(bytes) => Some(bytes),
        }
    }

    /// The bytes to share. Costs no copy.
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::BytesMut(bytes) => bytes.freeze(),
            Self::Vec(bytes) => bytes.into(),
        }
    }

    /// The bytes as a vector. Costs no copy where they came as one.
    pub fn into_vec(self) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes.into(),
            Self::BytesMut(bytes) => bytes.into(),
            Self::Vec(bytes) => bytes,
        }
    }
}

impl Default for Buffer {
    fn default() -> Self {
        Self::NONE
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::BytesMut(bytes) => bytes,
            Self::Vec(bytes) => bytes,
        }
    }
}

impl From<Bytes> for Buffer {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<BytesMut> for Buffer {
    fn from(bytes: BytesMut) -> Self {
        Self::BytesMut(bytes)
    }
}

impl From<Vec<u8>> for Buffer {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Vec(bytes)
    }
}
