//! The selected metadata contexts, in an order that finds one of very many at once: a server decides how often it
//! is looked for.

use alloc::vec::Vec;
use smallvec::SmallVec;

use crate::handshake::Negotiated;
use crate::wire::number::ContextId;

#[derive(Debug)]
pub(super) struct Contexts {
    /// Sorted by id.
    selected: Vec<Selected>,
}

#[derive(Debug)]
struct Selected {
    id: ContextId,
    /// Whether its flags have 32 bits at most.
    narrow: bool,
}

/// The contexts that are to answer one request, and those that have.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// Whether those that answer are named; otherwise they are all that were selected.
    is_named: bool,
    /// Those that the request named, sorted.
    named: SmallVec<[ContextId; 2]>,
    /// A bit for each that has answered.
    seen: SmallVec<[u64; 1]>,
    expected: usize,
    count: usize,
}

/// What an answer is for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    First,
    Again,
    NotAsked,
}

impl Contexts {
    pub(super) fn new(negotiated: &Negotiated) -> Self {
        let narrow = |name: &str| name.starts_with("base:");
        let mut selected: Vec<_> = negotiated
            .contexts
            .iter()
            .map(|context| Selected { id: context.id, narrow: narrow(&context.name) })
            .collect();
        selected.sort_unstable_by_key(|context| context.id);
        Self { selected }
    }

    pub(super) fn contains(&self, id: ContextId) -> bool {
        self.find(id).is_some()
    }

    /// Whether the flags of a context have 32 bits at most. Nothing is known of one that was not selected.
    pub(super) fn is_narrow(&self, id: ContextId) -> bool {
        self.find(id).is_some_and(|at| self.selected[at].narrow)
    }

    fn find(&self, id: ContextId) -> Option<usize> {
        self.selected.binary_search_by_key(&id, |context| context.id).ok()
    }
}

impl Answers {
    /// Begins anew, and keeps the memory.
    pub(super) fn reset(&mut self) {
        self.is_named = false;
        self.named.clear();
        self.seen.clear();
        self.expected = 0;
        self.count = 0;
    }

    /// Each selected context is to answer.
    pub(super) fn expect_all(&mut self, contexts: &Contexts) {
        self.expected = contexts.selected.len();
    }

    /// These are to answer.
    pub(super) fn expect(&mut self, named: &[ContextId]) {
        self.named.clear();
        self.named.extend_from_slice(named);
        self.named.sort_unstable();
        self.named.dedup();
        self.expected = self.named.len();
        self.is_named = true;
    }

    /// Takes note of an answer.
    pub(super) fn note(&mut self, id: ContextId, contexts: &Contexts) -> Answer {
        let found = if self.is_named { self.named.binary_search(&id).ok() } else { contexts.find(id) };
        let Some(at) = found else { return Answer::NotAsked };
        let (word, bit) = (at / 64, 1 << (at % 64));
        if self.seen.len() <= word {
            self.seen.resize(word + 1, 0);
        }
        if self.seen[word] & bit != 0 {
            return Answer::Again;
        }
        self.seen[word] |= bit;
        self.count += 1;
        Answer::First
    }

    /// How many have answered, and how many are to.
    pub(super) const fn progress(&self) -> (usize, usize) {
        (self.count, self.expected)
    }
}
