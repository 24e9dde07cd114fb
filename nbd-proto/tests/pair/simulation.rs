//! Many clients and one server on a network that delays, splits, cuts and ends connections at any byte. All of it
//! comes from one seed, which is told when something is wrong and makes it happen again:
//!
//! ```text
//! NBD_SIMULATION_SEED=… cargo test -p nbd-proto --test pair simulation
//! ```
//!
//! `NBD_SIMULATION_SESSIONS` sets how many connections are simulated, from seeds that follow each other.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "the seed comes from outside and is told there, and nothing else hangs on either; threads only save time"
)]

use std::sync::atomic::{AtomicU64, Ordering};

use fastrand::Rng;
use nbd_proto::error::{Ended, Error};
use nbd_proto::handshake::{ConnectSettings, HandshakeStyle, Offer, ServerHandshakeSettings};
use nbd_proto::transmission::{ClientSettings, Command, ServerSettings};
use nbd_proto::wire::flags::{CommandFlags, TransmissionFlags};
use nbd_proto::wire::info::BlockSizes;
use nbd_proto::wire::number::{CommandType, ErrorValue};

use crate::client::ClientSide;
use crate::ledger::Ledger;
use crate::reconnecting;
use crate::server::ServerSide;
use crate::wire::Wire;
use crate::world::{MAXIMUM, SIZE};

/// How many connections one seed makes.
const SESSIONS_PER_SEED: u64 = 20;

/// How many are open at once, at most.
const AT_ONCE: usize = 6;

struct Session {
    client: ClientSide,
    server: ServerSide,
    ledger: Ledger,
    to_server: Wire,
    to_client: Wire,
    /// How many requests the server takes at once.
    taken: usize,
    /// How many commands the client still wants to submit.
    wishes: usize,
    /// Whether something was done to the session that may end it early.
    disturbed: bool,
    /// Whether the network has lost bytes, or may have.
    cut: bool,
    /// How ready the network is to disturb it, per step, in a million.
    hostility: u32,
}

impl Session {
    fn new(rng: &mut Rng) -> Self {
        let mut handshake = ServerHandshakeSettings::default()
            .with_structured_replies(rng.u8(..8) > 0)
            .with_extended_headers(rng.bool())
            .with_no_zeroes(rng.bool());
        let name = match rng.u8(..8) {
            0 => {
                handshake = handshake.with_style(HandshakeStyle::Oldstyle);
                ""
            }
            1 => {
                handshake = handshake.with_style(HandshakeStyle::Newstyle);
                "disk"
            }
            _ => "disk",
        };
        // Most of what there is is offered, so that most of it is asked for.
        let mut flags = TransmissionFlags::from_bits_retain(rng.u16(..) | rng.u16(..)) & TransmissionFlags::all();
        flags.set(TransmissionFlags::READ_ONLY, rng.u8(..10) == 0);
        let mut offer = Offer::new(SIZE, flags);
        if rng.bool() {
            // Who comes by `EXPORT_NAME` is not told of block sizes, and would be refused what he cannot know.
            let told = handshake.style == HandshakeStyle::FixedNewstyle;
            let minimum = if told && rng.u8(..4) == 0 { 512 } else { 1 };
            offer.block_sizes = Some(BlockSizes { minimum, preferred: 4096, maximum: MAXIMUM as u32 });
        }
        offer.contexts = vec!["base:allocation".to_owned(), "x-test:other".to_owned()];
        let mut connect =
            ConnectSettings::new(name).with_extended_headers(rng.u8(..4) > 0).with_structured_replies(rng.u8(..4) > 0);
        for context in ["base:allocation", "x-test:other", "x-test:none"] {
            if rng.bool() {
                connect = connect.with_meta_context(context);
            }
        }
        let many = ClientSettings::default().with_max_in_flight(rng.usize(1..20));
        let taken = ServerSettings::default().with_max_in_flight(rng.usize(1..20));
        Self {
            client: ClientSide::new(connect, many),
            server: ServerSide::new(handshake, offer, taken),
            ledger: Ledger::default(),
            to_server: Wire::default(),
            to_client: Wire::default(),
            taken: taken.max_in_flight,
            wishes: rng.usize(..24),
            disturbed: false,
            cut: false,
            // Some are disturbed early, and most once they have come to the transmission phase.
            hostility: [0, rng.u32(..2000), rng.u32(..6000), rng.u32(..20_000)][rng.usize(..4)],
        }
    }

    fn is_over(&self) -> bool {
        self.client.is_over() && self.server.is_finished() && self.to_server.is_idle() && self.to_client.is_idle()
    }

    fn step(&mut self, now: u64, rng: &mut Rng, disk: &mut [u8]) {
        if rng.u32(..1_000_000) < self.hostility {
            self.disturb(rng);
        }
        let (count, land) = (size(rng), rng.bool());
        match rng.u8(..9) {
            0 => self.wish(rng),
            1 | 2 => self.to_server.send(self.client.take_output(count, &mut self.ledger), now + rng.u64(..8)),
            3 | 4 => {
                if let Some(bytes) = self.to_server.receive(count, now) {
                    self.server.deliver(&bytes, land, &mut self.ledger);
                } else if self.to_server.take_end() {
                    self.server.eof(&mut self.ledger);
                }
            }
            5 => {
                let failure = (rng.u8(..12) == 0).then(|| ErrorValue([5, 12, 28, 75, 200][rng.usize(..5)]));
                self.server.serve(rng.usize(..), failure, disk, &mut self.ledger);
            }
            6 | 7 => self.to_client.send(self.server.take_output(count, &mut self.ledger), now + rng.u64(..8)),
            _ => {
                if let Some(bytes) = self.to_client.receive(count, now) {
                    self.client.deliver(&bytes, land, &mut self.ledger);
                } else if self.to_client.take_end() {
                    self.client.eof(&mut self.ledger);
                }
            }
        }
        assert!(self.server.in_flight() <= self.taken, "more requests in flight than were to be taken");
        // Whoever is through hangs up, behind what it has said.
        if self.client.is_over() {
            self.to_server.end();
        }
        if self.server.is_finished() && !self.server.wants_write() {
            self.to_client.end();
        }
    }

    /// The client goes on with what it came for.
    fn wish(&mut self, rng: &mut Rng) {
        let Some(negotiated) = self.client.negotiated() else { return };
        if self.wishes == 0 {
            if self.client.in_flight() == 0 || rng.u8(..8) == 0 {
                self.client.disconnect();
            }
            return;
        }
        let minimum = u64::from(negotiated.minimum_block());
        let offset = rng.u64(..SIZE) / minimum * minimum;
        let most = (SIZE - offset).min(if rng.u8(..6) == 0 { MAXIMUM } else { 700.max(minimum) });
        let length = rng.u64(..=most).max(minimum) / minimum * minimum;
        let command = match rng.u8(..10) {
            0..=2 => Command::read(offset, length),
            3..=5 => Command::write(offset, length),
            6 => Command::write_zeroes(offset, length),
            7 => Command::block_status(offset, length),
            8 => Command::trim(offset, length),
            _ => Command::flush(),
        };
        let flags = match rng.u8(..6) {
            0 => CommandFlags::DF,
            1 => CommandFlags::FUA,
            2 => CommandFlags::REQ_ONE,
            _ => CommandFlags::empty(),
        };
        let data = if command.command == CommandType::WRITE {
            (0..length).map(|_| if rng.u8(..3) == 0 { 0 } else { rng.u8(..) }).collect()
        } else {
            Vec::new()
        };
        // What does not go with this export is refused by the client itself: it wants something else next time.
        if self.client.submit(command.with_flags(flags), data, None, &mut self.ledger) {
            self.wishes -= 1;
        }
    }

    fn disturb(&mut self, rng: &mut Rng) {
        self.disturbed = true;
        let how = rng.u8(..5);
        self.cut |= how < 3;
        match how {
            // Both directions, with what is under way.
            0 => {
                self.to_server.cut(0);
                self.to_client.cut(0);
            }
            // One direction, at any byte of what is under way.
            1 => self.to_server.cut(rng.usize(..4000)),
            2 => self.to_client.cut(rng.usize(..4000)),
            // The server goes away in good order.
            3 => {
                self.server.begin_shutdown();
                self.ledger.shutting_down = true;
            }
            // The client has enough.
            _ => {
                self.client.disconnect();
                self.wishes = 0;
            }
        }
    }

    fn assert_sound(&self) {
        assert_eq!((self.client.in_flight(), self.server.in_flight()), (0, 0));
        self.ledger.assert_all_done();
        // Neither a shutdown nor a disconnect loses an answer.
        assert!(self.cut || self.ledger.cut_off == 0, "{} answers were lost", self.ledger.cut_off);
        if !self.disturbed {
            assert_eq!(self.client.error, Some(Error::Ended(Ended::ByUs)));
            assert_eq!(self.server.error, None);
        }
    }
}

/// Small and large pieces.
fn size(rng: &mut Rng) -> usize {
    match rng.u8(..4) {
        0 => rng.usize(1..4),
        1 => rng.usize(1..60),
        _ => rng.usize(1..6000),
    }
}

/// Runs what a seed means, and returns a digest of it.
fn run(seed: u64) -> u64 {
    let mut rng = Rng::with_seed(seed);
    let mut disk = vec![0; SIZE as usize];
    let mut sessions: Vec<Session> = Vec::new();
    let (mut begun, mut now) = (0, 0);
    while begun < SESSIONS_PER_SEED || !sessions.is_empty() {
        now += 1;
        assert!(now < 4_000_000, "it does not come to an end");
        if begun < SESSIONS_PER_SEED && sessions.len() < AT_ONCE && (sessions.is_empty() || rng.u8(..50) == 0) {
            sessions.push(Session::new(&mut rng));
            begun += 1;
        }
        let which = rng.usize(..sessions.len());
        sessions[which].step(now, &mut rng, &mut disk);
        if sessions[which].is_over() {
            sessions.swap_remove(which).assert_sound();
        }
    }
    disk.iter().fold(now, |digest, byte| digest.rotate_left(5) ^ u64::from(*byte))
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

/// Tells the seed if the run under it fails.
struct Tell(u64);

impl Drop for Tell {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "the simulation failed; again: NBD_SIMULATION_SEED={} cargo test -p nbd-proto --test pair simulation",
                self.0
            );
        }
    }
}

/// Runs what a seed means: of each two the second is a client that replaces its connections. Returns how many
/// connections there were.
fn simulate(seed: u64) -> u64 {
    let _tell = Tell(seed);
    if seed % 2 == 1 {
        return reconnecting::run(seed);
    }
    run(seed);
    SESSIONS_PER_SEED
}

#[test]
fn no_network_makes_a_command_end_twice_never_or_wrongly() {
    if let Some(seed) = number("NBD_SIMULATION_SEED") {
        simulate(seed);
        return;
    }
    let wanted = number("NBD_SIMULATION_SESSIONS").unwrap_or(2000);
    let (next, plain, replaced) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while plain.load(Ordering::Relaxed) + replaced.load(Ordering::Relaxed) < wanted {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let kind = if seed % 2 == 1 { &replaced } else { &plain };
                    kind.fetch_add(simulate(seed), Ordering::Relaxed);
                }
            });
        }
    });
    let [seeds, plain, replaced] = [next, plain, replaced].map(AtomicU64::into_inner);
    println!("{} sessions from {seeds} seeds were simulated, {replaced} of clients that reconnect", plain + replaced);
}

#[test]
fn a_seed_means_the_same_each_time() {
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}
