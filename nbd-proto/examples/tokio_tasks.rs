//! The core in a tokio task, over any `AsyncRead + AsyncWrite`: 64 tasks share one connection, and drop some of their
//! futures half way. It wants a server to spoil, such as `nbdkit -f -U /tmp/nbd.sock memory 4M`, and `/tmp/nbd.sock`.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "a program has arguments, and may print")]

use std::{collections::HashMap, future::ready, io, io::IoSlice};

use bytes::{Buf as _, BytesMut};
use nbd_proto::error::{Ended, Error, Refused};
use nbd_proto::handshake::{Connect, ConnectSettings, Flow, Negotiated, Status};
use nbd_proto::limits::MIN_INPUT_BUFFER;
use nbd_proto::transmission::{Client, ClientSettings, Command, Event, Segment};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{mpsc, oneshot};
use tokio::{net::UnixStream, task::JoinSet};

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// The way to the task that drives the connection, which ends in good order when the last clone is dropped.
///
/// The future of a command may be dropped at any time. The command is then never begun, or carried out whole: the task
/// owns the buffer until the reply has come. But nobody knows when a write happens that was dropped.
#[derive(Clone)]
struct Handle(mpsc::Sender<Job>);

/// A command, its buffer, and who waits for it.
type Job = (Command, Vec<u8>, oneshot::Sender<Result<Vec<u8>>>);

impl Handle {
    /// Fills the buffer with what is at `offset`, and gives it back.
    async fn read_at(&self, buffer: Vec<u8>, offset: u64) -> Result<Vec<u8>> {
        self.run(Command::read(offset, buffer.len() as u64), buffer).await
    }

    async fn write_at(&self, buffer: Vec<u8>, offset: u64) -> Result<Vec<u8>> {
        self.run(Command::write(offset, buffer.len() as u64), buffer).await
    }

    /// Waits first while the channel is full: that is the back-pressure.
    async fn run(&self, command: Command, buffer: Vec<u8>) -> Result<Vec<u8>> {
        let (reply, answer) = oneshot::channel();
        self.0.send((command, buffer, reply)).await.map_err(|_| Refused::Closed)?;
        answer.await.map_err(|_| Refused::Closed)?
    }
}

async fn negotiate(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), input: &mut BytesMut) -> Result<Negotiated> {
    let (mut flow, mut out) = (Connect::new(ConnectSettings::new("")), Vec::new());
    while flow.status() == Status::NeedInput {
        input.reserve(MIN_INPUT_BUFFER);
        if stream.read_buf(input).await? == 0 {
            return Err(flow.eof().into());
        }
        while let consumed @ 1.. = flow.input(input, &mut out)? {
            input.advance(consumed);
        }
        stream.write_all(&std::mem::take(&mut out)).await?;
        stream.flush().await?;
    }
    Ok(flow.finish()?)
}

/// Returns after a soft disconnect, or says why the connection broke; then so do all commands in flight.
async fn drive(mut stream: impl AsyncRead + AsyncWrite + Unpin, mut jobs: mpsc::Receiver<Job>) -> Result<()> {
    let mut input = BytesMut::new();
    let mut client = Client::new(negotiate(&mut stream, &mut input).await?, ClientSettings::default());
    let (mut from, mut to) = tokio::io::split(stream);
    let (mut flying, mut open, mut unflushed) = (HashMap::<_, Job>::new(), true, false);
    loop {
        let advance = match client.input(&input) {
            Err(Error::Ended(Ended::ByUs)) => return Ok(()),
            advance => advance?,
        };
        let (consumed, idle) = (advance.consumed, advance.consumed == 0 && advance.event.is_none());
        match advance.event {
            // The one copy on its way. The other examples spare large reads that, with `landing`.
            Some(Event::Data { cookie, range, bytes }) => {
                flying.entry(cookie).and_modify(|job| job.1[range].copy_from_slice(bytes));
            }
            Some(Event::Hole { cookie, range }) => drop(flying.entry(cookie).and_modify(|job| job.1[range].fill(0))),
            Some(Event::Done { cookie, result }) => {
                let Some((_, buffer, reply)) = flying.remove(&cookie) else { continue };
                let _ = reply.send(result.map(|()| buffer).map_err(Into::into)); // Maybe nobody waits any more.
            }
            _ => {}
        }
        input.advance(consumed);
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
            Segment::Payload { owner, range } => IoSlice::new(&flying[&owner].1[range]),
        });
        input.reserve(64 << 10);
        // All are waited for at once. Those that lose are dropped, and have done nothing.
        let outcome: io::Result<()> = tokio::select! {
            job = jobs.recv(), if takes => {
                match job.map(|job| (client.submit(job.0), job)) {
                    None => open = false,
                    Some((Ok(cookie), job)) => drop(flying.insert(cookie, job)),
                    Some((Err(refused), (_, _, reply))) => drop(reply.send(Err(refused.into()))),
                }
                Ok(())
            }
            count = async {
                if sends { to.write_vectored(&pieces.collect::<Vec<_>>()).await } else { to.flush().await.map(|()| 0) }
            }, if sends || unflushed => count.and_then(|count| {
                unflushed = sends;
                client.sent(count);
                if sends && count == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(()) }
            }),
            count = from.read_buf(&mut input) => count.map(|count| if count == 0 { client.eof() }),
        };
        outcome.unwrap_or_else(|error| client.give_up(&error.to_string()));
    }
}

/// Writes and reads a block of its own again and again, and drops other reads and a write half way.
async fn work(handle: Handle, task: u8) -> Result<u32> {
    const BLOCK: usize = 32 << 10;
    let (kept, spare) = (u64::from(task) * 2 * BLOCK as u64, (u64::from(task) * 2 + 1) * BLOCK as u64);
    let mut dropped = 0;
    for round in 0..8 {
        let block: Vec<u8> = (0..BLOCK).map(|at| (at / 128) as u8 ^ task ^ round).collect();
        handle.write_at(block.clone(), kept).await?;
        tokio::select! { biased; _ = handle.read_at(vec![0; BLOCK], kept) => {}, () = ready(()) => dropped += 1 }
        assert_eq!(handle.read_at(vec![0; BLOCK], kept).await?, block);
    }
    tokio::select! { biased; _ = handle.write_at(vec![task + 1; BLOCK], spare) => {}, () = ready(()) => dropped += 1 }
    Ok(dropped)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let stream = UnixStream::connect(std::env::args().nth(1).ok_or("usage: tokio_tasks SOCKET")?).await?;
    let (sender, jobs) = mpsc::channel(16);
    let connection = tokio::spawn(drive(stream, jobs));
    let tasks: JoinSet<_> = (0..64).map(|task| work(Handle(sender.clone()), task)).collect();
    drop(sender);
    let dropped: u32 = tasks.join_all().await.into_iter().sum::<Result<_>>()?;
    connection.await??;
    println!("64 tasks wrote and read 512 blocks; {dropped} futures were dropped half way");
    Ok(())
}
