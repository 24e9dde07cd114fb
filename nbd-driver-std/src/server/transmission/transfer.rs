//! Bytes, from and to the socket.

use std::io::{IoSlice, IoSliceMut};
use std::time::Instant;

use nbd_proto::transmission::Segment;

use super::Transmission;

/// How many pieces one send takes.
const PIECES: usize = 64;

impl Transmission<'_> {
    /// Sends what there is room for. Says whether that was anything.
    pub(super) fn send(&mut self) -> bool {
        let mut any = false;
        while self.writable && self.engine.wants_write() {
            let mut pieces = [IoSlice::new(&[]); PIECES];
            let (mut count, mut length) = (0, 0);
            for segment in self.engine.outbound().take(PIECES) {
                let bytes = match segment {
                    Segment::Framing(bytes) => bytes,
                    Segment::Payload { owner, range } => match self.slots.get(owner.slot()) {
                        Some(Some((_, buffer))) => &buffer[range],
                        _ => break,
                    },
                };
                pieces[count] = IoSlice::new(bytes);
                count += 1;
                length += bytes.len();
            }
            if length == 0 {
                // Cannot be; without it, a mistake would turn into a busy loop.
                self.engine.give_up("there is an answer to send, but nothing of it");
                return true;
            }
            match self.link.stream.try_send(&pieces[..count]) {
                Ok(Some(sent)) => {
                    self.engine.sent(sent);
                    self.writable = sent == length;
                    self.stalled = None;
                    any = true;
                }
                Ok(None) => self.writable = false,
                Err(error) => {
                    self.engine.give_up(&format!("sending to the client: {error}"));
                    return true;
                }
            }
        }
        if self.options.stall_timeout.is_some() && !self.writable && self.stalled.is_none() {
            self.stalled = Some(Instant::now());
        }
        any
    }

    pub(super) fn wants_read(&self) -> bool {
        !self.end_of_input && self.waiting.is_none() && self.engine.over().is_none() && self.engine.wants_read()
    }

    /// Receives what is there: payload where it belongs, and what is behind it with the same call. Says whether
    /// anything came of it.
    pub(super) fn receive(&mut self) -> bool {
        if !self.readable || !self.wants_read() {
            return false;
        }
        let landing = self.engine.landing();
        let mut payload: &mut [u8] = &mut [];
        if let Some(landing) = landing {
            if let Some(Some((_, buffer))) = self.slots.get_mut(landing.owner.slot()) {
                payload = &mut buffer[landing.range];
            }
        }
        let in_place = payload.len();
        let room = self.input.room();
        let length = in_place + room.len();
        let mut pieces = [IoSliceMut::new(payload), IoSliceMut::new(room)];
        let first = usize::from(in_place == 0);
        match self.link.stream.try_recv(&mut pieces[first..]) {
            Ok(None) => {
                self.readable = false;
                return false;
            }
            Ok(Some(0)) => self.end_of_input = true,
            Ok(Some(count)) => {
                self.engine.landed(count.min(in_place));
                self.input.received(count.saturating_sub(in_place));
                self.readable = count == length;
                self.active = Instant::now();
            }
            Err(error) => self.engine.give_up(&format!("receiving from the client: {error}")),
        }
        true
    }
}
