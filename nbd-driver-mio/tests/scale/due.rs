//! Whose turn it is, in a loop of many connections.

use std::collections::VecDeque;

/// The connections that are due a turn, each once, first come first served.
#[derive(Debug, Default)]
pub(crate) struct Due {
    queue: VecDeque<usize>,
    is_due: Vec<bool>,
}

impl Due {
    pub(crate) fn push(&mut self, index: usize) {
        if self.is_due.len() <= index {
            self.is_due.resize(index + 1, false);
        }
        if !std::mem::replace(&mut self.is_due[index], true) {
            self.queue.push_back(index);
        }
    }

    pub(crate) fn pop(&mut self) -> Option<usize> {
        let index = self.queue.pop_front()?;
        self.is_due[index] = false;
        Some(index)
    }

    /// How many are due: as many turns are one round.
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }
}
