//! The order in which commands go out, over any number of connections.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use thiserror::Error as ThisError;

use super::entry::{Active, EntryId, Kept, again, changes, overlap, weight};
use crate::error::CommandError;
use crate::handshake::Negotiated;
use crate::transmission::Command;
use crate::wire::flags::{CommandFlags, TransmissionFlags};
use crate::wire::number::{CommandType, ErrorValue};

/// What a [`Journal`] is told beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JournalSettings {
    /// How many bytes of changes may be kept for being sent again, with 128 more for each change. At half of it the
    /// journal flushes by itself; at all of it, further changes wait. One change that is larger goes when nothing else
    /// is kept. Default: 64 MiB.
    pub max_kept: u64,
}

impl Default for JournalSettings {
    fn default() -> Self {
        Self { max_kept: 64 << 20 }
    }
}

impl JournalSettings {
    /// Sets [`max_kept`](Self::max_kept).
    #[must_use]
    pub const fn with_max_kept(mut self, bytes: u64) -> Self {
        self.max_kept = bytes;
        self
    }
}

/// Why what had been promised cannot be kept: the caller was told of changes that may be lost now.
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum Broken {
    /// A change that had been told failed when it was made again.
    #[error(
        "{} of {} bytes at {} had succeeded, but fails now that it is sent again on a new connection: {error}",
        .command.command, .command.length, .command.offset
    )]
    Change {
        /// The change.
        command: Command,
        /// How it failed.
        error: CommandError,
    },
    /// A flush that was due to make room failed.
    #[error("the server cannot flush what it was sent before, and no more of it can be kept: {error}")]
    Flush {
        /// How it failed.
        error: CommandError,
    },
}

/// What the end of a command on a connection means.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum End {
    /// The command has ended: the caller is told the result.
    Told {
        /// Whether the bytes of this write have to be kept until [`Journal::released`] gives its name.
        keep: bool,
    },
    /// It was the journal's own affair: nobody is told.
    Own,
    /// The connection is over, or no longer any use: the command will go out again on the next one. Once everything
    /// that was sent has come to an end, [`Journal::lost`] is due.
    Again,
    /// A promise cannot be kept. Nothing more will be sent; whatever has not been told fails with this.
    Broken(Broken),
}

/// Commands on their way, over any number of connections: see the [module page](super).
///
/// ```text
///                    next_to_send, done…                       connected
///   new ──────────────▶ connected ──────────────── done: Again, lost ────▶ lost ──┐
///                        ▲   │                                              │     │
///                        │   │ done: Broken                                 │     │
///                        │   ▼                                              │     │
///                        │  broken: nothing more is sent                    │     │
///                        └──────────────────────────────────────────────────┘◀────┘ submit, at any time
/// ```
#[derive(Debug)]
pub struct Journal {
    max_kept: u64,
    /// Whether the server offers to flush, and to write through.
    flushes: bool,
    writes_through: bool,
    connected: bool,
    broken: bool,
    next_id: u64,
    /// Counts events, to tell what was before what.
    now: u64,
    active: BTreeMap<EntryId, Active>,
    /// Those of `active` that could be sent.
    ready: BTreeSet<EntryId>,
    kept: BTreeMap<EntryId, Kept>,
    /// What all of `kept` weighs.
    kept_weight: u64,
    /// What those changes weigh that are on the connection, and may come to be kept.
    sent_weight: u64,
    /// Those of `kept` that have to be done again on this connection, in order.
    replay: VecDeque<EntryId>,
    /// Those of `kept` that are on the connection again.
    replaying: BTreeMap<EntryId, Command>,
    /// How many flushes are on the connection.
    flushing: usize,
    /// Whether a change waits for what is kept to be safe.
    flush_wanted: bool,
    released: VecDeque<EntryId>,
}

impl Journal {
    /// For an export as the first connection to it found it, which is where commands go at first.
    pub fn new(negotiated: &Negotiated, settings: JournalSettings) -> Self {
        let offers = |flags| negotiated.info.flags.contains(flags);
        Self {
            max_kept: settings.max_kept,
            flushes: offers(TransmissionFlags::SEND_FLUSH),
            writes_through: offers(TransmissionFlags::SEND_FUA),
            connected: true,
            broken: false,
            next_id: 0,
            now: 0,
            active: BTreeMap::new(),
            ready: BTreeSet::new(),
            kept: BTreeMap::new(),
            kept_weight: 0,
            sent_weight: 0,
            replay: VecDeque::new(),
            replaying: BTreeMap::new(),
            flushing: 0,
            flush_wanted: false,
            released: VecDeque::new(),
        }
    }

    /// Takes a command that holds [against the rules](Command::check), to be sent as soon as it may.
    pub fn submit(&mut self, command: Command) -> EntryId {
        let id = self.name();
        self.enter(id, Active::new(command));
        id
    }

    /// How many commands have not been told.
    pub fn active(&self) -> usize {
        self.active.len()
    }

    /// How many changes are kept.
    pub fn kept(&self) -> usize {
        self.kept.len()
    }

    /// Whether something has to be done again before anything else can be sent.
    pub fn is_replaying(&self) -> bool {
        !(self.replay.is_empty() && self.replaying.is_empty())
    }

    /// The next command to send on this connection, if there is one now. It counts as sent.
    pub fn next_to_send(&mut self) -> Option<(EntryId, Command)> {
        if !self.connected || self.broken {
            return None;
        }
        if let Some(&id) = self.replay.front() {
            let command = again(self.kept.get(&id)?.command);
            if self.replaying.values().any(|other| overlap(other, &command)) {
                return None;
            }
            self.replay.pop_front();
            self.replaying.insert(id, command);
            return Some((id, command));
        }
        if !self.replaying.is_empty() {
            return None;
        }
        if self.needs_flush() {
            let id = self.name();
            self.enter(id, Active { own: true, ..Active::new(Command::flush()) });
            return self.send(id);
        }
        match self.first_that_fits() {
            Some(id) => self.send(id),
            // A change waits for a flush.
            None if self.needs_flush() => self.next_to_send(),
            None => None,
        }
    }

    /// Takes back a command that [`next_to_send`](Self::next_to_send) gave and that could not be sent after all.
    pub fn put_back(&mut self, id: EntryId) {
        if self.replaying.remove(&id).is_some() {
            self.replay.push_front(id);
            return;
        }
        let Some(entry) = self.active.get_mut(&id).filter(|entry| entry.sent) else { return };
        entry.sent = false;
        let (own, command) = (entry.own, entry.command);
        self.unsend(&command);
        if own {
            self.active.remove(&id);
        } else {
            self.ready.insert(id);
        }
    }

    /// Says how a command ended that [`next_to_send`](Self::next_to_send) gave.
    pub fn done(&mut self, id: EntryId, result: &Result<(), CommandError>) -> End {
        if result.as_ref().is_err_and(is_loss) {
            self.connected = false;
            return End::Again;
        }
        self.now += 1;
        if let Some(command) = self.replaying.remove(&id) {
            return match result {
                Ok(()) => End::Own,
                Err(error) => self.give_up(Broken::Change { command, error: error.clone() }),
            };
        }
        // A command that is not on the connection cannot end there: that would be the caller's mistake.
        let Some(entry) = self.active.remove(&id) else { return End::Own };
        self.ready.remove(&id);
        if entry.sent {
            self.unsend(&entry.command);
        }
        self.unblock(id, &entry);
        let keep = result.is_ok() && self.is_worth_keeping(&entry.command);
        if keep {
            self.kept_weight += weight(&entry.command);
            self.kept.insert(id, Kept { command: entry.command, done_at: self.now });
        }
        if result.is_ok() && entry.command.command == CommandType::FLUSH {
            self.release(entry.sent_at);
        }
        match result {
            Err(error) if entry.own => self.give_up(Broken::Flush { error: error.clone() }),
            _ if entry.own => End::Own,
            _ => End::Told { keep },
        }
    }

    /// A change whose bytes need not be kept any longer.
    pub fn released(&mut self) -> Option<EntryId> {
        self.released.pop_front()
    }

    /// The connection is gone, and with it the answers to everything that is on it.
    pub fn lost(&mut self) {
        self.connected = false;
        self.flushing = 0;
        self.flush_wanted = false;
        self.ready.clear();
        self.replaying.clear();
        self.replay = self.kept.keys().copied().collect();
        self.sent_weight = 0;
        for (id, mut entry) in core::mem::take(&mut self.active) {
            if !entry.own {
                entry.touched |= entry.sent;
                entry.sent = false;
                self.enter(id, entry);
            }
        }
    }

    /// There is a new connection to [the same export](super::same_export).
    pub fn connected(&mut self) {
        self.connected = true;
    }

    fn name(&mut self) -> EntryId {
        let id = EntryId(self.next_id);
        self.next_id += 1;
        id
    }

    /// Puts a command behind all that are there.
    fn enter(&mut self, id: EntryId, mut entry: Active) {
        entry.blockers = self.active.values().filter(|earlier| earlier.blocks(&entry.command)).count();
        if entry.blockers == 0 {
            self.ready.insert(id);
        }
        self.active.insert(id, entry);
    }

    fn send(&mut self, id: EntryId) -> Option<(EntryId, Command)> {
        let entry = self.active.get_mut(&id)?;
        self.now += 1;
        entry.sent = true;
        entry.sent_at = self.now;
        let command = entry.command;
        self.ready.remove(&id);
        if self.flushes {
            self.sent_weight += weight(&command);
        }
        self.flushing += usize::from(command.command == CommandType::FLUSH);
        Some((id, command))
    }

    /// A command is no longer on the connection.
    fn unsend(&mut self, command: &Command) {
        if self.flushes {
            self.sent_weight -= weight(command);
        }
        self.flushing -= usize::from(command.command == CommandType::FLUSH);
    }

    /// Those that waited for a command go on.
    fn unblock(&mut self, id: EntryId, entry: &Active) {
        for (&later, waiting) in self.active.range_mut(id..) {
            if entry.blocks(&waiting.command) {
                waiting.blockers -= 1;
                if waiting.blockers == 0 && !waiting.sent {
                    self.ready.insert(later);
                }
            }
        }
    }

    fn needs_flush(&self) -> bool {
        let kept = !self.kept.is_empty() && (self.flush_wanted || self.kept_weight >= self.max_kept / 2);
        self.flushes && kept && self.flushing == 0
    }

    /// The first command that may be sent. A change that finds no room keeps its turn before all other changes.
    ///
    /// What is written through waits until nothing below it is kept: sending that again would bring it to the top of
    /// what is safe.
    fn first_that_fits(&mut self) -> Option<EntryId> {
        self.flush_wanted = false;
        let mut starved = false;
        for &id in &self.ready {
            let Some(entry) = self.active.get(&id) else { continue };
            if !self.flushes || !changes(&entry.command) {
                return Some(id);
            }
            let before = self.kept_weight + self.sent_weight;
            let fits = before == 0 || before.saturating_add(weight(&entry.command)) <= self.max_kept;
            let covers =
                self.is_safe(&entry.command) && self.kept.values().any(|kept| overlap(&kept.command, &entry.command));
            if fits && !starved && !covers {
                return Some(id);
            }
            starved |= !fits;
            self.flush_wanted = true;
        }
        None
    }

    /// Not where nothing will ever say that it is safe, nor what is safe already.
    fn is_worth_keeping(&self, command: &Command) -> bool {
        self.flushes && changes(command) && !self.is_safe(command)
    }

    /// Whether a change is safe as soon as it has succeeded.
    fn is_safe(&self, command: &Command) -> bool {
        self.writes_through && command.flags.contains(CommandFlags::FUA)
    }

    /// A flush that was sent then has succeeded.
    fn release(&mut self, sent_at: u64) {
        let (weight_left, released) = (&mut self.kept_weight, &mut self.released);
        self.kept.retain(|id, kept| {
            let stays = kept.done_at > sent_at;
            if !stays {
                *weight_left -= weight(&kept.command);
                released.push_back(*id);
            }
            stays
        });
    }

    fn give_up(&mut self, broken: Broken) -> End {
        self.broken = true;
        End::Broken(broken)
    }
}

/// Whether the connection is what failed. "If the client receives an `NBD_ESHUTDOWN` error it MUST initiate a soft
/// disconnect" (spec, *Terminating the transmission phase*): the command can be done by the server that comes next.
fn is_loss(error: &CommandError) -> bool {
    match error {
        CommandError::Connection(_) => true,
        CommandError::Server(error) => error.error == ErrorValue::ESHUTDOWN,
        _ => false,
    }
}
