//! Answers, of the caller and of the engine itself: held against what was asked, then handed on to be framed.

use super::Server;
use super::admit::Objection;
use super::answer::{Failure, ReadPart};
use super::event::RequestId;
use super::intake::Intake;
use super::replies::Answered;
use super::table::{Stage, Table};
use crate::error::Refused;
use crate::transmission::slots::SlotIndex;
use crate::wire::chunk::Descriptor;
use crate::wire::number::{CommandType, ContextId};

impl Server {
    /// Answers with success a request whose answer has no content: any but `READ` and `BLOCK_STATUS`. Refused if it
    /// is one of those, if its payload has not come yet, and if the request is not in flight any more.
    pub fn finish(&mut self, id: RequestId) -> Result<(), Refused> {
        let slot = self.answerable(id)?;
        if matches!(self.table.request(slot).command, CommandType::READ | CommandType::BLOCK_STATUS) {
            return Err(Refused::Answer { reason: "its answer has content" });
        }
        self.table.request_mut(slot).stage = Stage::Answered;
        self.replies.success(answered(&self.table, slot), &mut self.hook);
        Ok(())
    }

    /// Answers a `READ`. The parts cover its whole length, and none is empty; its buffer is asked for what is sent
    /// from it, until the `Done`. Refused, with nothing sent, if that is not so.
    pub fn finish_read(&mut self, id: RequestId, parts: &[ReadPart]) -> Result<(), Refused> {
        let slot = self.answerable(id)?;
        let served = self.table.request(slot);
        if served.command != CommandType::READ {
            return Err(Refused::Answer { reason: "it is no READ" });
        }
        let covered = parts.iter().try_fold(0u64, |sum, part| {
            let count = part.length();
            if count == 0 { None } else { sum.checked_add(count) }
        });
        if covered != Some(served.length) {
            return Err(Refused::Answer { reason: "the parts do not cover the length of the READ" });
        }
        self.table.request_mut(slot).stage = Stage::Answered;
        self.replies.read(answered(&self.table, slot), parts, &mut self.hook);
        Ok(())
    }

    /// Answers a `BLOCK_STATUS`: for each context that it [asks about](Self::contexts), what consecutive ranges from
    /// the request's offset on are like. What cannot be told (past the end of the export, behind the request, more
    /// than one extent where only one is wanted) is left out, an extent of no bytes ends the list, and extents too
    /// long for a descriptor are cut in pieces.
    ///
    /// Refused, with nothing sent, unless each context is answered for once, with at least one extent, the first of at
    /// least one byte, each that is told ending at a multiple of the minimum block size or of the export, and with flags
    /// that fit the agreed style.
    pub fn finish_status(&mut self, id: RequestId, answers: &[(ContextId, &[Descriptor])]) -> Result<(), Refused> {
        let slot = self.answerable(id)?;
        let served = self.table.request(slot);
        if served.command != CommandType::BLOCK_STATUS {
            return Err(Refused::Answer { reason: "it is no BLOCK_STATUS" });
        }
        let asked = &served.contexts;
        let once = |context: &ContextId| answers.iter().filter(|(answered, _)| answered == context).count() == 1;
        if answers.len() != asked.len() || !asked.iter().all(once) {
            return Err(Refused::Answer { reason: "the contexts answered are not those that were asked about" });
        }
        for (_, extents) in answers {
            self.replies.check_extents(extents, served, &self.facts)?;
        }
        self.table.request_mut(slot).stage = Stage::Answered;
        for (at, answer) in answers.iter().enumerate() {
            let (to, last) = (answered(&self.table, slot), at + 1 == answers.len());
            self.replies.context(to, *answer, last, &self.facts, &mut self.hook);
        }
        Ok(())
    }

    /// Answers any request with an error, at any time before another answer: if its payload has not come, it is
    /// skipped first. Refused if the request is not in flight any more.
    pub fn fail(&mut self, id: RequestId, failure: &Failure<'_>) -> Result<(), Refused> {
        let slot = self.awaited(id)?;
        let served = self.table.request_mut(slot);
        if served.stage == Stage::Inbound {
            let left = self.intake.left(slot, served.length);
            self.fail_behind_payload(slot, failure, left);
        } else {
            served.stage = Stage::Answered;
            self.replies.failure(answered(&self.table, slot), failure, &mut self.hook);
        }
        Ok(())
    }

    /// The place of a request that was not answered yet.
    pub(super) fn awaited(&self, id: RequestId) -> Result<SlotIndex, Refused> {
        if self.over.is_some() {
            return Err(Refused::Closed);
        }
        self.table.find(id).ok_or(Refused::Answer { reason: "no request of that name awaits an answer" })
    }

    /// The place of a request that has come whole and was not answered yet.
    fn answerable(&self, id: RequestId) -> Result<SlotIndex, Refused> {
        let slot = self.awaited(id)?;
        match self.table.request(slot).stage {
            Stage::AwaitAnswer => Ok(slot),
            _ => Err(Refused::Answer { reason: "its payload has not come yet" }),
        }
    }

    /// Fails a request that the caller never hears of, once its payload has been skipped.
    pub(super) fn object(&mut self, slot: SlotIndex, (error, message): Objection, payload: u64) {
        self.fail_behind_payload(slot, &Failure { error, message, offset: None }, payload);
    }

    fn fail_behind_payload(&mut self, slot: SlotIndex, failure: &Failure<'_>, left: u64) {
        self.table.request_mut(slot).stage = Stage::Answered;
        if left > 0 {
            self.verdict.keep(failure);
            self.intake = Intake::Skip { slot, left };
        } else {
            self.intake = Intake::Header;
            self.replies.failure(answered(&self.table, slot), failure, &mut self.hook);
        }
    }
}

/// The request that is answered, with its names.
pub(super) fn answered(table: &Table, slot: SlotIndex) -> Answered<'_> {
    Answered { served: table.request(slot), slot, id: table.id(slot) }
}
