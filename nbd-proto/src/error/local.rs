//! What this side refuses, and how one command fails.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use thiserror::Error as ThisError;

use super::{Error, Field};
use crate::limits::MAX_STRING;
use crate::text::{Escaped, flag_names};
use crate::wire::flags::CommandFlags;
use crate::wire::number::{CommandType, ContextId, ErrorValue, OptionCode};

/// A call that was refused before anything was sent; the connection is as it was.
///
/// Each rule about requests has a name in [`Checks`](crate::transmission::Checks) by which it can be turned off.
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum Refused {
    /// Not now: an option was not legal at this point of the handshake.
    #[error("{option} cannot be sent: {reason}")]
    Option {
        /// The option.
        option: OptionCode,
        /// Why not.
        reason: &'static str,
    },
    /// A string that the protocol cannot carry.
    #[error("{field} must be at most {MAX_STRING} bytes without NUL")]
    String {
        /// Which string.
        field: Field,
    },
    /// More list entries than a message can hold.
    #[error("{field} has more entries than a message can hold")]
    TooMany {
        /// Which list.
        field: Field,
    },
    /// All places for requests are taken: not now.
    #[error("{limit} requests are in flight, which is the limit")]
    QueueFull {
        /// [`ClientSettings::max_in_flight`](crate::transmission::ClientSettings::max_in_flight)
        limit: usize,
    },
    /// The connection is over, or a soft disconnect is on its way.
    #[error("the connection takes no more requests")]
    Closed,
    /// The server does not offer the command.
    #[error("the server does not offer {command}")]
    NotOffered {
        /// The command.
        command: CommandType,
    },
    /// A command flag that does not go with the command, or that the server does not offer.
    #[error("{command} may not carry the flags {} here", flag_names(.flags))]
    Flags {
        /// The command.
        command: CommandType,
        /// The flags in question.
        flags: CommandFlags,
    },
    /// The export is read-only.
    #[error("the export is read-only, so {command} would fail")]
    ReadOnly {
        /// The command.
        command: CommandType,
    },
    /// Past the end of the export.
    #[error("{length} bytes at {offset} go past the end of the export, which has {size} bytes")]
    OutOfBounds {
        /// Offset in bytes.
        offset: u64,
        /// Length in bytes.
        length: u64,
        /// Size of the export in bytes.
        size: u64,
    },
    /// In a server: an answer that does not fit the request, or to a request that awaits none.
    #[error("that cannot be answered: {reason}")]
    Answer {
        /// Why not.
        reason: &'static str,
    },
    /// Offset and length where the command has none.
    #[error("{command} acts on the whole export, so its offset and length must be 0")]
    NoRange {
        /// The command.
        command: CommandType,
    },
    /// Not a multiple of the minimum block size.
    #[error("{length} bytes at {offset} are not aligned to the server's minimum block size of {minimum} bytes")]
    Unaligned {
        /// Offset in bytes.
        offset: u64,
        /// Length in bytes.
        length: u64,
        /// The minimum block size in bytes.
        minimum: u32,
    },
    /// More than the server takes in one request.
    #[error("{length} bytes are more than the {maximum} that the server takes in one request")]
    TooLong {
        /// Length in bytes.
        length: u64,
        /// The maximum in bytes.
        maximum: u64,
    },
    /// A request about nothing, whose outcome the protocol leaves open.
    #[error("{command} of 0 bytes has no defined outcome")]
    Empty {
        /// The command.
        command: CommandType,
    },
    /// Block status, but no metadata context was selected.
    #[error("no metadata context was selected in the handshake, so there is no block status")]
    NoContexts,
    /// A context that was not selected, or was given twice.
    #[error("metadata context {context} was not selected, or is named twice")]
    Context {
        /// The context.
        context: ContextId,
    },
}

/// How one command failed.
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum CommandError {
    /// The server said no. The connection goes on, but with `NBD_ESHUTDOWN`: then a soft disconnect is due.
    #[error(transparent)]
    Server(Box<ServerError>),
    /// A read that was not answered in full, though the server claims success.
    #[error("the server claims success, but sent {covered} of {length} bytes")]
    Incomplete {
        /// How many bytes came.
        covered: u64,
        /// How many were asked for.
        length: u64,
    },
    /// A block status that some contexts did not answer, though the server claims success.
    #[error("the server claims success, but answered for {answered} of {asked} metadata contexts")]
    ContextsMissing {
        /// How many answered.
        answered: usize,
        /// How many had to.
        asked: usize,
    },
    /// An answer for which there was no memory; it was read to its end and forgotten. A shorter range may do, or one
    /// request after the other.
    #[error("the server's answers to NBD_CMD_BLOCK_STATUS take more than {limit} bytes of memory, which is the limit")]
    StatusTooLarge {
        /// What answers of the connection may take together, in bytes.
        limit: usize,
    },
    /// The connection ended before the command did.
    #[error(transparent)]
    Connection(Error),
}

/// An error that the server reported for one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerError {
    /// The command.
    pub command: CommandType,
    /// The value as it came; [`known`](ErrorValue::known) is the one to act on.
    pub error: ErrorValue,
    /// The server's own words; may be empty. Not escaped: [`Display`](fmt::Display) does that.
    pub message: String,
    /// Where it happened, in bytes from the start of the export, if the server told.
    pub offset: Option<u64>,
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server failed {} with {} ({})", self.command, self.error, self.error.meaning())?;
        if let Some(offset) = self.offset {
            write!(f, " at offset {offset}")?;
        }
        if self.message.is_empty() { Ok(()) } else { write!(f, ": {}", Escaped(&self.message)) }
    }
}

impl core::error::Error for ServerError {}
