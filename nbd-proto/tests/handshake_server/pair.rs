//! Our client and our server, joined by two pipes through which at most so many bytes go at a time.

use nbd_proto::error::{Error, Refusal};
use nbd_proto::handshake::{
    Accepted, ClientHandshake, Flow, HandshakeEvent, HandshakeSettings, Negotiated, Offer, ServerHandshake,
    ServerHandshakeEvent, ServerHandshakeSettings, ServerStatus, Status,
};
use nbd_proto::wire::number::{OptionCode, ReplyType};
use nbd_proto::wire::option::OptionRequest;

/// How many bytes go through a pipe at a time.
pub(crate) const CHUNKS: [usize; 4] = [1, 2, 3, usize::MAX];

/// What a server has.
#[derive(Default)]
pub(crate) struct World(pub(crate) Vec<(&'static str, Offer)>);

impl World {
    fn answer(&self, server: &mut ServerHandshake, name: Option<&str>, out: &mut Vec<u8>) {
        let Some(name) = name else {
            let described = |offer: &'_ Offer| offer.description.clone().unwrap_or_default();
            let list: Vec<_> = self.0.iter().map(|(name, offer)| (*name, described(offer))).collect();
            return server.list(list.iter().map(|(name, text)| (*name, text.as_str())), out).unwrap();
        };
        match self.0.iter().find(|(it, _)| *it == name) {
            Some((_, offer)) => server.offer(offer, out).unwrap(),
            None => server.refuse(ReplyType::ERR_UNKNOWN, "there is no such export", out).unwrap(),
        }
    }
}

/// Runs both to their ends.
pub(crate) fn pair<F: Flow>(
    mut flow: F,
    settings: ServerHandshakeSettings,
    world: &World,
    chunk: usize,
) -> (Result<F::Output, Error>, Result<Accepted, Error>) {
    let (mut from_server, mut from_client) = (Vec::new(), Vec::new());
    let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
    let mut server = ServerHandshake::new(settings, &mut from_server);
    loop {
        serve(&mut server, world, &mut to_server, &mut from_server);
        while let Ok(consumed @ 1..) = flow.input(&to_client, &mut from_client) {
            to_client.drain(..consumed);
        }
        let pipes = [(&mut from_server, &mut to_client), (&mut from_client, &mut to_server)];
        let moved = pipes.into_iter().filter(|(from, _)| !from.is_empty()).map(|(from, to)| {
            to.extend(from.drain(..chunk.min(from.len())));
        });
        if moved.count() > 0 {
            continue;
        }
        if (flow.status(), server.status()) == (Status::SwitchToTls, ServerStatus::SwitchToTls) {
            server.tls_established().unwrap();
            flow.tls_established(&mut from_client).unwrap();
            continue;
        }
        let over = [Status::Ready, Status::Closed].contains(&flow.status());
        match server.status() {
            ServerStatus::Ready | ServerStatus::Closed if !over => drop(flow.eof()),
            ServerStatus::Ready => break,
            ServerStatus::Closed => {
                server.eof();
                break;
            }
            _ => {
                assert!(over, "both wait for each other");
                server.eof();
            }
        }
    }
    // A client that has said goodbye does not wait for the answer.
    assert!(to_client.is_empty() || flow.status() == Status::Closed, "the server goes on behind the end");
    assert_eq!(to_server, b"", "the client goes on behind the end");
    (flow.finish(), server.finish())
}

fn serve(server: &mut ServerHandshake, world: &World, input: &mut Vec<u8>, out: &mut Vec<u8>) {
    loop {
        let Ok(advance) = server.input(input, out) else { return input.clear() };
        let (consumed, asked) = (advance.consumed, advance.event.is_some());
        match advance.event {
            Some(ServerHandshakeEvent::List) => world.answer(server, None, out),
            Some(ServerHandshakeEvent::LookUp(it)) => world.answer(server, Some(it.name), out),
            None => {}
        }
        input.drain(..consumed);
        if consumed == 0 && !asked {
            return;
        }
    }
}

/// A caller who chooses these options, one after the other, and keeps how each ended.
pub(crate) struct Chooser<'a> {
    pub(crate) handshake: ClientHandshake,
    pub(crate) choices: &'a [OptionRequest<'a>],
    pub(crate) outcomes: Vec<(OptionCode, Result<(), Refusal>)>,
}

impl<'a> Chooser<'a> {
    pub(crate) fn new(settings: HandshakeSettings, choices: &'a [OptionRequest<'a>]) -> Self {
        Self { handshake: ClientHandshake::new(settings), choices, outcomes: Vec::new() }
    }
}

impl Flow for Chooser<'_> {
    type Output = (Vec<(OptionCode, Result<(), Refusal>)>, Option<Negotiated>);

    fn input(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, Error> {
        let advance = self.handshake.input(input, out)?;
        if let Some(HandshakeEvent::Done { option, outcome }) = advance.event {
            self.outcomes.push((option, outcome));
        }
        if let (Status::Choose, [next, rest @ ..]) = (self.handshake.status(), self.choices) {
            self.handshake.choose(next, out).unwrap();
            self.choices = rest;
        }
        Ok(advance.consumed)
    }

    fn eof(&mut self) -> Error {
        self.handshake.eof()
    }

    fn give_up(&mut self, reason: &str) -> Error {
        self.handshake.give_up(reason)
    }

    fn tls_established(&mut self, _: &mut Vec<u8>) -> Result<(), Error> {
        self.handshake.tls_established().unwrap();
        Ok(())
    }

    fn status(&self) -> Status {
        self.handshake.status()
    }

    fn finish(self) -> Result<Self::Output, Error> {
        match self.handshake.status() {
            Status::Closed => Ok((self.outcomes, None)),
            _ => self.handshake.finish().map(|negotiated| (self.outcomes, Some(negotiated))),
        }
    }
}
