//! Runs a handshake flow over a stream, with deadlines.

use std::io::{ErrorKind, IoSlice, IoSliceMut};
use std::time::{Duration, Instant};

use nbd_proto::handshake::{Flow, Status};
use nbd_proto::limits::MIN_INPUT_BUFFER;

use crate::error::Error;
use crate::input::Input;
use crate::stream::Stream;

/// How long a handshake may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Without a byte from the server.
    pub(crate) idle: Option<Duration>,
    /// In all.
    pub(crate) total: Option<Duration>,
}

impl Patience {
    /// The next deadline, and what it is counted from.
    fn deadline(self, started: Instant, heard: Instant) -> Option<(Instant, Duration)> {
        // What is too far away to be told is never.
        let after = |from: Instant, time: Option<Duration>| time.and_then(|time| Some((from.checked_add(time)?, time)));
        [after(heard, self.idle), after(started, self.total)].into_iter().flatten().min()
    }
}

/// Runs a flow to its end; returns its result and bytes that came behind it.
pub(crate) fn run<F: Flow>(
    mut flow: F,
    stream: &Stream,
    patience: Patience,
    peer: &str,
) -> Result<(F::Output, Vec<u8>), Error> {
    let started = Instant::now();
    let mut heard = started;
    let mut input = Input::new(2 * MIN_INPUT_BUFFER);
    let mut out = Vec::new();
    loop {
        loop {
            match flow.input(input.bytes(), &mut out) {
                Ok(0) => break,
                Ok(consumed) => input.consume(consumed),
                Err(error) => {
                    farewell(stream, &out);
                    return Err(error.into());
                }
            }
        }
        let ended = match flow.status() {
            Status::Ready | Status::Closed => true,
            Status::SwitchToTls => return Err(Error::Unsupported("TLS is not supported yet")),
            Status::NeedInput | Status::Choose => false,
        };
        send(stream, &mut out).map_err(|error| Error::io(format!("sending to {peer}"), error))?;
        if ended && out.is_empty() {
            break;
        }
        let deadline = patience.deadline(started, heard);
        if deadline.is_some_and(|(at, _)| at <= Instant::now()) {
            let after = deadline.map_or(Duration::ZERO, |(_, after)| after);
            return Err(Error::Timeout { step: format!("the handshake with {peer}"), after });
        }
        let ready = stream
            .wait(!ended, !out.is_empty(), deadline.map(|(at, _)| at))
            .map_err(|error| Error::io("waiting for the socket", error))?;
        if ready.read {
            let step = || format!("receiving from {peer}");
            match stream.try_recv(&mut [IoSliceMut::new(input.room())]).map_err(|error| Error::io(step(), error))? {
                Some(0) => return Err(flow.eof().into()),
                Some(count) => {
                    input.received(count);
                    heard = Instant::now();
                }
                None => {}
            }
        }
    }
    Ok((flow.finish()?, input.bytes().to_vec()))
}

/// Sends what there is room for.
pub(crate) fn send(stream: &Stream, out: &mut Vec<u8>) -> std::io::Result<()> {
    let mut sent = 0;
    while sent < out.len() {
        match stream.try_send(&[IoSlice::new(&out[sent..])]) {
            Ok(Some(count)) => sent += count,
            Ok(None) => break,
            // The other side may have said why before it hung up: what it sent is read first.
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                sent = out.len();
            }
            Err(error) => return Err(error),
        }
    }
    out.drain(..sent);
    Ok(())
}

/// Sends a last courtesy, as far as it goes without waiting.
fn farewell(stream: &Stream, out: &[u8]) {
    if !out.is_empty() {
        // The connection is over either way.
        let _ = stream.try_send(&[IoSlice::new(out)]);
    }
    stream.shutdown_write();
}
