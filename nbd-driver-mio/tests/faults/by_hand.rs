//! What a fault must not take away from a connection, step by step.

use std::io::{IoSlice, Write};
use std::time::{Duration, Instant};

use fastrand::Rng;
use nbd_driver_mio::nbd_proto::handshake::{ConnectSettings, Offer, ServerHandshakeSettings};
use nbd_driver_mio::nbd_proto::wire::flags::TransmissionFlags;
use nbd_driver_mio::nbd_proto::wire::number::CommandType;
use nbd_driver_mio::{
    Accepting, Client, ClientOptions, Completion, ConnectTimeouts, Connecting, Scratch, Server, ServerEvent,
    ServerOptions, Turn,
};

use crate::faults::{Faults, Kind, Reset, TO_CLIENT, TO_SERVER};
use crate::network::{End, Shared, network};

/// Both sides in the transmission phase.
struct Pair {
    network: Shared,
    client: Client<End>,
    server: Server<End>,
    scratch: Scratch,
    now: Instant,
}

fn offers() -> [(&'static str, Offer); 1] {
    [("disk", Offer::new(1 << 20, TransmissionFlags::SEND_FLUSH))]
}

impl Pair {
    fn new() -> Self {
        Self::with(ServerOptions::default())
    }

    fn with(options: ServerOptions) -> Self {
        let now = Instant::now();
        let (network, [ours, theirs]) = network(Faults::NONE, Rng::with_seed(1));
        let mut connecting = Connecting::new(ours, ConnectSettings::new("disk"), ConnectTimeouts::default(), now);
        let mut accepting = Accepting::new(theirs, ServerHandshakeSettings::default(), None, now);
        let mut scratch = Scratch::new();
        let mut turns = 0;
        while connecting.turn(&mut scratch, now).unwrap() != Turn::Over {
            turns += 1;
            assert!(turns < 100, "the handshake does not come to an end");
            let _ = accepting.turn(&mut scratch, now).unwrap();
            if accepting.answer_from(&offers()).unwrap() {
                let _ = accepting.turn(&mut scratch, now).unwrap();
            }
            for side in [TO_SERVER, TO_CLIENT] {
                network.borrow_mut().told(side, true, true);
            }
            connecting.set_ready(true, true);
            accepting.set_ready(true, true);
        }
        let client = connecting.into_client(ClientOptions::default()).unwrap();
        let server = accepting.into_server(options).unwrap().unwrap();
        Self { network, client, server, scratch, now }
    }

    /// A turn of the client's, after the event that is due, if one is.
    fn client(&mut self) -> (Turn, Vec<Completion>) {
        let event = self.network.borrow_mut().event(TO_SERVER);
        if let Some((readable, writable)) = event {
            self.client.set_ready(readable, writable);
        }
        let turn = self.client.turn(&mut self.scratch, self.now);
        (turn, std::iter::from_fn(|| self.client.completion()).collect())
    }

    fn server(&mut self) -> (Turn, Vec<ServerEvent>) {
        let event = self.network.borrow_mut().event(TO_CLIENT);
        if let Some((readable, writable)) = event {
            self.server.set_ready(readable, writable);
        }
        let turn = self.server.turn(&mut self.scratch, self.now);
        (turn, std::iter::from_fn(|| self.server.event()).collect())
    }

    /// Answers each read with bytes of its own.
    fn answer(&mut self, events: Vec<ServerEvent>) -> usize {
        let mut count = 0;
        for event in events {
            if let ServerEvent::Request { request, .. } = event {
                assert_eq!(request.command, CommandType::READ);
                self.server.finish_read(request.id, vec![request.offset as u8; request.length as usize]).unwrap();
                count += 1;
            }
        }
        count
    }

    fn happen(&self, side: usize, kind: Kind) {
        self.network.borrow_mut().happen(side, kind);
    }
}

fn assert_answered(completion: &Completion) {
    assert_eq!(completion.result, Ok(()));
    assert!(completion.buffer.iter().all(|byte| *byte == completion.command.offset as u8));
}

const GONE: Reset = Reset { later: [0, 0], drained: true, pipe_first: true };

#[test]
fn a_client_that_has_closed_its_half_gets_all_answers() {
    let mut pair = Pair::new();
    for at in 1..=3 {
        pair.client.read(vec![0; 100_000], at).unwrap();
    }
    assert_eq!(pair.client().0, Turn::Wait);
    pair.happen(TO_SERVER, Kind::HalfClose);
    let (turn, events) = pair.server();
    assert_eq!((turn, events.len()), (Turn::Wait, 3), "the end of input is not the end of the connection");
    assert_eq!(pair.answer(events), 3);
    let (mut answered, mut last) = (0, Turn::Wait);
    for _ in 0..20 {
        let (_, events) = pair.server();
        assert!(events.iter().all(|event| matches!(event, ServerEvent::Done { sent: true, .. })));
        let (turn, completions) = pair.client();
        completions.iter().for_each(assert_answered);
        answered += completions.len();
        last = turn;
    }
    assert_eq!((answered, last), (3, Turn::Over));
    assert!(pair.server.end().unwrap().is_err_and(|end| end.to_string().contains("closed the connection")));
    assert!(pair.client.end().unwrap().is_err_and(|end| end.to_string().contains("closed the connection")));
}

#[test]
fn answers_that_came_before_a_reset_are_taken_though_nothing_can_be_sent() {
    for reset in [GONE, Reset { pipe_first: false, ..GONE }] {
        let mut pair = Pair::new();
        for at in 1..=3 {
            pair.client.read(vec![0; 50_000], at).unwrap();
        }
        let _ = pair.client();
        let (_, events) = pair.server();
        assert_eq!(pair.answer(events), 3);
        let _ = pair.server();
        // All answers have come by now. Then the client sends, and learns of the reset by that.
        pair.happen(TO_CLIENT, Kind::Reset(reset));
        pair.client.write(vec![1; 10], 0).unwrap();
        let (turn, completions) = pair.client();
        assert_eq!((turn, completions.len()), (Turn::Over, 4));
        completions[..3].iter().for_each(assert_answered);
        let lost = completions[3].result.as_ref().unwrap_err().to_string();
        assert!(["broken pipe", "connection reset", "closed the connection"].iter().any(|words| lost.contains(words)));
        assert_eq!(completions[3].buffer[..], [1; 10]);
    }
}

#[test]
fn a_server_tells_each_request_its_end_after_a_reset() {
    let mut pair = Pair::new();
    for at in 1..=3 {
        pair.client.read(vec![0; 50_000], at).unwrap();
    }
    let _ = pair.client();
    let (_, events) = pair.server();
    assert_eq!(events.len(), 3);
    pair.happen(TO_CLIENT, Kind::Reset(GONE));
    assert_eq!(pair.answer(events), 3);
    let (turn, events) = pair.server();
    assert_eq!((turn, events.len()), (Turn::Over, 3));
    let unsent =
        |event: &ServerEvent| matches!(event, ServerEvent::Done { buffer, sent: false, .. } if buffer.len() == 50_000);
    assert!(events.iter().all(unsent), "{events:?}");
    assert!(pair.server.end().unwrap().is_err_and(|end| end.to_string().contains("broken pipe")));
}

#[test]
fn a_server_gives_up_on_a_client_that_takes_nothing() {
    let timeout = Duration::from_secs(5);
    let mut pair = Pair::with(ServerOptions::default().with_stall_timeout(Some(timeout)));
    // More than the network holds, and than one turn sends.
    for at in 1..=3 {
        pair.client.read(vec![0; 200_000], at).unwrap();
    }
    let _ = pair.client();
    let (_, events) = pair.server();
    assert_eq!(pair.answer(events), 3);
    let turns = (0..10).take_while(|_| pair.server().0 != Turn::Wait).count();
    assert!(turns < 10, "the network has no end");
    assert_eq!(pair.server.deadline(), Some(pair.now + timeout));
    pair.now += timeout;
    let (turn, events) = pair.server();
    assert_eq!(turn, Turn::Over);
    assert!(events.iter().any(|event| matches!(event, ServerEvent::Done { sent: false, .. })));
    assert_eq!(pair.server.end().unwrap().unwrap_err().to_string(), "the client took no bytes for 5 s");
}

#[test]
fn goodbye_is_not_said_before_the_last_answer() {
    let mut pair = Pair::new();
    pair.client.read(vec![0; 10], 7).unwrap();
    let _ = pair.client();
    let asked = pair.network.borrow().written(TO_SERVER);
    pair.client.disconnect();
    assert_eq!(pair.client().0, Turn::Wait);
    assert_eq!(pair.network.borrow().written(TO_SERVER), asked);
    let (_, events) = pair.server();
    assert_eq!(pair.answer(events), 1);
    assert_eq!(pair.server().0, Turn::Wait);
    let (_, completions) = pair.client();
    assert_answered(&completions[0]);
    assert_eq!((pair.server().0, pair.client().0), (Turn::Over, Turn::Over));
    assert!(pair.client.end().unwrap().is_ok() && pair.server.end().unwrap().is_ok());
}

#[test]
fn a_client_that_is_over_hangs_up_though_it_is_kept() {
    let mut pair = Pair::new();
    pair.client.give_up("enough");
    assert_eq!(pair.client().0, Turn::Over);
    assert_eq!(pair.server().0, Turn::Over);
    let mut pair = Pair::new();
    pair.server.give_up("enough");
    assert_eq!(pair.server().0, Turn::Over);
    assert_eq!(pair.client().0, Turn::Over);
}

#[test]
fn a_client_that_is_dropped_says_goodbye() {
    let mut pair = Pair::new();
    pair.client.read(vec![0; 10], 7).unwrap();
    let (turn, completions) = pair.client();
    assert_eq!((turn, completions.len()), (Turn::Wait, 0));
    let (_, events) = pair.server();
    assert_eq!(pair.answer(events), 1);
    assert_eq!(pair.server().0, Turn::Wait);
    assert_eq!(pair.client().1.len(), 1);
    let Pair { network, client, mut server, mut scratch, now } = pair;
    drop(client);
    let (readable, writable) = network.borrow_mut().event(TO_CLIENT).unwrap();
    server.set_ready(readable, writable);
    assert_eq!(server.turn(&mut scratch, now), Turn::Over);
    assert!(server.end().unwrap().is_ok());
}

#[test]
fn requests_that_come_together_with_the_end_of_the_handshake_are_told() {
    let now = Instant::now();
    let (network, [mut ours, theirs]) = network(Faults::NONE, Rng::with_seed(1));
    let mut scratch = Scratch::new();
    let mut accepting = Accepting::new(theirs, ServerHandshakeSettings::default(), None, now);
    assert_eq!(accepting.turn(&mut scratch, now).unwrap(), Turn::Wait);
    nbd_driver_mio::Stream::is_connected(&mut ours).unwrap();
    // Flags; `GO` for "disk" without information requests; and two reads, the second one cut.
    let option = [&b"IHAVEOPT\0\0\0\x07\0\0\0\x0a\0\0\0\x04disk\0\0"[..]].concat();
    let read = |cookie: u8| {
        [&b"\x25\x60\x95\x13\0\0\0\0\0\0\0\0\0\0\0"[..], &[cookie, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 3]].concat()
    };
    let (first, second) = (read(1), read(2));
    let pieces = [&[0, 0, 0, 3], &option[..], &first, &second[..20]].map(IoSlice::new);
    assert_eq!(ours.write_vectored(&pieces).unwrap(), pieces.iter().map(|piece| piece.len()).sum());
    let tell = |accepting: &mut Accepting<End>| {
        let (readable, writable) = network.borrow_mut().event(TO_CLIENT).unwrap();
        accepting.set_ready(readable, writable);
    };
    tell(&mut accepting);
    assert_eq!(accepting.turn(&mut scratch, now).unwrap(), Turn::Wait);
    assert!(accepting.answer_from(&offers()).unwrap());
    assert_eq!(accepting.turn(&mut scratch, now).unwrap(), Turn::Over);
    let mut server = accepting.into_server(ServerOptions::default()).unwrap().unwrap();
    let told = |server: &mut Server<End>| match server.event() {
        Some(ServerEvent::Request { request, .. }) => Some((request.command, request.offset, request.length)),
        _ => None,
    };
    assert_eq!(server.turn(&mut scratch, now), Turn::Wait);
    assert_eq!((told(&mut server), told(&mut server)), (Some((CommandType::READ, 9, 3)), None));
    assert_eq!(ours.write(&second[20..]).unwrap(), 8);
    let (readable, writable) = network.borrow_mut().event(TO_CLIENT).unwrap();
    server.set_ready(readable, writable);
    assert_eq!(server.turn(&mut scratch, now), Turn::Wait);
    assert_eq!(told(&mut server), Some((CommandType::READ, 9, 3)));
}
