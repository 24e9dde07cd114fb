//! Our own requests, held against what the protocol and the server allow.

use bitflags::bitflags;

use crate::error::Refused;
use crate::handshake::{Negotiated, ReplyStyle};
use crate::wire::flags::{CommandFlags, TransmissionFlags};
use crate::wire::number::CommandType;

/// A command to be sent.
///
/// The fields are open, so that a tester of servers can send what no sane client would; [`Checks`] holds it
/// against the rules first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    /// What to do.
    pub command: CommandType,
    /// How. `PAYLOAD_LEN` is the engine's own business: it is set and cleared as the header style demands.
    pub flags: CommandFlags,
    /// Where, in bytes from the start of the export.
    pub offset: u64,
    /// How many bytes.
    pub length: u64,
}

impl Command {
    const fn new(command: CommandType, offset: u64, length: u64) -> Self {
        Self { command, flags: CommandFlags::empty(), offset, length }
    }

    /// `READ`: the bytes will be offered to the buffer of this command's cookie.
    pub const fn read(offset: u64, length: u64) -> Self {
        Self::new(CommandType::READ, offset, length)
    }

    /// `WRITE`: the bytes will be asked of the buffer of this command's cookie.
    pub const fn write(offset: u64, length: u64) -> Self {
        Self::new(CommandType::WRITE, offset, length)
    }

    /// `FLUSH`: all writes that were answered so far get to non-volatile storage.
    pub const fn flush() -> Self {
        Self::new(CommandType::FLUSH, 0, 0)
    }

    /// `TRIM`: the range is no longer needed.
    pub const fn trim(offset: u64, length: u64) -> Self {
        Self::new(CommandType::TRIM, offset, length)
    }

    /// `CACHE`: the range will be needed soon.
    pub const fn cache(offset: u64, length: u64) -> Self {
        Self::new(CommandType::CACHE, offset, length)
    }

    /// `WRITE_ZEROES`: the range reads as zeroes.
    pub const fn write_zeroes(offset: u64, length: u64) -> Self {
        Self::new(CommandType::WRITE_ZEROES, offset, length)
    }

    /// `BLOCK_STATUS`: what the selected contexts say of the range.
    pub const fn block_status(offset: u64, length: u64) -> Self {
        Self::new(CommandType::BLOCK_STATUS, offset, length)
    }

    /// Sets the flags.
    #[must_use]
    pub const fn with_flags(mut self, flags: CommandFlags) -> Self {
        self.flags = flags;
        self
    }

    /// Holds a command against the rules of an export, and against what its header can carry at all.
    /// [`Client::submit`](super::Client::submit) does the same.
    pub fn check(&self, negotiated: &Negotiated, checks: Checks) -> Result<(), Refused> {
        check(self, negotiated, checks)
    }

    /// Whether bytes travel, and so have to fit a buffer.
    pub(super) const fn has_payload(&self) -> bool {
        matches!(self.command, CommandType::READ | CommandType::WRITE)
    }

    /// Whether the range fields mean anything.
    const fn has_range(&self) -> bool {
        !matches!(self.command, CommandType::FLUSH | CommandType::DISC)
    }
}

bitflags! {
    /// The rules that our own requests are held against before they are sent. All are on by default; each can
    /// be turned off by its name, to see what a server does.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Checks: u16 {
        /// The server offers the command.
        const OFFERED = 1 << 0;
        /// The flags go with the command, and the server offers them.
        const FLAGS = 1 << 1;
        /// Nothing is written to a read-only export.
        const READ_ONLY = 1 << 2;
        /// The range lies within the export; a command without a range has zeroes there.
        const BOUNDS = 1 << 3;
        /// Offset and length are multiples of the minimum block size.
        const ALIGNMENT = 1 << 4;
        /// The payload is not longer than the maximum payload.
        const MAX_PAYLOAD = 1 << 5;
        /// The range is not empty.
        const EMPTY = 1 << 6;
        /// Block status only with contexts, and only those that were selected.
        const CONTEXTS = 1 << 7;
    }
}

impl Default for Checks {
    fn default() -> Self {
        Self::all()
    }
}

/// Holds a command against the rules that are on, and against what its header can carry at all.
pub(super) fn check(command: &Command, facts: &Negotiated, checks: Checks) -> Result<(), Refused> {
    let Command { command: kind, flags, offset, length } = *command;
    let on = |check| checks.contains(check);
    let offered = |flag| facts.info.flags.contains(flag);
    if on(Checks::READ_ONLY) && writes(kind) && offered(TransmissionFlags::READ_ONLY) {
        return Err(Refused::ReadOnly { command: kind });
    }
    if on(Checks::OFFERED) && !needed_flag(kind).is_some_and(offered) {
        return Err(Refused::NotOffered { command: kind });
    }
    if on(Checks::FLAGS) {
        let excess = flags.difference(allowed_flags(kind, facts.info.flags));
        if !excess.is_empty() {
            return Err(Refused::Flags { command: kind, flags: excess });
        }
    }
    if on(Checks::CONTEXTS) && kind == CommandType::BLOCK_STATUS && facts.contexts.is_empty() {
        return Err(Refused::NoContexts);
    }
    if command.has_range() {
        if on(Checks::EMPTY) && length == 0 {
            return Err(Refused::Empty { command: kind });
        }
        let size = facts.info.size;
        if on(Checks::BOUNDS) && offset.checked_add(length).is_none_or(|end| end > size) {
            return Err(Refused::OutOfBounds { offset, length, size });
        }
        let minimum = facts.minimum_block();
        if on(Checks::ALIGNMENT) && (offset | length) % u64::from(minimum) != 0 {
            return Err(Refused::Unaligned { offset, length, minimum });
        }
    } else if on(Checks::BOUNDS) && (offset, length) != (0, 0) {
        // "*length* and *offset* are reserved, and MUST be set to all-zero" (spec, `NBD_CMD_FLUSH`).
        return Err(Refused::NoRange { command: kind });
    }
    // A compact header has 32 bits for the length, and so has the maximum payload.
    let header = if facts.reply_style == ReplyStyle::Extended && !command.has_payload() {
        u64::MAX
    } else {
        u64::from(u32::MAX)
    };
    let maximum = if on(Checks::MAX_PAYLOAD) && command.has_payload() {
        header.min(u64::from(facts.maximum_payload()))
    } else {
        header
    };
    if length > maximum {
        return Err(Refused::TooLong { length, maximum });
    }
    Ok(())
}

/// Whether a command changes the export.
pub(super) const fn writes(command: CommandType) -> bool {
    matches!(command, CommandType::WRITE | CommandType::TRIM | CommandType::WRITE_ZEROES)
}

/// The transmission flag that offers a command: none for those that every server has, `None` for those that
/// nobody knows.
pub(super) fn needed_flag(command: CommandType) -> Option<TransmissionFlags> {
    match command {
        CommandType::READ | CommandType::WRITE | CommandType::BLOCK_STATUS => Some(TransmissionFlags::empty()),
        CommandType::FLUSH => Some(TransmissionFlags::SEND_FLUSH),
        CommandType::TRIM => Some(TransmissionFlags::SEND_TRIM),
        CommandType::CACHE => Some(TransmissionFlags::SEND_CACHE),
        CommandType::WRITE_ZEROES => Some(TransmissionFlags::SEND_WRITE_ZEROES),
        _ => None,
    }
}

/// "Clients MUST NOT set a command flag bit that is not documented for the particular command" (spec,
/// *Command flags*).
fn allowed_flags(command: CommandType, offered: TransmissionFlags) -> CommandFlags {
    let mut allowed = CommandFlags::empty();
    let fua = offered.contains(TransmissionFlags::SEND_FUA);
    match command {
        CommandType::READ => allowed.set(CommandFlags::DF, offered.contains(TransmissionFlags::SEND_DF)),
        CommandType::WRITE | CommandType::TRIM => allowed.set(CommandFlags::FUA, fua),
        CommandType::WRITE_ZEROES => {
            allowed.set(CommandFlags::FUA, fua);
            allowed |= CommandFlags::NO_HOLE;
            allowed.set(CommandFlags::FAST_ZERO, offered.contains(TransmissionFlags::SEND_FAST_ZERO));
        }
        CommandType::BLOCK_STATUS => allowed |= CommandFlags::REQ_ONE,
        _ => {}
    }
    allowed
}
