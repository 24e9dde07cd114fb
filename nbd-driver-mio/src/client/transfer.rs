//! Bytes, from and to the stream, and what they mean for requests.

use std::time::Instant;

use nbd_proto::error::CommandError;
use nbd_proto::transmission::Event;
use nbd_proto::wire::number::Cookie;

use super::{Client, Completion};
use crate::exchange::Received;
use crate::scratch::Intake;
use crate::stream::Stream;
use crate::turn::{Share, Turn};

impl<S: Stream> Client<S> {
    /// Moves bytes both ways until nothing moves any more, or the share of a turn is used up.
    pub(super) fn transfer(&mut self, intake: &mut Intake<'_>, now: Instant) -> Turn {
        let (mut inward, mut outward) = (Share::WHOLE, Share::WHOLE);
        loop {
            self.parse(intake);
            self.part(now);
            if self.engine.over().is_some() {
                return Turn::Over;
            }
            let mut moved = self.send(&mut outward);
            moved |= self.receive(intake, &mut inward);
            if moved {
                continue;
            }
            let more_out = self.wants_write() && self.channel.is_writable();
            if self.channel.is_readable() || more_out {
                return Turn::Again;
            }
            if let Some(reason) = self.deaf.take() {
                self.engine.give_up(&reason);
                return Turn::Over;
            }
            return Turn::Wait;
        }
    }

    fn wants_write(&self) -> bool {
        self.deaf.is_none() && self.engine.wants_write()
    }

    /// Sends what there is room for, by one call. Says whether anything came of it.
    fn send(&mut self, share: &mut Share) -> bool {
        if !self.wants_write() || !share.is_left() {
            return false;
        }
        let requests = &self.requests;
        let payload = |owner| requests.get(owner).map(|request| &request.buffer[..]);
        match self.channel.send_outbound(self.engine.outbound(), payload, share) {
            Ok(None) => return false,
            Ok(Some(sent)) => self.engine.sent(sent),
            // The server is gone, but what it said before that is still to be read.
            Err(error) => self.deaf = Some(format!("sending to the server: {error}")),
        }
        true
    }

    /// Receives what is there, by one call: payload where it belongs, and what is behind it into the scratch. Says
    /// whether anything came of it.
    fn receive(&mut self, intake: &mut Intake<'_>, share: &mut Share) -> bool {
        if !share.is_left() {
            return false;
        }
        let mut payload: &mut [u8] = &mut [];
        if let Some(landing) = self.engine.landing() {
            if let Some(buffer) = self.requests.get_mut(landing.owner).and_then(|request| request.buffer.as_mut()) {
                payload = &mut buffer[landing.range];
            }
        }
        match self.channel.receive_into(payload, intake, share) {
            Ok(None) => return false,
            Ok(Some(Received::End)) => self.engine.eof(),
            Ok(Some(Received::Payload(count))) => self.engine.landed(count),
            // A server may hang up roughly where nothing is left to say.
            Err(_) if self.parted && !self.engine.wants_write() => self.engine.eof(),
            Err(error) => self.engine.give_up(&format!("receiving from the server: {error}")),
        }
        true
    }

    /// Takes every event that is due.
    fn parse(&mut self, intake: &mut Intake<'_>) {
        // An error is told by `over`.
        while let Ok(advance) = self.engine.input(intake.bytes()) {
            let consumed = advance.consumed;
            match advance.event {
                Some(Event::Data { cookie, range, bytes }) => {
                    let request = self.requests.get_mut(cookie);
                    if let Some(buffer) = request.and_then(|request| request.buffer.as_mut()) {
                        buffer[range].copy_from_slice(bytes);
                    }
                }
                Some(Event::Hole { cookie, range }) => {
                    let request = self.requests.get_mut(cookie);
                    if let Some(buffer) = request.and_then(|request| request.buffer.as_mut()) {
                        buffer[range].fill(0);
                    }
                }
                Some(Event::Extents { cookie, context, extents }) => {
                    if let Some(request) = self.requests.get_mut(cookie) {
                        request.status.add(&mut self.status_memory, context, extents);
                    }
                }
                // The first one is in `Done`.
                Some(Event::Failure { .. }) => {}
                Some(Event::Done { cookie, result }) => self.done(cookie, result),
                None if consumed == 0 => break,
                None => {}
            }
            intake.consume(consumed);
        }
    }

    fn done(&mut self, cookie: Cookie, result: Result<(), CommandError>) {
        if let Some(request) = self.requests.remove(cookie) {
            let (command, buffer) = (request.command, request.buffer);
            let (contexts, result) = request.status.finish(&self.status_memory, result);
            self.completions.push_back(Completion { cookie, command, buffer, contexts, result });
        }
        // "If the client receives an `NBD_ESHUTDOWN` error it MUST initiate a soft disconnect" (spec, *Terminating
        // the transmission phase*).
        self.closing |= self.engine.is_shutting_down();
    }

    /// Says goodbye, if that is due: a client "SHOULD wait until there are no inflight requests first" (spec,
    /// *Terminating the transmission phase*).
    fn part(&mut self, now: Instant) {
        if self.closing && self.engine.in_flight() == 0 && self.engine.disconnect().is_ok() {
            self.parted = true;
            self.goodbye = now.checked_add(self.options.close_timeout);
        }
    }

    /// Once the connection is over: each request gets its end, and the server sees it.
    pub(super) fn settle(&mut self) {
        while let Ok(advance) = self.engine.input(&[]) {
            match advance.event {
                Some(Event::Done { cookie, result }) => self.done(cookie, result),
                Some(_) => {}
                None => break,
            }
        }
        if !self.hung_up {
            self.hung_up = true;
            self.channel.stream.hang_up();
        }
    }

    /// Sends what is left, as far as that goes by one call.
    pub(super) fn say_goodbye(&mut self) {
        self.send(&mut Share::WHOLE.clone());
    }
}
