//! What was asked, and what was answered: the truth that a client's results are held against.

use std::fmt;

use nbd_proto::error::CommandError;
use nbd_proto::transmission::Command;
use nbd_proto::wire::chunk::Descriptor;
use nbd_proto::wire::number::ErrorValue;

/// All commands of one client, in the order in which it submitted them.
#[derive(Default)]
pub(crate) struct Ledger {
    entries: Vec<Entry>,
    /// How many of them the server has seen.
    arrived: usize,
    /// Whether the server answers by itself what comes from now on.
    pub(crate) shutting_down: bool,
    /// How many commands ended without an answer, because the connection did.
    pub(crate) cut_off: usize,
    /// What has ended since somebody looked: which, how, and with what in the buffer.
    pub(crate) ended: Vec<(usize, Result<(), CommandError>, Vec<u8>)>,
}

pub(crate) struct Entry {
    pub(crate) command: Command,
    /// What a `WRITE` carries.
    pub(crate) data: Vec<u8>,
    /// What the engine has to answer, without asking anybody.
    pub(crate) own: Option<Answer>,
    /// What the server's caller answered.
    pub(crate) answer: Option<Answer>,
    /// How often the client was told the end.
    pub(crate) done: usize,
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Success,
    Data(Vec<u8>),
    Extents(Vec<Descriptor>),
    Error(ErrorValue),
}

/// Without the data: thousands of numbers would hide what matters.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Success => f.write_str("Success"),
            Self::Data(data) => write!(f, "Data({} bytes)", data.len()),
            Self::Extents(extents) => write!(f, "Extents({} descriptors)", extents.len()),
            Self::Error(error) => write!(f, "Error({error:?})"),
        }
    }
}

/// Compares data, and tells no more than where it begins to differ.
#[track_caller]
pub(crate) fn assert_same_data(came: &[u8], expected: &[u8], of: &impl fmt::Debug) {
    let differs = came.iter().zip(expected).position(|(came, expected)| came != expected);
    assert_eq!((came.len(), differs), (expected.len(), None), "the data of {of:?}");
}

impl Ledger {
    pub(crate) fn enter(&mut self, command: Command, data: Vec<u8>, own: Option<Answer>) -> usize {
        self.entries.push(Entry { command, data, own, answer: None, done: 0 });
        self.entries.len() - 1
    }

    /// The next command that has to reach the server's caller: requests arrive in order, and those that the engine
    /// answers never do.
    pub(crate) fn next_arrival(&mut self) -> usize {
        let skipped = self.entries[self.arrived..].iter().take_while(|entry| entry.own.is_some()).count();
        let number = self.arrived + skipped;
        assert!(number < self.entries.len(), "a request came that nobody has sent");
        self.arrived = number + 1;
        number
    }

    pub(crate) fn entry(&mut self, number: usize) -> &mut Entry {
        &mut self.entries[number]
    }

    /// Each command had exactly one end.
    pub(crate) fn assert_all_done(&self) {
        for (number, entry) in self.entries.iter().enumerate() {
            assert_eq!(entry.done, 1, "ends of command {number}, {:?}", entry.command);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}
