//! A server that plays given bytes, and the loop of a driver around a flow.

use nbd_proto::error::Error;
use nbd_proto::handshake::{ConnectSettings, Flow, ListSettings, Status};
use nbd_proto::limits::MIN_INPUT_BUFFER;

use super::bytes;

/// What a server sends: in clear, and inside TLS once it was agreed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) clear: Vec<u8>,
    /// `None`: the stream ends instead of TLS.
    pub(crate) tls: Option<Vec<u8>>,
}

impl Peer {
    /// A fixed newstyle server that offers to leave the zeroes out.
    pub(crate) fn fixed() -> Self {
        Self::says(bytes::greeting(3))
    }

    /// A server that says this.
    pub(crate) fn says(clear: impl Into<Vec<u8>>) -> Self {
        Self { clear: clear.into(), tls: None }
    }

    /// Goes on with these bytes.
    pub(crate) fn then(mut self, more: impl AsRef<[u8]>) -> Self {
        self.tls.as_mut().unwrap_or(&mut self.clear).extend_from_slice(more.as_ref());
        self
    }

    /// Acknowledges an option.
    pub(crate) fn ack(self, option: u32) -> Self {
        self.then(bytes::ack(option))
    }

    /// Refuses an option.
    pub(crate) fn refuse(self, option: u32, kind: u32) -> Self {
        self.then(bytes::refused(option, kind))
    }

    /// Tells size and flags, and acknowledges `INFO` or `GO`.
    pub(crate) fn export(self, option: u32, size: u64, flags: u16) -> Self {
        self.then(bytes::info_export(option, size, flags)).ack(option)
    }

    /// What follows is said inside TLS.
    pub(crate) fn in_tls(mut self) -> Self {
        self.tls = Some(Vec::new());
        self
    }

    /// Runs a flow, with all bytes there at once.
    pub(crate) fn run<F: Flow>(&self, flow: F) -> Outcome<F::Output> {
        self.run_in_pieces(flow, &mut |rest| rest)
    }

    /// Runs a flow, byte by byte.
    pub(crate) fn run_bytewise<F: Flow>(&self, flow: F) -> Outcome<F::Output> {
        self.run_in_pieces(flow, &mut |_| 1)
    }

    /// Runs a flow on bytes that arrive in pieces. `piece` is given how many are still to come, and tells how
    /// many come now.
    pub(crate) fn run_in_pieces<F: Flow>(
        &self,
        mut flow: F,
        piece: &mut dyn FnMut(usize) -> usize,
    ) -> Outcome<F::Output> {
        let mut outcome = Outcome { clear: Vec::new(), tls: None, status: flow.status(), left: 0, result: None };
        let fed = feed(&mut flow, &self.clear, &mut outcome.clear, piece);
        let fed = match (fed, &self.tls) {
            (Ok(0), Some(bytes)) if flow.status() == Status::SwitchToTls => {
                let out = outcome.tls.insert(Vec::new());
                flow.tls_established(out).and_then(|()| feed(&mut flow, bytes, out, piece))
            }
            (fed, _) => fed,
        };
        outcome.status = flow.status();
        let out = outcome.tls.as_mut().unwrap_or(&mut outcome.clear);
        outcome.result = match (fed, outcome.status) {
            (Err(error), _) => Some(Err(stays(flow, error, out))),
            (Ok(left), Status::Ready | Status::Closed) => {
                outcome.left = left;
                Some(flow.finish())
            }
            (Ok(_), Status::NeedInput | Status::SwitchToTls) => {
                let error = flow.eof();
                Some(Err(stays(flow, error, out)))
            }
            (Ok(_), Status::Choose) => panic!("a flow left the choice to its driver"),
        };
        outcome
    }
}

/// How a run ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome<T> {
    /// What the client sent in clear.
    pub(crate) clear: Vec<u8>,
    /// What it sent inside TLS, if it came to that.
    pub(crate) tls: Option<Vec<u8>>,
    /// What the flow waited for when the bytes were used up.
    pub(crate) status: Status,
    /// How many bytes stood behind the end of the handshake.
    pub(crate) left: usize,
    result: Option<Result<T, Error>>,
}

impl<T> Outcome<T> {
    /// The result, whichever way it went.
    #[track_caller]
    pub(crate) fn result(self) -> Result<T, Error> {
        self.result.unwrap()
    }

    /// The result of a run that has to succeed.
    #[track_caller]
    pub(crate) fn success(self) -> T {
        self.result().unwrap_or_else(|error| panic!("{error}"))
    }

    /// The error of a run that has to fail.
    #[track_caller]
    pub(crate) fn error(self) -> Error {
        match self.result() {
            Ok(_) => panic!("the run succeeded"),
            Err(error) => error,
        }
    }
}

/// Hands bytes to a flow as a driver does, keeping back what it did not consume. Returns how many stood behind
/// its end.
fn feed<F: Flow>(
    flow: &mut F,
    bytes: &[u8],
    out: &mut Vec<u8>,
    piece: &mut dyn FnMut(usize) -> usize,
) -> Result<usize, Error> {
    let (mut from, mut to) = (0, 0);
    loop {
        let window = &bytes[from..to];
        let consumed = flow.input(window, out)?;
        assert!(consumed <= window.len());
        from += consumed;
        if consumed > 0 {
            continue;
        }
        match flow.status() {
            Status::Ready | Status::Closed => return Ok(bytes.len() - from),
            Status::NeedInput => assert!(window.len() < MIN_INPUT_BUFFER, "no progress on {} bytes", window.len()),
            Status::SwitchToTls | Status::Choose => {}
        }
        if to == bytes.len() {
            return Ok(0);
        }
        to += piece(bytes.len() - to).clamp(1, bytes.len() - to);
    }
}

/// Every later call gives the same error, and nothing more is sent.
fn stays<F: Flow>(mut flow: F, error: Error, out: &mut Vec<u8>) -> Error {
    let sent = out.len();
    assert_eq!(flow.status(), Status::Closed);
    assert_eq!(flow.input(b"", out), Err(error.clone()));
    assert_eq!(flow.input(&bytes::greeting(3), out), Err(error.clone()));
    assert_eq!(flow.eof(), error);
    assert_eq!(flow.give_up("too late"), error);
    assert_eq!(flow.tls_established(out), Err(error.clone()));
    assert_eq!(flow.input(b"", out), Err(error.clone()));
    assert_eq!(out.len(), sent, "something was sent after the error");
    match flow.finish() {
        Ok(_) => panic!("a result came out of a failed flow"),
        Err(last) => assert_eq!(last, error),
    }
    error
}

/// Settings that ask for nothing but the export.
pub(crate) fn bare(export: &str) -> ConnectSettings {
    ConnectSettings::new(export)
        .with_extended_headers(false)
        .with_structured_replies(false)
        .with_block_sizes(false)
        .with_names(false)
}

/// Settings that list and ask for nothing else.
pub(crate) fn bare_list() -> ListSettings {
    ListSettings::default().with_extended_headers(false).with_structured_replies(false).with_details(false)
}
