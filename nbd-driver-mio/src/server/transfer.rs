//! Bytes, from and to the stream, and what they mean for requests.

use std::time::Instant;

use bytes::BytesMut;
use nbd_proto::transmission::{Request, RequestId, ServerEvent as Engine};
use nbd_proto::wire::number::CommandType;

use super::{Held, Server, ServerEvent, payload_length};
use crate::buffer::Buffer;
use crate::exchange::Received;
use crate::scratch::Intake;
use crate::stream::Stream;
use crate::turn::{Share, Turn};

/// As long as this many events have not been taken, no request is taken in.
const EVENTS: usize = 256;

impl<S: Stream> Server<S> {
    /// Moves bytes both ways until nothing moves any more, or the share of a turn is used up.
    pub(super) fn transfer(&mut self, intake: &mut Intake<'_>, now: Instant) -> Turn {
        // What the client may have sent meanwhile has nobody to answer it.
        if self.finished {
            return Turn::Over;
        }
        let (mut inward, mut outward) = (Share::WHOLE, Share::WHOLE);
        loop {
            self.parse(intake);
            if self.engine.over().is_some() {
                return Turn::Over;
            }
            let mut moved = self.send(&mut outward, now);
            moved |= self.receive(intake, &mut inward, now);
            if moved {
                continue;
            }
            let idle = self.is_idle() && self.waiting.is_none();
            if idle && (self.engine.is_disconnecting() || self.shutting_down && self.takes_requests()) {
                self.finished = true;
                return Turn::Over;
            }
            if self.end_of_input && self.asked == 0 && self.takes_requests() && !self.engine.wants_write() {
                // All that came in full has been answered.
                self.engine.eof();
                continue;
            }
            let more_in = self.wants_read() && self.channel.is_readable();
            let more_out = self.engine.wants_write() && self.channel.is_writable();
            // Where only the taking of events makes room, nothing else will tell that it is time.
            let held_back = !self.events.is_empty() && !self.takes_requests();
            return if more_in || more_out || held_back { Turn::Again } else { Turn::Wait };
        }
    }

    /// Whether there is room for what a request brings.
    fn takes_requests(&self) -> bool {
        self.waiting.is_none() && self.events.len() < EVENTS
    }

    fn wants_read(&self) -> bool {
        !self.end_of_input && self.takes_requests() && self.engine.wants_read()
    }

    /// Sends what there is room for, by one call. Says whether anything came of it.
    fn send(&mut self, share: &mut Share, now: Instant) -> bool {
        if !self.engine.wants_write() || !share.is_left() {
            return false;
        }
        let requests = &self.requests;
        let payload = |owner| requests.get(owner).map(|held| &held.buffer[..]);
        match self.channel.send_outbound(self.engine.outbound(), payload, share) {
            Ok(None) => return false,
            Ok(Some(sent)) => {
                self.engine.sent(sent);
                self.active = Some(now);
                self.stalled = None;
            }
            Err(error) => self.engine.give_up(&format!("sending to the client: {error}")),
        }
        true
    }

    /// Receives what is there, by one call: payload where it belongs, and what is behind it into the scratch. Says
    /// whether anything came of it.
    fn receive(&mut self, intake: &mut Intake<'_>, share: &mut Share, now: Instant) -> bool {
        if !self.wants_read() || !share.is_left() {
            return false;
        }
        let mut payload: &mut [u8] = &mut [];
        if let Some(landing) = self.engine.landing() {
            if let Some(buffer) = self.requests.get_mut(landing.owner).and_then(|held| held.buffer.as_mut()) {
                payload = &mut buffer[landing.range];
            }
        }
        match self.channel.receive_into(payload, intake, share) {
            Ok(None) => return false,
            Ok(Some(Received::End)) => self.end_of_input = true,
            Ok(Some(Received::Payload(count))) => {
                self.engine.landed(count);
                self.active = Some(now);
            }
            Err(error) => self.engine.give_up(&format!("receiving from the client: {error}")),
        }
        true
    }

    /// Takes every event that is due, and that there is room for.
    fn parse(&mut self, intake: &mut Intake<'_>) {
        if let Some(request) = self.waiting.take() {
            self.take_up(request, intake);
        }
        loop {
            // Without room for requests, only what is due without input may come.
            let bytes = if self.takes_requests() { intake.bytes() } else { &[] };
            // An error is told by `over`.
            let Ok(advance) = self.engine.input(bytes) else { break };
            let consumed = advance.consumed;
            match advance.event {
                Some(Engine::Request(request)) => self.take_up(request, intake),
                Some(Engine::Data { id, range, bytes }) => {
                    if let Some(buffer) = self.requests.get_mut(id).and_then(|held| held.buffer.as_mut()) {
                        buffer[range].copy_from_slice(bytes);
                    }
                }
                Some(Engine::Received { id }) => self.received(id),
                Some(Engine::Done { id, sent }) => self.done(id, sent),
                Some(Engine::Disconnect) => {}
                None if consumed == 0 => break,
                None => {}
            }
            intake.consume(consumed);
        }
    }

    /// Begins a request, or lets it wait for room.
    fn take_up(&mut self, request: Request, intake: &mut Intake<'_>) {
        let length = payload_length(&request);
        if self.engine.over().is_some() {
            return;
        }
        if self.bytes > 0 && length > 0 && self.bytes.saturating_add(length) > self.options.max_bytes {
            self.waiting = Some(request);
            return;
        }
        self.bytes += length;
        let id = request.id;
        if request.command == CommandType::WRITE {
            let buffer = intake.pool().take(length).into();
            self.requests.insert(id, Held { request, buffer, told: false });
            // Refused only when the connection is over, and then the end tells.
            let _ = self.engine.receive(id);
        } else {
            self.requests.insert(id, Held { request, buffer: Buffer::NONE, told: true });
            self.ask(request, BytesMut::new());
        }
    }

    /// The payload of a `WRITE` is there.
    fn received(&mut self, id: RequestId) {
        let Some(held) = self.requests.get_mut(id) else { return };
        held.told = true;
        let request = held.request;
        if let Buffer::BytesMut(payload) = std::mem::take(&mut held.buffer) {
            self.ask(request, payload);
        }
    }

    fn ask(&mut self, request: Request, payload: BytesMut) {
        self.asked += 1;
        self.events.push_back((ServerEvent::Request { request, payload }, 0));
    }

    /// The engine is through with a request. Its name may be another one's by the time that the caller hears of it.
    fn done(&mut self, id: RequestId, sent: bool) {
        let Some(held) = self.requests.remove(id) else { return };
        let length = payload_length(&held.request);
        if held.told {
            self.events.push_back((ServerEvent::Done { id, buffer: held.buffer, sent }, length));
        } else {
            self.bytes -= length;
        }
    }

    /// Once the connection is over: each request gets its end, and the client sees it.
    pub(super) fn settle(&mut self) {
        self.waiting = None;
        while let Ok(advance) = self.engine.input(&[]) {
            match advance.event {
                Some(Engine::Done { id, sent }) => self.done(id, sent),
                Some(_) => {}
                None => break,
            }
        }
        if !self.hung_up {
            self.hung_up = true;
            self.channel.stream.hang_up();
        }
    }
}
