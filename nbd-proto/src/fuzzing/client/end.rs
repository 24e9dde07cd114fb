//! Both phases of a connection, from a client's side.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::Transmission;
use super::transmission::Outcome;
use crate::error::Error;
use crate::fuzzing::{Pace, take_front};
use crate::handshake::{Connect, ConnectSettings, Flow, Negotiated, Status};
use crate::limits::MIN_INPUT_BUFFER;
use crate::transmission::{Client, ClientSettings, Command};

/// What a client does by itself.
#[derive(Clone)]
pub(in crate::fuzzing) struct Plan {
    pub(in crate::fuzzing) connect: ConnectSettings,
    pub(in crate::fuzzing) client: ClientSettings,
    /// What is submitted as soon as the handshake is over.
    pub(in crate::fuzzing) commands: Vec<Command>,
    /// Whether a soft disconnect follows those.
    pub(in crate::fuzzing) disconnect: bool,
}

enum Stage {
    Handshake(Box<Connect>),
    Transmission(Box<Transmission>),
    Over,
}

pub(in crate::fuzzing) struct ClientEnd {
    stage: Stage,
    plan: Plan,
    /// How what the plan submits goes out.
    pace: Option<Pace>,
    /// What has arrived and is not consumed, while hands are shaken.
    pending: Vec<u8>,
    /// What the handshake and the plan have to say.
    pub(in crate::fuzzing) out: Vec<u8>,
    /// How many bytes the handshake consumed, where it came to its end.
    pub(in crate::fuzzing) consumed: usize,
    pub(in crate::fuzzing) over: Option<Error>,
}

/// How a connection ended.
#[derive(Debug, PartialEq)]
pub(in crate::fuzzing) struct End {
    /// The error that ended the handshake, or all that came of the transmission phase.
    pub(in crate::fuzzing) how: Result<(Negotiated, Outcome), Option<Error>>,
    out: Vec<u8>,
    consumed: usize,
}

impl ClientEnd {
    pub(in crate::fuzzing) fn new(plan: Plan, pace: Option<Pace>) -> Self {
        Self {
            stage: Stage::Handshake(Box::new(Connect::new(plan.connect.clone()))),
            plan,
            pace,
            pending: Vec::new(),
            out: Vec::new(),
            consumed: 0,
            over: None,
        }
    }

    pub(in crate::fuzzing) fn transmission(&mut self) -> Option<&mut Transmission> {
        match &mut self.stage {
            Stage::Transmission(transmission) => Some(transmission),
            _ => None,
        }
    }

    /// Takes up to `most` bytes that are to go out.
    pub(in crate::fuzzing) fn take_output(&mut self, most: usize) -> Vec<u8> {
        if !self.out.is_empty() {
            return take_front(&mut self.out, most);
        }
        let Some(transmission) = self.transmission() else { return Vec::new() };
        let bytes = transmission.take_output(most);
        transmission.poll();
        bytes
    }

    pub(in crate::fuzzing) fn feed(&mut self, piece: &[u8], land: bool) {
        match &mut self.stage {
            Stage::Transmission(transmission) => transmission.feed(piece, land),
            Stage::Handshake(_) => {
                self.pending.extend_from_slice(piece);
                self.shake_hands();
            }
            Stage::Over => {}
        }
    }

    /// What has arrived is all that comes in clear, if TLS is to begin now.
    pub(in crate::fuzzing) fn switch(&mut self) {
        let Stage::Handshake(flow) = &mut self.stage else { return };
        if flow.status() == Status::SwitchToTls {
            if let Err(error) = flow.tls_established(&mut self.out) {
                self.fail(error);
            }
        }
    }

    fn shake_hands(&mut self) {
        let Stage::Handshake(flow) = &mut self.stage else { return };
        let mut used = 0;
        loop {
            let before = flow.status();
            let rest = &self.pending[used..];
            // Also where nothing has come: what must not be consumed now is not.
            match flow.input(rest, &mut self.out) {
                Ok(count) => {
                    assert!(count <= rest.len(), "more was consumed than was there");
                    assert!(count == 0 || before == Status::NeedInput, "{count} bytes consumed while {before:?}");
                    used += count;
                    if count == 0 && flow.status() == before {
                        break;
                    }
                }
                Err(error) => return self.fail(error),
            }
        }
        self.pending.drain(..used);
        self.consumed += used;
        match flow.status() {
            Status::Ready => self.enter(),
            Status::NeedInput => assert!(self.pending.len() < MIN_INPUT_BUFFER, "a full buffer is left untouched"),
            status => assert_eq!(status, Status::SwitchToTls, "a flow that waits for nobody"),
        }
    }

    fn fail(&mut self, error: Error) {
        let Stage::Handshake(mut flow) = core::mem::replace(&mut self.stage, Stage::Over) else { return };
        let length = self.out.len();
        assert_eq!(flow.input(&[], &mut self.out), Err(error.clone()), "another error than before");
        assert_eq!((flow.eof(), self.out.len()), (error.clone(), length));
        assert_eq!(flow.finish().err(), Some(error.clone()), "a result behind an error");
        // How far it came before it failed hangs on how the stream was cut, and nothing else does.
        self.consumed = 0;
        self.over = Some(error);
    }

    fn enter(&mut self) {
        let Stage::Handshake(flow) = core::mem::replace(&mut self.stage, Stage::Over) else { return };
        let negotiated = match flow.finish() {
            Ok(negotiated) => negotiated,
            Err(error) => unreachable!("a handshake that is ready has no result: {error}"),
        };
        let mut transmission = Transmission::new(Client::new(negotiated, self.plan.client));
        for command in &self.plan.commands {
            transmission.submit(*command, None);
        }
        if self.plan.disconnect {
            assert!(transmission.client.disconnect().is_ok());
        }
        let most = self.plan.commands.len() * 1024;
        while transmission.client.wants_write() {
            let piece = self.pace.as_mut().map_or(usize::MAX, |pace| pace.next().0.max(most / 64));
            self.out.extend(transmission.take_output(piece));
        }
        let pending = core::mem::take(&mut self.pending);
        transmission.feed(&pending, false);
        self.stage = Stage::Transmission(Box::new(transmission));
    }

    /// The stream ends.
    pub(in crate::fuzzing) fn eof(&mut self) {
        match &mut self.stage {
            Stage::Handshake(flow) => {
                let error = flow.eof();
                self.fail(error);
            }
            Stage::Transmission(transmission) => transmission.eof(),
            Stage::Over => {}
        }
    }

    pub(in crate::fuzzing) fn end(self) -> End {
        let how = match self.stage {
            Stage::Transmission(transmission) => Ok((transmission.client.negotiated().clone(), transmission.outcome())),
            _ => Err(self.over),
        };
        End { how, out: self.out, consumed: self.consumed }
    }
}
