//! The transmission phase, from a client's side.

use alloc::borrow::ToOwned;
use alloc::vec::Vec;

use super::calls::outbound_length;
use super::{Calls, payload};
use crate::error::Error;
use crate::limits::MIN_INPUT_BUFFER;
use crate::transmission::{Client, Command, Segment};
use crate::wire::number::{ContextId, Cookie};

pub(in crate::fuzzing) struct Transmission {
    pub(in crate::fuzzing) client: Client,
    pub(in crate::fuzzing) calls: Calls,
    /// What has arrived and is not consumed.
    pending: Vec<u8>,
    sent: usize,
    pub(in crate::fuzzing) over: Option<Error>,
}

/// All that came of a connection.
#[derive(Debug, PartialEq)]
pub(in crate::fuzzing) struct Outcome {
    pub(in crate::fuzzing) calls: Calls,
    pub(in crate::fuzzing) over: Option<Error>,
    shutting_down: bool,
}

impl Transmission {
    pub(in crate::fuzzing) fn new(client: Client) -> Self {
        let calls = Calls::new(client.negotiated().info.size);
        Self { client, calls, pending: Vec::new(), sent: 0, over: None }
    }

    pub(in crate::fuzzing) fn submit(&mut self, command: Command, contexts: Option<&[ContextId]>) -> bool {
        let taken = self.calls.submit(&mut self.client, command, contexts, self.sent);
        assert!(self.client.in_flight() <= self.calls.list.len());
        taken
    }

    pub(in crate::fuzzing) fn outbound_length(&self) -> usize {
        outbound_length(&self.client)
    }

    /// Says that so much has gone out.
    pub(in crate::fuzzing) fn sent(&mut self, count: usize) {
        let before = self.outbound_length();
        self.client.sent(count);
        if self.over.is_none() {
            assert_eq!(self.outbound_length(), before - count);
            self.sent += count;
        }
    }

    /// Takes up to `most` bytes that are to go out.
    pub(in crate::fuzzing) fn take_output(&mut self, most: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for segment in self.client.outbound() {
            match segment {
                Segment::Framing(framing) => bytes.extend_from_slice(framing),
                Segment::Payload { owner, range } => bytes.extend_from_slice(&self.payload(owner)[range]),
            }
            if bytes.len() >= most {
                break;
            }
        }
        bytes.truncate(most);
        self.sent(bytes.len());
        bytes
    }

    fn payload(&self, owner: Cookie) -> &'static [u8] {
        let Some(number) = self.calls.number(owner) else {
            unreachable!("the payload of {owner} is asked for, which is not in flight");
        };
        payload(number, self.calls.list[number].command.length as usize)
    }

    /// Takes what comes from the network; in place where it belongs, if `land` says so.
    pub(in crate::fuzzing) fn feed(&mut self, mut piece: &[u8], land: bool) {
        while land && self.pending.is_empty() && !piece.is_empty() {
            let Some(landing) = self.client.landing() else { break };
            assert!(!landing.range.is_empty());
            let (front, rest) = piece.split_at(landing.range.len().min(piece.len()));
            let range = landing.range.start..landing.range.start + front.len();
            self.client.landed(front.len());
            self.calls.write(landing.owner, range, front);
            self.poll();
            piece = rest;
        }
        self.pending.extend_from_slice(piece);
        self.drain();
    }

    /// Asks for events that are due without input, and so leaves what has arrived aside.
    pub(in crate::fuzzing) fn poll(&mut self) {
        let pending = core::mem::take(&mut self.pending);
        self.drain();
        self.pending = pending;
    }

    /// Hands in what has arrived until nothing comes of it.
    fn drain(&mut self) {
        let input = core::mem::take(&mut self.pending);
        let mut rest = &input[..];
        loop {
            match self.client.input(rest) {
                Ok(advance) => {
                    assert!(advance.consumed <= rest.len(), "more was consumed than was there");
                    let idle = advance.consumed == 0 && advance.event.is_none();
                    rest = &rest[advance.consumed..];
                    let over = self.client.over().is_some();
                    if let Some(event) = advance.event {
                        self.calls.see(event, self.sent, over);
                    }
                    if idle {
                        break;
                    }
                }
                Err(error) => {
                    assert!(self.over.as_ref().is_none_or(|first| *first == error), "another error than before");
                    self.over = Some(error);
                    break;
                }
            }
        }
        assert!(self.over.is_some() || rest.len() < MIN_INPUT_BUFFER, "a full buffer is left untouched");
        rest.clone_into(&mut self.pending);
        assert_eq!(self.client.over(), self.over.as_ref());
    }

    /// The stream ends, after which nothing is left.
    pub(in crate::fuzzing) fn eof(&mut self) {
        self.client.eof();
        self.drain();
        assert!(self.over.is_some() && self.client.input(&[]).is_err());
        assert!(self.client.landing().is_none() && !self.client.wants_write());
        assert_eq!((self.client.in_flight(), self.client.room()), (0, 0));
        assert!(self.calls.list.iter().all(|call| call.result.is_some()), "a command without its Done");
    }

    pub(in crate::fuzzing) fn outcome(self) -> Outcome {
        Outcome { calls: self.calls, over: self.over, shutting_down: self.client.is_shutting_down() }
    }
}
