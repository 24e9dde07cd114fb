//! The server's handshake over a socket: what is asked is answered from the table of exports.

use std::io::{IoSlice, IoSliceMut};
use std::time::Instant;

use nbd_proto::handshake::{Accepted, LookUp, ServerHandshake, ServerHandshakeEvent, ServerStatus};
use nbd_proto::text::Escaped;
use nbd_proto::wire::flags::TransmissionFlags;
use nbd_proto::wire::number::{OptionCode, ReplyType};

use super::connections::Place;
use super::export::Opened;
use super::link::Order;
use super::site::Site;
use crate::error::{Error, seconds};
use crate::input::Input;
use crate::trace;

/// As long as this much is still to be sent, in bytes, nothing more is answered: a client that only asks would
/// fill memory.
const ENOUGH: usize = 64 * 1024;

/// Room for what is received: headers and small payloads. Larger than
/// [`MIN_INPUT_BUFFER`](nbd_proto::limits::MIN_INPUT_BUFFER), so that many requests come with one call.
const SCRATCH: usize = 64 * 1024;

/// What a handshake ends in.
pub(super) struct Admitted {
    pub(super) accepted: Accepted,
    pub(super) opened: Opened,
    /// What came behind it.
    pub(super) input: Input,
}

struct Handshake<'a> {
    engine: ServerHandshake,
    place: &'a Place,
    site: &'a Site,
    input: Input,
    out: Vec<u8>,
    opened: Option<Opened>,
}

/// Runs the handshake to its end; `None` if the client wanted no more, or the server is being stopped.
pub(super) fn run(place: &Place, site: &Site) -> Result<Option<Admitted>, Error> {
    let mut out = Vec::new();
    let mut engine = ServerHandshake::new(site.options.handshake(), &mut out);
    engine.set_observer(trace::observer());
    let mut handshake = Handshake { engine, place, site, input: Input::new(SCRATCH), out, opened: None };
    let result = handshake.talk();
    if result.is_err() {
        // A last courtesy, as far as it goes without waiting.
        let _ = place.link.stream.try_send(&[IoSlice::new(&handshake.out)]);
    }
    let Some(opened) = handshake.opened.take() else { return result.map(|_| None) };
    if !result? {
        return Ok(None);
    }
    Ok(Some(Admitted { accepted: handshake.engine.finish()?, opened, input: handshake.input }))
}

impl Handshake<'_> {
    /// Answers until the client enters the transmission phase; `false` if it does not.
    fn talk(&mut self) -> Result<bool, Error> {
        let link = &self.place.link;
        let limit = self.site.options.handshake_timeout;
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        loop {
            let stopping = link.order() != Order::GoOn;
            if stopping {
                self.engine.begin_shutdown();
            }
            self.answer()?;
            // Then there may be more to answer in what has come.
            let held_back = self.out.len() >= ENOUGH;
            self.send()?;
            let ended = match self.engine.status() {
                ServerStatus::Ready | ServerStatus::Closed => true,
                ServerStatus::SwitchToTls => return Err(Error::Unsupported("TLS is not supported yet")),
                ServerStatus::NeedInput | ServerStatus::NeedAnswer => false,
            };
            if ended && self.out.is_empty() {
                return Ok(self.engine.status() == ServerStatus::Ready);
            }
            // Not only when nothing comes: some talk without end.
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                let reason = format!("the handshake took longer than {}", seconds(limit.unwrap_or_default()));
                return Err(self.engine.give_up(&reason).into());
            }
            let more = !ended && self.out.len() < ENOUGH;
            if more && (held_back || self.receive()?) {
                continue;
            }
            if link.order() == Order::Leave || stopping && self.out.is_empty() && self.input.bytes().is_empty() {
                return Ok(false);
            }
            link.stream
                .wait(more, !self.out.is_empty(), deadline)
                .map_err(|error| Error::io("waiting for the socket", error))?;
        }
    }

    /// Answers what has come.
    fn answer(&mut self) -> Result<(), Error> {
        while self.out.len() < ENOUGH {
            let advance = self.engine.input(self.input.bytes(), &mut self.out)?;
            let consumed = advance.consumed;
            match advance.event {
                Some(ServerHandshakeEvent::List) => {
                    let exports = self.site.exports.iter().map(|export| (export.name(), export.describes()));
                    self.engine.list(exports, &mut self.out)?;
                }
                Some(ServerHandshakeEvent::LookUp(asked)) => {
                    look_up(&mut self.engine, self.place, self.site, &asked, &mut self.opened, &mut self.out)?;
                }
                None if consumed == 0 => break,
                None => {}
            }
            self.input.consume(consumed);
        }
        Ok(())
    }

    /// Sends what there is room for.
    fn send(&mut self) -> Result<(), Error> {
        crate::handshake::send(&self.place.link.stream, &mut self.out)
            .map_err(|error| self.engine.give_up(&format!("sending to the client: {error}")).into())
    }

    /// Receives what is there, and says whether that is anything.
    fn receive(&mut self) -> Result<bool, Error> {
        match self.place.link.stream.try_recv(&mut [IoSliceMut::new(self.input.room())]) {
            Ok(Some(0)) => Err(self.engine.eof().into()),
            Ok(Some(count)) => {
                self.input.received(count);
                Ok(true)
            }
            Ok(None) => Ok(false),
            Err(error) => Err(self.engine.give_up(&format!("receiving from the client: {error}")).into()),
        }
    }
}

/// Answers what is asked about an export, and keeps it open if it is to be used.
fn look_up(
    engine: &mut ServerHandshake,
    place: &Place,
    site: &Site,
    asked: &LookUp<'_>,
    keep: &mut Option<Opened>,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let name = Escaped(asked.name);
    let Some(export) = site.exports.iter().find(|export| export.name() == asked.name) else {
        let message = match asked.name {
            "" => "there is no default export here; ask for one by its name".to_owned(),
            _ => format!("there is no export \"{name}\" here"),
        };
        return Ok(engine.refuse(ReplyType::ERR_UNKNOWN, &message, out)?);
    };
    let enters = matches!(asked.option, OptionCode::GO | OptionCode::EXPORT_NAME);
    if enters {
        if let Err(connected) = place.establish() {
            let message = format!("the limit of clients at once is reached ({connected})");
            tracing::warn!(peer = place.link.peer, export = %name, "turned away: {message}");
            return Ok(engine.refuse(ReplyType::ERR_POLICY, &message, out)?);
        }
    }
    let mut opened = match export.open(site.options.max_memory) {
        Ok(opened) => opened,
        Err(failure) => {
            tracing::warn!(peer = place.link.peer, export = %name, "the export cannot be opened: {failure}");
            place.step_back();
            return Ok(engine.refuse(ReplyType::ERR_POLICY, &failure.message, out)?);
        }
    };
    // Who is told that several connections are fine, makes several, and gives up when one is refused (nbdcopy 1.14).
    if site.options.max_connections == 1 {
        opened.offer.flags.remove(TransmissionFlags::CAN_MULTI_CONN);
    }
    if let Err(refused) = engine.offer(&opened.offer, out) {
        tracing::error!(export = %name, "the backend describes itself in a way that cannot be told: {refused}");
        place.step_back();
        let message = "the server cannot offer the export as it is";
        return Ok(engine.refuse(ReplyType::ERR_PLATFORM, message, out)?);
    }
    if engine.status() == ServerStatus::Ready {
        *keep = Some(opened);
    } else {
        place.step_back();
    }
    Ok(())
}
