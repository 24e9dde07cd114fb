//! Why a request failed.

use std::io;

use rustix::io::Errno;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The kernel knows no family of that name: the module is not loaded, or (6.1) this is not the first network
    /// namespace.
    #[error("the kernel has no netlink family \"nbd\"")]
    NoFamily,
    /// The kernel's answer is an error.
    #[error("the kernel refused: {errno}")]
    Refused {
        /// Which error.
        errno: Errno,
        /// What the kernel has to say about it, not escaped.
        message: Option<String>,
    },
    /// The request cannot be put into a message. Nothing was sent.
    #[error("{0}")]
    Unsendable(&'static str),
    /// The socket failed, or the kernel did not answer in time.
    #[error("netlink socket: {0}")]
    Io(#[from] io::Error),
    /// The kernel's answer makes no sense. What was asked for may have happened all the same.
    #[error("the kernel's answer cannot be understood: {0}")]
    Malformed(#[from] Malformed),
}

/// What is wrong with what came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// A message is shorter than its header, or longer than the datagram.
    #[error("a message does not fit its datagram, of which {left} bytes are left")]
    Message { left: usize },
    /// An attribute is shorter than its header, or longer than what it is in.
    #[error("an attribute does not fit its place")]
    Attribute,
    /// A message is shorter than what each of its kind begins with.
    #[error("a message of type {kind} has only {length} bytes")]
    Short { kind: u16, length: usize },
    /// Neither 0 nor a negated error number.
    #[error("{0} is no error number")]
    Code(i32),
    /// Something that must be there is not.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// Something is there twice, and it cannot be told which one counts.
    #[error("{0} comes twice")]
    Twice(&'static str),
    /// An attribute has another length than its type has.
    #[error("{name} has {length} bytes")]
    Length { name: &'static str, length: usize },
    /// A number that stands for something else.
    #[error("{0} is no number of a family")]
    FamilyId(u16),
    /// Another device answers.
    #[error("device {asked} was asked for, {came} answers")]
    Index { asked: u32, came: u32 },
    /// A list of devices is longer than its length can say, and is not all of its message: it cannot be told where it
    /// ends.
    #[error("it cannot be told where the list of devices ends")]
    ListTooLong,
    /// So much came, and still no end.
    #[error("the answer does not end")]
    Endless,
}
