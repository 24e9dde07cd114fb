//! Asking a server which metadata contexts an export has.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::error::Refusal;
use crate::wire::option::{MetaContextRequest, OptionRequest};

/// The names that `LIST_META_CONTEXT` brings, maybe in two rounds.
#[derive(Debug, Default)]
pub(super) struct ContextNames {
    names: Vec<String>,
    /// How many of them the first round brought, once the second one is under way.
    first_round: usize,
    /// Those again, so that a long second round is compared with them in no time.
    settled: BTreeSet<String>,
    again: bool,
}

impl ContextNames {
    /// The request of this round.
    pub(super) fn request<'a>(&self, export: &'a str) -> OptionRequest<'a> {
        let queries = if self.again { vec!["qemu:"] } else { vec![] };
        OptionRequest::ListMetaContext(MetaContextRequest { export, queries })
    }

    pub(super) fn push(&mut self, name: &str) {
        if !self.settled.contains(name) {
            self.names.push(name.to_owned());
        }
    }

    /// Ends a round, and says whether another is due. What came before an error does not count (spec,
    /// `NBD_OPT_LIST_META_CONTEXT`). A server that lists something but nothing of `qemu:` is asked for that by
    /// name, because QEMU 3.0 forgets its own contexts when it is asked for all (O10).
    pub(super) fn round_done(&mut self, outcome: &Result<(), Refusal>) -> bool {
        if outcome.is_err() {
            self.names.truncate(self.first_round);
            return false;
        }
        let forgotten = !self.names.is_empty() && !self.names.iter().any(|name| name.starts_with("qemu:"));
        if core::mem::replace(&mut self.again, true) || !forgotten {
            return false;
        }
        self.first_round = self.names.len();
        self.settled = self.names.iter().cloned().collect();
        true
    }

    pub(super) fn into_names(self) -> Vec<String> {
        self.names
    }
}
