//! A connection in its transmission phase.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Instant;

use mio::Waker;
use nbd_driver_mio::nbd_proto::transmission::{self, RequestId};
use nbd_driver_mio::nbd_proto::wire::chunk::Descriptor;
use nbd_driver_mio::nbd_proto::wire::number::{ContextId, ErrorValue};
use nbd_driver_mio::{Scratch, Server, ServerEvent, Turn};
use nbd_driver_std::backend::{Backend, Failure, Features};

use super::jobs::{Answer, Job, Outcome, Workers};
use super::running::Order;

pub(super) struct Serving {
    pub(super) server: Server,
    backend: Arc<dyn Backend>,
    /// None where the backend never waits.
    workers: Option<Workers>,
    threads: usize,
    /// How many calls of the backend go on.
    running: usize,
    /// Those that wait for a thread.
    queue: VecDeque<Job>,
    /// Requests that have not had their `Done`.
    open: HashSet<RequestId>,
}

impl Serving {
    pub(super) fn new(
        server: Server,
        backend: Arc<dyn Backend>,
        number: usize,
        threads: usize,
        (outcomes, waker): (Sender<Order>, Arc<Waker>),
    ) -> Self {
        let immediate = backend.features().contains(Features::IMMEDIATE);
        let workers = (!immediate).then(|| Workers::new(backend.clone(), number, outcomes, waker));
        Self { server, backend, workers, threads, running: 0, queue: VecDeque::new(), open: HashSet::new() }
    }

    /// A turn, and what came of it.
    pub(super) fn turn(&mut self, scratch: &mut Scratch, now: Instant) -> Turn {
        let turn = self.server.turn(scratch, now);
        assert!(turn != Turn::Wait || self.server.deadline().is_none_or(|at| at > now), "it is late, and still waits");
        assert_eq!(turn == Turn::Over, self.server.end().is_some());
        let mut answered = false;
        while let Some(event) = self.server.event() {
            match event {
                ServerEvent::Request { request, payload } => {
                    assert!(self.open.insert(request.id), "two requests of one name");
                    let asked = self.server.contexts(request.id);
                    let contexts = self.server.negotiated().contexts.iter();
                    let contexts = contexts.filter(|context| asked.contains(&context.id)).cloned().collect();
                    if turn != Turn::Over {
                        answered |= self.carry_out(Job { request, payload, contexts });
                    }
                }
                ServerEvent::Done { id, sent, .. } => {
                    assert!(self.open.remove(&id), "a second Done, or one without a request");
                    assert!(sent || turn == Turn::Over, "an answer was not sent, and the connection goes on");
                }
            }
        }
        if turn == Turn::Over {
            assert!(self.open.is_empty(), "{} requests have no Done", self.open.len());
            self.queue.clear();
        }
        if turn == Turn::Wait && answered { Turn::Again } else { turn }
    }

    /// Says whether it has been answered.
    fn carry_out(&mut self, job: Job) -> bool {
        let outcome = match &mut self.workers {
            None => job.run(&*self.backend),
            Some(_) => match job.try_run(&*self.backend) {
                Ok(outcome) => outcome,
                Err(job) => {
                    self.queue.push_back(job);
                    self.hand_in();
                    return false;
                }
            },
        };
        self.answer(outcome);
        true
    }

    fn hand_in(&mut self) {
        let Some(workers) = &mut self.workers else { return };
        while self.running < self.threads {
            let Some(job) = self.queue.pop_front() else { return };
            workers.hand_in(job, self.running);
            self.running += 1;
        }
    }

    /// A thread is through with a request. A turn is due.
    pub(super) fn returned(&mut self, outcome: Outcome) {
        self.running -= 1;
        self.answer(outcome);
        self.hand_in();
    }

    /// Whether the backend is at work for it.
    pub(super) fn is_at_work(&self) -> bool {
        self.running > 0
    }

    fn answer(&mut self, outcome: Outcome) {
        let Outcome { request, payload, result } = outcome;
        if self.server.end().is_some() {
            return;
        }
        let id = request.id;
        self.server.reuse(payload);
        let told = match result {
            Ok(Answer::Nothing) => self.server.finish(id),
            Ok(Answer::Read(data, parts)) => {
                self.server.finish_read_with(id, data, &parts).map_err(|refused| refused.why)
            }
            Ok(Answer::Status(status)) => {
                let answers: Vec<(ContextId, &[Descriptor])> =
                    status.iter().map(|(id, extents)| (*id, &extents[..])).collect();
                self.server.finish_status(id, &answers)
            }
            Err(Failure { error, message, offset }) => {
                self.server.fail(id, &transmission::Failure { error, message: &message, offset })
            }
        };
        if told.is_err() {
            let message = "the server failed to carry out the request";
            self.server.fail(id, &transmission::Failure { error: ErrorValue::EIO, message, offset: None }).unwrap();
        }
    }

    /// Ends the threads, none of which is in a call.
    pub(super) fn end(self) {
        if let Some(workers) = self.workers {
            workers.end();
        }
    }
}
