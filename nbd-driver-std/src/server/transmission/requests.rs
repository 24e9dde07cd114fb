//! What becomes of requests: from the engine to the backend, and back.

use std::time::Instant;

use nbd_proto::transmission::{self, ReadPart, Request, RequestId, ServerEvent};
use nbd_proto::wire::chunk::Descriptor;
use nbd_proto::wire::flags::CommandFlags;
use nbd_proto::wire::number::{CommandType, ContextId, ErrorValue};

use super::Transmission;
use crate::backend::Failure;
use crate::server::jobs::{Answer, Job, Outcome};

/// What the answer of one context to a `BLOCK_STATUS` counts as, in bytes, since nobody knows before how long it
/// will be: as much as those of the backends of this crate have at most.
const STATUS: usize = 1 << 20;

impl Transmission<'_> {
    /// Answers requests that the backend is through with. Says whether there were any.
    pub(super) fn collect(&mut self) -> bool {
        let Some(workers) = &mut self.workers else { return false };
        let mut outcomes = std::mem::take(&mut self.outcomes);
        workers.take(&mut outcomes);
        let any = !outcomes.is_empty();
        for outcome in outcomes.drain(..) {
            self.answer(outcome);
        }
        self.outcomes = outcomes;
        any
    }

    /// Takes every event that is due. Says whether there was any.
    pub(super) fn parse(&mut self) -> bool {
        let mut any = false;
        if let Some(request) = self.waiting.take() {
            // Nothing is begun any more for a client that was given up.
            any = self.engine.over().is_none() && self.take_up(request);
        }
        loop {
            // While a request waits, only what is due without input may come.
            let bytes = if self.waiting.is_some() { &[] } else { self.input.bytes() };
            // An error is told by `over`, when all is done.
            let Ok(advance) = self.engine.input(bytes) else { break };
            let consumed = advance.consumed;
            let idle = consumed == 0 && advance.event.is_none();
            match advance.event {
                Some(ServerEvent::Request(request)) => {
                    self.take_up(request);
                }
                Some(ServerEvent::Data { id, range, bytes }) => {
                    if let Some(Some((_, buffer))) = self.slots.get_mut(id.slot()) {
                        buffer[range].copy_from_slice(bytes);
                    }
                }
                Some(ServerEvent::Received { id }) => {
                    if let Some((request, buffer)) = self.take_slot(id) {
                        self.carry_out(request, buffer);
                    }
                }
                Some(ServerEvent::Done { id, .. }) => {
                    if let Some((request, buffer)) = self.take_slot(id) {
                        self.buffers.give(buffer);
                        self.buffers.release(self.beside_payload(&request));
                    }
                }
                Some(ServerEvent::Disconnect) | None => {}
            }
            self.input.consume(consumed);
            if idle {
                break;
            }
            any = true;
        }
        if any {
            self.active = Instant::now();
        }
        any
    }

    /// Begins a request, or lets it wait for memory. Says whether it began.
    fn take_up(&mut self, request: Request) -> bool {
        let Request { id, command, length, .. } = request;
        if !matches!(command, CommandType::READ | CommandType::WRITE) {
            if !self.buffers.set_aside(self.beside_payload(&request)) {
                self.waiting = Some(request);
                return false;
            }
            self.carry_out(request, Vec::new());
            return true;
        }
        if !self.buffers.can_hold(length) {
            self.fail(id, &Failure::new(ErrorValue::EOVERFLOW, "the server has no memory for that much at once"));
            return true;
        }
        let buffer = match self.buffers.take(length as usize) {
            Ok(Some(buffer)) => buffer,
            Ok(None) => {
                self.waiting = Some(request);
                return false;
            }
            Err(error) => {
                tracing::warn!(peer = self.link.peer, length, "no memory for a request: {error}");
                self.fail(id, &Failure::new(ErrorValue::ENOMEM, "the server is out of memory"));
                return true;
            }
        };
        if command == CommandType::READ {
            self.carry_out(request, buffer);
        } else if self.engine.receive(id).is_ok() {
            self.put_slot(request, buffer);
        } else {
            // The connection is over.
            self.buffers.give(buffer);
        }
        true
    }

    /// Has the backend do what a request asks for, now or soon.
    fn carry_out(&mut self, request: Request, buffer: Vec<u8>) {
        let contexts = self.engine.contexts(request.id).to_vec();
        let job = Job { request, buffer, contexts };
        let outcome = match &mut self.workers {
            Some(workers) => match job.try_run(&self.ground) {
                Ok(outcome) => outcome,
                Err(job) => match workers.hand_in(job) {
                    Ok(()) => return,
                    Err(job) => job.run(&self.ground),
                },
            },
            None => job.run(&self.ground),
        };
        self.answer(outcome);
    }

    /// Tells the client what became of a request.
    fn answer(&mut self, outcome: Outcome) {
        let Outcome { request, buffer, result } = outcome;
        let id = request.id;
        let told = match result {
            Ok(Answer::Nothing) => self.engine.finish(id),
            Ok(Answer::Read(parts)) => {
                let whole = [ReadPart::Data(request.length)];
                self.engine.finish_read(id, parts.as_deref().unwrap_or(&whole))
            }
            Ok(Answer::Status(status)) => {
                let answers: Vec<(ContextId, &[Descriptor])> =
                    status.iter().map(|(id, extents)| (*id, &extents[..])).collect();
                self.engine.finish_status(id, &answers)
            }
            Err(failure) => {
                let Request { command, offset, length, .. } = request;
                tracing::debug!(peer = self.link.peer, %command, offset, length, "failed: {failure}");
                self.fail(id, &failure);
                Ok(())
            }
        };
        if let Err(refused) = told {
            if self.engine.over().is_none() {
                tracing::error!(peer = self.link.peer, "the backend answered what cannot be told: {refused}");
                self.fail(id, &Failure::new(ErrorValue::EIO, "the server failed to carry out the request"));
            }
        }
        let is_kept = request.command == CommandType::READ || self.beside_payload(&request) > 0;
        if is_kept && self.engine.over().is_none() {
            // It is sent from there, or takes memory until it is sent.
            self.put_slot(request, buffer);
        } else {
            self.buffers.give(buffer);
        }
    }

    /// Bytes of memory, besides payload, that count for a request until its answer is sent.
    fn beside_payload(&self, request: &Request) -> usize {
        let many = request.command == CommandType::BLOCK_STATUS && !request.flags.contains(CommandFlags::REQ_ONE);
        if many { self.ground.contexts.len().saturating_mul(STATUS).min(self.options.max_memory) } else { 0 }
    }

    fn fail(&mut self, id: RequestId, failure: &Failure) {
        let Failure { error, message, offset } = failure;
        // Refused only when the connection is over, and then nobody hears it.
        let _ = self.engine.fail(id, &transmission::Failure { error: *error, message, offset: *offset });
    }

    fn put_slot(&mut self, request: Request, buffer: Vec<u8>) {
        let slot = request.id.slot();
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, || None);
        }
        self.slots[slot] = Some((request, buffer));
    }

    fn take_slot(&mut self, id: RequestId) -> Option<(Request, Vec<u8>)> {
        self.slots.get_mut(id.slot()).and_then(Option::take)
    }
}
