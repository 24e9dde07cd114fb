//! Why a request has failed, kept while its payload is skipped.

use alloc::string::String;

use super::answer::Failure;
use crate::text::cut;
use crate::wire::number::ErrorValue;

/// A [`Failure`] that owns its words. The payload of one request at most is skipped at any time, so that one of these
/// is enough, and its memory serves again.
#[derive(Debug)]
pub(super) struct Verdict {
    error: ErrorValue,
    message: String,
    offset: Option<u64>,
}

impl Default for Verdict {
    fn default() -> Self {
        Self { error: ErrorValue::EIO, message: String::new(), offset: None }
    }
}

impl Verdict {
    pub(super) fn keep(&mut self, failure: &Failure<'_>) {
        self.error = failure.error;
        self.message.clear();
        // More would not be sent, and is not kept.
        self.message.push_str(cut(failure.message));
        self.offset = failure.offset;
    }

    pub(super) fn failure(&self) -> Failure<'_> {
        Failure { error: self.error, message: &self.message, offset: self.offset }
    }
}
