//! A command in a journal.

use crate::transmission::Command;
use crate::wire::flags::CommandFlags;
use crate::wire::number::CommandType;

/// The name of a command in a [`Journal`](super::Journal), never used twice. Later ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId(pub(super) u64);

impl EntryId {
    /// As a number: commands are counted from 0, in the order in which they were submitted, with the flushes that the
    /// journal adds.
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// A command that has not been told.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) command: Command,
    /// How many others have to be done first.
    pub(super) blockers: usize,
    /// Whether it is on the connection.
    pub(super) sent: bool,
    /// When it was sent last, by the journal's count of events.
    pub(super) sent_at: u64,
    /// Whether it was on a connection that is gone: then it may have had its effect.
    pub(super) touched: bool,
    /// A flush that nobody asked for.
    pub(super) own: bool,
}

impl Active {
    pub(super) fn new(command: Command) -> Self {
        Self { command, blockers: 0, sent: false, sent_at: 0, touched: false, own: false }
    }

    /// Whether a command that was submitted later has to wait for this one.
    pub(super) fn blocks(&self, later: &Command) -> bool {
        changes(&self.command) && (self.touched || changes(later)) && overlap(&self.command, later)
    }
}

/// A change that was told, and that no flush has covered yet.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) command: Command,
    /// When it was done first, by the journal's count of events. It is done again before anything else is sent.
    pub(super) done_at: u64,
}

/// Whether a command changes what the export holds.
pub(super) const fn changes(command: &Command) -> bool {
    matches!(command.command, CommandType::WRITE | CommandType::TRIM | CommandType::WRITE_ZEROES)
}

pub(super) const fn overlap(one: &Command, other: &Command) -> bool {
    one.offset < other.offset.saturating_add(other.length) && other.offset < one.offset.saturating_add(one.length)
}

/// The command that does the same again: it must not fail now for being slow.
pub(super) fn again(command: Command) -> Command {
    command.with_flags(command.flags.difference(CommandFlags::FAST_ZERO))
}

/// What a change costs while it is kept, in bytes. One without payload costs something, too.
pub(super) const fn weight(command: &Command) -> u64 {
    const BARE: u64 = 128;
    match command.command {
        CommandType::WRITE => command.length.saturating_add(BARE),
        CommandType::TRIM | CommandType::WRITE_ZEROES => BARE,
        _ => 0,
    }
}
