//! One request, carried out by a backend.

use std::panic::{AssertUnwindSafe, UnwindSafe, catch_unwind};
use std::sync::Arc;

use nbd_proto::handshake::MetaContext;
use nbd_proto::transmission::{ReadPart, Request};
use nbd_proto::wire::chunk::Descriptor;
use nbd_proto::wire::flags::CommandFlags;
use nbd_proto::wire::number::{CommandType, ContextId, ErrorValue};

use super::zeroes;
use crate::backend::{Backend, Failure, ZeroMode};

/// A request with all that it takes to carry it out.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) request: Request,
    /// What is written, or room for what is read: at least as long as the request. Empty for others.
    pub(super) buffer: Vec<u8>,
    /// What a `BLOCK_STATUS` asks about.
    pub(super) contexts: Vec<ContextId>,
}

/// What became of a [`Job`].
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) request: Request,
    pub(super) buffer: Vec<u8>,
    pub(super) result: Result<Answer, Failure>,
}

/// What there is to say besides success.
#[derive(Debug)]
pub(super) enum Answer {
    Nothing,
    /// The parts of what was read, if it is not all data.
    Read(Option<Vec<ReadPart>>),
    Status(Vec<(ContextId, Vec<Descriptor>)>),
}

/// What the jobs of a connection are carried out on.
pub(super) struct Ground {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) contexts: Vec<MetaContext>,
}

/// The longest read that is tried without a change of threads, in bytes. To copy a longer one takes longer than the
/// change, and others may do it meanwhile.
const SHORT: u64 = 32 * 1024;

impl Job {
    /// Calls the backend if it need not wait; otherwise the job comes back.
    pub(super) fn try_run(self, ground: &Ground) -> Result<Outcome, Self> {
        let Self { request, mut buffer, contexts } = self;
        if request.command != CommandType::READ || request.length > SHORT {
            return Err(Self { request, buffer, contexts });
        }
        let call = AssertUnwindSafe(|| {
            let buffer = &mut buffer[..request.length as usize];
            let result = ground.backend.try_read(buffer, request.offset)?;
            Some(result.map(|()| Answer::read(&request, buffer)))
        });
        match guarded(&request, call) {
            Ok(None) => Err(Self { request, buffer, contexts }),
            Ok(Some(result)) => Ok(Outcome { request, buffer, result }),
            Err(failure) => Ok(Outcome { request, buffer, result: Err(failure) }),
        }
    }

    /// Calls the backend. A panic in it is a failure of the request, and no more than that.
    pub(super) fn run(self, ground: &Ground) -> Outcome {
        let Self { request, mut buffer, contexts } = self;
        let call = AssertUnwindSafe(|| call(ground, &request, &mut buffer, &contexts));
        let result = guarded(&request, call).and_then(|result| result);
        Outcome { request, buffer, result }
    }
}

impl Answer {
    fn read(request: &Request, data: &[u8]) -> Self {
        Self::Read(if request.takes_holes { zeroes::parts(data, request.offset) } else { None })
    }
}

/// Makes a panic a failure of the request.
fn guarded<T>(request: &Request, call: impl FnOnce() -> T + UnwindSafe) -> Result<T, Failure> {
    catch_unwind(call).map_err(|_| {
        let Request { command, offset, length, .. } = *request;
        tracing::error!(%command, offset, length, "the backend panicked");
        Failure::new(ErrorValue::EIO, "the server failed to carry out the request")
    })
}

fn call(ground: &Ground, request: &Request, buffer: &mut [u8], contexts: &[ContextId]) -> Result<Answer, Failure> {
    let Request { command, flags, offset, length, .. } = *request;
    let backend = &*ground.backend;
    let fua = flags.contains(CommandFlags::FUA);
    match command {
        CommandType::READ => {
            let buffer = &mut buffer[..length as usize];
            backend.read(buffer, offset)?;
            return Ok(Answer::read(request, buffer));
        }
        CommandType::BLOCK_STATUS => {
            let one = flags.contains(CommandFlags::REQ_ONE);
            let status = contexts.iter().map(|id| Ok((*id, extents(ground, *id, offset, length, one)?)));
            return status.collect::<Result<_, _>>().map(Answer::Status);
        }
        CommandType::WRITE => backend.write(&buffer[..length as usize], offset, fua)?,
        CommandType::FLUSH => backend.flush()?,
        CommandType::TRIM => backend.trim(offset, length, fua)?,
        CommandType::CACHE => backend.cache(offset, length)?,
        CommandType::WRITE_ZEROES => {
            let no_hole = flags.contains(CommandFlags::NO_HOLE);
            let fast = flags.contains(CommandFlags::FAST_ZERO);
            backend.write_zeroes(offset, length, ZeroMode { fua, no_hole, fast })?;
        }
        _ => return Err(Failure::new(ErrorValue::EINVAL, "the server does not know the command")),
    }
    Ok(Answer::Nothing)
}

fn extents(ground: &Ground, id: ContextId, offset: u64, length: u64, one: bool) -> Result<Vec<Descriptor>, Failure> {
    let Some(context) = ground.contexts.iter().find(|context| context.id == id) else {
        return Err(Failure::new(ErrorValue::EINVAL, "the metadata context was not selected"));
    };
    let mut extents = Vec::new();
    ground.backend.extents(&context.name, offset, length, one, &mut extents)?;
    Ok(extents)
}
