//! handshake
use core::fmt;

/// How replies of the transmission phase look; the handshake agrees on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyStyle {
    /// Simple replies only: the default.
    Simple,
    /// Structured chunks, and simple replies where no payload is needed.
    Structured,
    /// Extended requests and extended chunks, nothing else.
    Extended,
}

impl fmt::Display for ReplyStyle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Simple => "simple",
            Self::Structured => "structured",
            Self::Extended => "extended",
        })
    }
}
