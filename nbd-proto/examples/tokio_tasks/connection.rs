//! One connection for many tasks, over any `AsyncRead + AsyncWrite`.

use std::{collections::HashMap, io, io::IoSlice};

use bytes::{Buf as _, BytesMut};
use nbd_proto::error::{Ended, Error, Refused};
use nbd_proto::handshake::{Connect, ConnectSettings, Flow, Negotiated, Status};
use nbd_proto::limits::MIN_INPUT_BUFFER;
use nbd_proto::transmission::{Client, ClientSettings, Command, Event, Segment};
use nbd_proto::wire::number::CommandType;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

pub(crate) type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// The way to the task that drives the connection. It ends in good order when the last clone is dropped.
///
/// The future of a command may be dropped at any time. The command is then never begun, or carried out whole: the task
/// owns the buffer until the reply has come. But nobody knows when a write happens that was dropped.
#[derive(Clone)]
pub(crate) struct Handle(mpsc::Sender<Job>);

struct Job {
    command: Command,
    buffer: Vec<u8>,
    reply: oneshot::Sender<Result<Vec<u8>>>,
}

impl Handle {
    /// Fills the buffer with what is at `offset`, and gives it back.
    pub(crate) async fn read_at(&self, buffer: Vec<u8>, offset: u64) -> Result<Vec<u8>> {
        self.run(Command::read(offset, buffer.len() as u64), buffer).await
    }

    /// Writes the buffer to `offset`, and gives it back.
    pub(crate) async fn write_at(&self, buffer: Vec<u8>, offset: u64) -> Result<Vec<u8>> {
        self.run(Command::write(offset, buffer.len() as u64), buffer).await
    }

    /// Waits first while the channel is full: that is the back-pressure.
    async fn run(&self, command: Command, buffer: Vec<u8>) -> Result<Vec<u8>> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Job { command, buffer, reply }).await.map_err(|_| Refused::Closed)?;
        answer.await.map_err(|_| Refused::Closed)?
    }
}

/// Shakes hands, and starts the task that drives the connection.
pub(crate) async fn connect(mut stream: impl Stream, export: &str) -> Result<(Handle, JoinHandle<Result<(), Error>>)> {
    let (mut flow, mut scratch, mut out) = (Connect::new(ConnectSettings::new(export)), BytesMut::new(), Vec::new());
    while flow.status() == Status::NeedInput {
        scratch.reserve(MIN_INPUT_BUFFER);
        if stream.read_buf(&mut scratch).await? == 0 {
            return Err(flow.eof().into());
        }
        while let consumed @ 1.. = flow.input(&scratch, &mut out)? {
            scratch.advance(consumed);
        }
        stream.write_all(&std::mem::take(&mut out)).await?;
        stream.flush().await?;
    }
    let (sender, jobs) = mpsc::channel(16);
    Ok((Handle(sender), tokio::spawn(drive(stream, flow.finish()?, scratch, jobs))))
}

pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for S {}

/// Returns after a soft disconnect, or says why the connection broke; then so do all commands in flight.
async fn drive(
    stream: impl Stream,
    told: Negotiated,
    mut scratch: BytesMut,
    mut jobs: mpsc::Receiver<Job>,
) -> Result<(), Error> {
    let (mut from, mut to) = tokio::io::split(stream);
    let mut client = Client::new(told, ClientSettings::default().with_max_in_flight(32));
    // Two tables, because payload is received into buffers of the one while it is sent from those of the other.
    let (mut reads, mut writes) = (HashMap::<_, Job>::new(), HashMap::<_, Job>::new());
    let (mut open, mut unflushed) = (true, false);
    loop {
        let advance = match client.input(&scratch) {
            Err(Error::Ended(Ended::ByUs)) => return Ok(()),
            advance => advance?,
        };
        let (consumed, idle) = (advance.consumed, advance.consumed == 0 && advance.event.is_none());
        match advance.event {
            Some(Event::Data { cookie, range, bytes }) => {
                reads.entry(cookie).and_modify(|job| job.buffer[range].copy_from_slice(bytes));
            }
            Some(Event::Hole { cookie, range }) => {
                reads.entry(cookie).and_modify(|job| job.buffer[range].fill(0));
            }
            Some(Event::Done { cookie, result }) => {
                if let Some(Job { buffer, reply, .. }) = reads.remove(&cookie).or_else(|| writes.remove(&cookie)) {
                    let _ = reply.send(result.map(|()| buffer).map_err(Into::into)); // Maybe nobody waits any more.
                }
            }
            _ => {}
        }
        scratch.advance(consumed);
        if !idle {
            continue;
        }
        open &= !client.is_shutting_down();
        if !open && client.in_flight() == 0 {
            let _ = client.disconnect(); // Refused if it is on its way already.
        }
        let (takes, sends) = (open && client.room() > 0, client.wants_write());
        let pieces = client.outbound().take(64).map(|segment| match segment {
            Segment::Framing(bytes) => IoSlice::new(bytes),
            Segment::Payload { owner, range } => IoSlice::new(&writes[&owner].buffer[range]),
        });
        let pieces: Vec<_> = pieces.collect();
        let landing = client.landing().and_then(|place| reads.get_mut(&place.owner)?.buffer.get_mut(place.range));
        let lands = landing.is_some();
        scratch.reserve(MIN_INPUT_BUFFER);
        // All three are waited for at once. Those that lose are dropped, and have done nothing.
        let outcome: io::Result<()> = tokio::select! {
            job = jobs.recv(), if takes => {
                match job.map(|job| (client.submit(job.command), job)) {
                    None => open = false,
                    Some((Err(refused), job)) => drop(job.reply.send(Err(refused.into()))),
                    Some((Ok(cookie), job)) if job.command.command == CommandType::READ => drop(reads.insert(cookie, job)),
                    Some((Ok(cookie), job)) => drop(writes.insert(cookie, job)),
                }
                Ok(())
            }
            count = async {
                if sends { to.write_vectored(&pieces).await } else { to.flush().await.map(|()| 0) }
            }, if sends || unflushed => count.and_then(|count| {
                unflushed = sends;
                client.sent(count);
                if sends && count == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(()) }
            }),
            count = async {
                match landing { Some(place) => from.read(place).await, None => from.read_buf(&mut scratch).await }
            } => count.map(|count| match count {
                0 => client.eof(),
                _ if lands => client.landed(count),
                _ => {}
            }),
        };
        if let Err(error) = outcome {
            client.give_up(&error.to_string());
        }
    }
}
