//! Both phases of a connection, from a server's side.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::transmission::Told;
use super::{Arrived, Disk, Habits, Transmission};
use crate::error::Error;
use crate::fuzzing::take_front;
use crate::handshake::{
    Negotiated, Offer, ServerHandshake, ServerHandshakeEvent, ServerHandshakeSettings, ServerStatus,
};
use crate::limits::MIN_INPUT_BUFFER;
use crate::transmission::{Server, ServerSettings};
use crate::wire::number::{OptionCode, ReplyType};

/// What a server is, and how it answers.
#[derive(Clone)]
pub(in crate::fuzzing) struct ServerPlan {
    pub(in crate::fuzzing) handshake: ServerHandshakeSettings,
    pub(in crate::fuzzing) offer: Offer,
    pub(in crate::fuzzing) server: ServerSettings,
    /// How look-ups of `missing`, and of anything where `secretive`, are refused.
    pub(in crate::fuzzing) refusal: ReplyType,
    /// Whether the list is refused too, and only what is named `a` is to be had.
    pub(in crate::fuzzing) secretive: bool,
    pub(in crate::fuzzing) habits: Option<Habits>,
}

/// What the handshake asked its caller.
#[derive(Debug, PartialEq)]
pub(in crate::fuzzing) enum Asked {
    List,
    LookUp(OptionCode, String, bool),
}

enum Stage {
    Handshake(Box<ServerHandshake>),
    Transmission(Box<Transmission>),
    Over,
}

pub(in crate::fuzzing) struct ServerEnd {
    stage: Stage,
    plan: ServerPlan,
    /// What has arrived and is not consumed, while hands are shaken.
    pending: Vec<u8>,
    /// What the handshake has to say.
    pub(in crate::fuzzing) out: Vec<u8>,
    asked: Vec<Asked>,
    consumed: usize,
    pub(in crate::fuzzing) over: Option<Error>,
}

/// How a connection ended.
#[derive(Debug, PartialEq)]
pub(in crate::fuzzing) struct End {
    /// What the handshake sent.
    pub(in crate::fuzzing) out: Vec<u8>,
    asked: Vec<Asked>,
    /// How many bytes the handshake consumed, where it came to its end.
    pub(in crate::fuzzing) consumed: usize,
    over: Option<Error>,
    pub(in crate::fuzzing) transmission: Option<Outcome>,
}

/// What came of the transmission phase.
#[derive(Debug, PartialEq)]
pub(in crate::fuzzing) struct Outcome {
    pub(in crate::fuzzing) facts: Negotiated,
    pub(in crate::fuzzing) arrived: Vec<Arrived>,
    events: Vec<Told>,
    disk: Disk,
    pub(in crate::fuzzing) out: Vec<u8>,
    pub(in crate::fuzzing) over: Option<Error>,
}

impl ServerEnd {
    pub(in crate::fuzzing) fn new(plan: ServerPlan) -> Self {
        let mut out = Vec::new();
        let handshake = ServerHandshake::new(plan.handshake.clone(), &mut out);
        Self {
            stage: Stage::Handshake(Box::new(handshake)),
            plan,
            pending: Vec::new(),
            out,
            asked: Vec::new(),
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
        transmission.drain();
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
        let Stage::Handshake(handshake) = &mut self.stage else { return };
        if handshake.status() == ServerStatus::SwitchToTls {
            assert_eq!(handshake.tls_established(), Ok(()));
        }
    }

    fn shake_hands(&mut self) {
        let Stage::Handshake(handshake) = &mut self.stage else { return };
        let mut used = 0;
        loop {
            let before = handshake.status();
            let rest = &self.pending[used..];
            match handshake.input(rest, &mut self.out) {
                Ok(advance) => {
                    assert!(advance.consumed <= rest.len(), "more was consumed than was there");
                    assert!(
                        advance.consumed == 0 || before == ServerStatus::NeedInput,
                        "{} bytes consumed while {before:?}",
                        advance.consumed
                    );
                    used += advance.consumed;
                    let idle = advance.consumed == 0 && advance.event.is_none() && handshake.status() == before;
                    if let Some(event) = advance.event {
                        self.asked.push(answer(handshake, &self.plan, &event, &mut self.out));
                    }
                    if idle {
                        break;
                    }
                }
                Err(error) => return self.fail(error),
            }
        }
        self.pending.drain(..used);
        self.consumed += used;
        match handshake.status() {
            ServerStatus::Ready => self.enter(),
            ServerStatus::NeedInput => {
                assert!(self.pending.len() < MIN_INPUT_BUFFER, "a full buffer is left untouched");
            }
            ServerStatus::Closed => self.eof(),
            ServerStatus::SwitchToTls => {}
            ServerStatus::NeedAnswer => unreachable!("an answer is awaited that was given"),
        }
    }

    fn fail(&mut self, error: Error) {
        let Stage::Handshake(mut handshake) = core::mem::replace(&mut self.stage, Stage::Over) else { return };
        let length = self.out.len();
        assert_eq!(handshake.input(&[], &mut self.out), Err(error.clone()), "another error than before");
        assert_eq!((handshake.eof(), self.out.len()), (error.clone(), length));
        assert_eq!(handshake.finish().err(), Some(error.clone()), "a result behind an error");
        // How far it came before it failed hangs on how the stream was cut, and nothing else does.
        self.consumed = 0;
        self.over = Some(error);
    }

    fn enter(&mut self) {
        let Stage::Handshake(handshake) = core::mem::replace(&mut self.stage, Stage::Over) else { return };
        let accepted = match handshake.finish() {
            Ok(accepted) => accepted,
            Err(error) => unreachable!("a handshake that is ready has no result: {error}"),
        };
        let server = Server::new(accepted, self.plan.server);
        let disk = Disk::new(self.plan.offer.size);
        let mut transmission = Transmission::new(server, disk, self.plan.server.max_in_flight, self.plan.habits);
        let pending = core::mem::take(&mut self.pending);
        transmission.feed(&pending, false);
        self.stage = Stage::Transmission(Box::new(transmission));
    }

    /// The stream ends.
    pub(in crate::fuzzing) fn eof(&mut self) {
        match &mut self.stage {
            Stage::Handshake(handshake) => {
                let error = handshake.eof();
                self.fail(error);
            }
            Stage::Transmission(transmission) => transmission.eof(),
            Stage::Over => {}
        }
    }

    pub(in crate::fuzzing) fn end(self) -> End {
        let transmission = match self.stage {
            Stage::Transmission(transmission) => {
                let Transmission { server, disk, arrived, events, out, over, .. } = *transmission;
                Some(Outcome { facts: server.negotiated().clone(), arrived, events, disk, out, over })
            }
            _ => None,
        };
        End { out: self.out, asked: self.asked, consumed: self.consumed, over: self.over, transmission }
    }
}

fn answer(
    handshake: &mut ServerHandshake,
    plan: &ServerPlan,
    event: &ServerHandshakeEvent<'_>,
    out: &mut Vec<u8>,
) -> Asked {
    assert_eq!(handshake.status(), ServerStatus::NeedAnswer);
    let (asked, refuse) = match event {
        ServerHandshakeEvent::List => (Asked::List, plan.secretive),
        ServerHandshakeEvent::LookUp(it) => {
            let refuse = it.name == "missing" || plan.secretive && it.name != "a";
            (Asked::LookUp(it.option, it.name.to_owned(), it.asks_block_sizes), refuse)
        }
    };
    // Not each refusal is legal everywhere; one that is not changes nothing.
    if refuse && handshake.refuse(plan.refusal, "not here", out).is_ok() {
        return asked;
    }
    let answered = match event {
        ServerHandshakeEvent::List => handshake.list([("", "the default"), ("a", "one of ours")], out),
        ServerHandshakeEvent::LookUp(_) => handshake.offer(&plan.offer, out),
    };
    assert_eq!(answered, Ok(()), "an answer to {asked:?} is refused");
    asked
}
