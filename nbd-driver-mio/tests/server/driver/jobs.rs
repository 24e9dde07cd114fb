//! Requests, carried out by a backend: in the loop, or in threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use bytes::BytesMut;
use mio::Waker;
use nbd_driver_mio::nbd_proto::handshake::MetaContext;
use nbd_driver_mio::nbd_proto::transmission::{ReadPart, Request};
use nbd_driver_mio::nbd_proto::wire::chunk::Descriptor;
use nbd_driver_mio::nbd_proto::wire::flags::CommandFlags;
use nbd_driver_mio::nbd_proto::wire::number::{CommandType, ContextId, ErrorValue};
use nbd_driver_std::backend::{Backend, Failure, ZeroMode};

use super::running::Order;

/// The longest read that is tried in the loop, in bytes.
const SHORT: u64 = 32 * 1024;

/// What is looked at as one when zeroes are looked for.
const BLOCK: u64 = 4096;

pub(super) struct Job {
    pub(super) request: Request,
    pub(super) payload: BytesMut,
    /// What a `BLOCK_STATUS` asks about.
    pub(super) contexts: Vec<MetaContext>,
}

pub(super) struct Outcome {
    pub(super) request: Request,
    /// What was written.
    pub(super) payload: BytesMut,
    pub(super) result: Result<Answer, Failure>,
}

pub(super) enum Answer {
    Nothing,
    Read(Vec<u8>, Vec<ReadPart>),
    Status(Vec<(ContextId, Vec<Descriptor>)>),
}

impl Job {
    /// Calls the backend if it need not wait; otherwise the job comes back.
    pub(super) fn try_run(self, backend: &dyn Backend) -> Result<Outcome, Self> {
        let request = self.request;
        if request.command != CommandType::READ || request.length > SHORT {
            return Err(self);
        }
        let mut data = vec![0; request.length as usize];
        match guarded(|| Ok(backend.try_read(&mut data, request.offset).transpose()?.map(|()| read(&request, data)))) {
            Ok(None) => Err(self),
            Ok(Some(answer)) => Ok(Outcome { request, payload: self.payload, result: Ok(answer) }),
            Err(failure) => Ok(Outcome { request, payload: self.payload, result: Err(failure) }),
        }
    }

    pub(super) fn run(self, backend: &dyn Backend) -> Outcome {
        let result = guarded(|| self.call(backend));
        Outcome { request: self.request, payload: self.payload, result }
    }

    fn call(&self, backend: &dyn Backend) -> Result<Answer, Failure> {
        let Request { command, flags, offset, length, .. } = self.request;
        let fua = flags.contains(CommandFlags::FUA);
        match command {
            CommandType::READ => {
                let mut data = vec![0; length as usize];
                backend.read(&mut data, offset)?;
                return Ok(read(&self.request, data));
            }
            CommandType::BLOCK_STATUS => {
                let one = flags.contains(CommandFlags::REQ_ONE);
                let status = self.contexts.iter().map(|context| {
                    let mut extents = Vec::new();
                    backend.extents(&context.name, offset, length, one, &mut extents)?;
                    Ok((context.id, extents))
                });
                return status.collect::<Result<_, _>>().map(Answer::Status);
            }
            CommandType::WRITE => backend.write(&self.payload, offset, fua)?,
            CommandType::FLUSH => backend.flush()?,
            CommandType::TRIM => backend.trim(offset, length, fua)?,
            CommandType::CACHE => backend.cache(offset, length)?,
            CommandType::WRITE_ZEROES => {
                let no_hole = flags.contains(CommandFlags::NO_HOLE);
                let fast = flags.contains(CommandFlags::FAST_ZERO);
                backend.write_zeroes(offset, length, ZeroMode { fua, no_hole, fast })?;
            }
            other => panic!("{other} is no request"),
        }
        Ok(Answer::Nothing)
    }
}

/// Makes a panic of the backend a failure of the request.
fn guarded<T>(call: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    let broken = |_| Err(Failure::new(ErrorValue::EIO, "the server failed to carry out the request"));
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(broken)
}

/// What was read, with its zeroes as holes.
fn read(request: &Request, data: Vec<u8>) -> Answer {
    let mut parts = Vec::new();
    let (mut at, end) = (request.offset, request.offset + request.length);
    while at < end {
        let next = (at - at % BLOCK + BLOCK).min(end);
        let bytes = &data[(at - request.offset) as usize..(next - request.offset) as usize];
        let zero = request.takes_holes && bytes.iter().all(|byte| *byte == 0);
        match (parts.last_mut(), zero) {
            (Some(ReadPart::Hole(length)), true) | (Some(ReadPart::Data(length)), false) => *length += next - at,
            (_, true) => parts.push(ReadPart::Hole(next - at)),
            (_, false) => parts.push(ReadPart::Data(next - at)),
        }
        at = next;
    }
    Answer::Read(data, parts)
}

/// The threads that call the backend of one connection.
pub(super) struct Workers {
    backend: Arc<dyn Backend>,
    /// Which connection it is.
    number: usize,
    jobs: Option<Sender<Job>>,
    queue: Arc<Mutex<Receiver<Job>>>,
    outcomes: Sender<Order>,
    waker: Arc<Waker>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    pub(super) fn new(backend: Arc<dyn Backend>, number: usize, outcomes: Sender<Order>, waker: Arc<Waker>) -> Self {
        let (jobs, queue) = channel();
        let queue = Arc::new(Mutex::new(queue));
        Self { backend, number, jobs: Some(jobs), queue, outcomes, waker, threads: Vec::new() }
    }

    /// Hands in a job while so many others go on.
    pub(super) fn hand_in(&mut self, job: Job, others: usize) {
        if self.threads.len() <= others {
            let (queue, backend, number) = (self.queue.clone(), self.backend.clone(), self.number);
            let (outcomes, waker) = (self.outcomes.clone(), self.waker.clone());
            self.threads.push(thread::spawn(move || {
                loop {
                    let job = queue.lock().unwrap().recv();
                    let Ok(job) = job else { return };
                    let outcome = job.run(&*backend);
                    // The loop may have left this one behind.
                    if outcomes.send(Order::Answer(number, outcome)).is_ok() {
                        waker.wake().unwrap();
                    }
                }
            }));
        }
        self.jobs.as_ref().unwrap().send(job).unwrap();
    }

    /// Ends the threads. None of them may be in a call.
    pub(super) fn end(mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}
