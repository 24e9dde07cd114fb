//! Plays a script's steps to one client after the other.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;

use super::{Outcome, ScriptError, Step};
use crate::PATIENCE;
use crate::listener::{Listener, wait_readable};

pub(super) struct Player<F> {
    next: F,
    captured: Vec<Vec<u8>>,
}

impl<F: FnMut() -> io::Result<UnixStream>> Player<F> {
    /// `next` brings the next client.
    pub(super) fn new(next: F) -> Self {
        Self { next, captured: Vec::new() }
    }

    pub(super) fn play(mut self, steps: &[Step]) -> Outcome {
        let failed = |step, what| Err(ScriptError { step, what });
        let mut client = match (self.next)() {
            Ok(client) => Some(client),
            Err(error) => return failed(0, error.to_string()),
        };
        for (index, step) in steps.iter().enumerate() {
            let result = match (step, &mut client) {
                (Step::Close, _) => {
                    client = None;
                    Ok(())
                }
                (Step::NextClient, _) => {
                    // Closed first: the next one may wait for that.
                    client = None;
                    (self.next)().map(|next| client = Some(next)).map_err(|e| e.to_string())
                }
                (_, None) => Err("the connection is closed already".to_owned()),
                (_, Some(client)) => self.perform(step, client),
            };
            if let Err(what) = result {
                return failed(index, what);
            }
        }
        Ok(self.captured)
    }

    fn perform(&mut self, step: &Step, client: &mut UnixStream) -> Result<(), String> {
        match step {
            Step::Send(bytes) => {
                client.write_all(bytes).map_err(|error| format!("cannot send {}: {error}", hex(bytes)))
            }
            Step::Expect(expected) => {
                let (got, end) = read_up_to(client, expected.len());
                if got == *expected {
                    return Ok(());
                }
                let same = got.iter().zip(expected).take_while(|(a, b)| a == b).count();
                Err(format!(
                    "expected {}\n     got {}{end}\n  they differ from byte {same} on",
                    hex(expected),
                    hex(&got)
                ))
            }
            Step::ExpectLen(len) => {
                let (got, end) = read_up_to(client, *len);
                if got.len() < *len {
                    return Err(format!("expected {len} bytes, got {}{end}", hex(&got)));
                }
                self.captured.push(got);
                Ok(())
            }
            Step::WaitEof => match read_up_to(client, 1) {
                (_, End::Closed) => Ok(()),
                (got, end) => Err(format!("expected the end, got {}{end}", hex(&got))),
            },
            Step::Hold => loop {
                match read_up_to(client, 1 << 16) {
                    (_, End::Closed) => return Ok(()),
                    (_, End::Complete) => {}
                    (_, end) => return Err(format!("expected the end{end}")),
                }
            },
            Step::Close | Step::NextClient => Ok(()),
        }
    }
}

/// Why reading ended.
enum End {
    Complete,
    Closed,
    Failed(io::Error),
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Complete => Ok(()),
            Self::Closed => f.write_str(", then the client closed"),
            Self::Failed(error) if is_time_out(error) => f.write_str(", then nothing in time"),
            Self::Failed(error) => write!(f, ", then an error: {error}"),
        }
    }
}

fn read_up_to(client: &mut UnixStream, len: usize) -> (Vec<u8>, End) {
    let mut bytes = vec![0; len];
    let mut have = 0;
    let end = loop {
        if have == len {
            break End::Complete;
        }
        match client.read(&mut bytes[have..]) {
            Ok(0) => break End::Closed,
            Ok(n) => have += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // The client closed before it had read everything.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break End::Closed,
            Err(error) => break End::Failed(error),
        }
    };
    bytes.truncate(have);
    (bytes, end)
}

fn is_time_out(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Bytes for people: their number, and the first of them.
fn hex(bytes: &[u8]) -> String {
    const SHOWN: usize = 64;
    let mut text = format!("{} bytes", bytes.len());
    for (index, byte) in bytes.iter().take(SHOWN).enumerate() {
        let separator = if index == 0 { ": " } else { " " };
        write!(text, "{separator}{byte:02x}").expect("a String takes everything");
    }
    if bytes.len() > SHOWN {
        text.push_str(" …");
    }
    text
}

/// A connection with time-outs. `UnixStream` serves for TCP too: it only reads and writes.
pub(super) fn connection(fd: OwnedFd) -> io::Result<UnixStream> {
    let stream = UnixStream::from(fd);
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

pub(super) fn accept(listener: &Listener) -> io::Result<UnixStream> {
    match wait_readable(&[listener.as_fd()], Some(PATIENCE)) {
        Some(_) => connection(listener.accept()?),
        None => Err(io::Error::new(ErrorKind::TimedOut, "no client came")),
    }
}
