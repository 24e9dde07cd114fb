//! One client, one server, the network between them, and the loop that drives both.

use std::time::Duration;

use fastrand::Rng;
use nbd_driver_mio::nbd_proto::handshake::{ConnectSettings, ServerHandshakeSettings};
use nbd_driver_mio::nbd_proto::transmission::{ClientSettings, ServerSettings};
use nbd_driver_mio::{Accepting, ClientOptions, ConnectTimeouts, Connecting, Scratch, ServerOptions};

use crate::client::{ClientSide, Ending, Wishes};
use crate::faults::{Connect, Faults, NEVER, TO_CLIENT, TO_SERVER};
use crate::loop_rules::Clock;
use crate::network::{Met, Shared, network};
use crate::server::{Habits, ServerSide};

/// Everything that can be chosen.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) faults: Faults,
    pub(crate) wishes: Wishes,
    pub(crate) habits: Habits,
    pub(crate) client: ClientOptions,
    pub(crate) server: ServerOptions,
    pub(crate) timeouts: ConnectTimeouts,
    pub(crate) handshake_timeout: Option<Duration>,
    pub(crate) extended: bool,
    pub(crate) structured: bool,
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) client: Ending,
    pub(crate) server: Ending,
    pub(crate) succeeded: usize,
    pub(crate) lost: usize,
    pub(crate) refused: usize,
    pub(crate) met: Met,
    /// Simulated.
    pub(crate) took: Duration,
}

impl Plan {
    /// A plain one, without deadlines: whoever waits for ever is found out.
    pub(crate) fn new(faults: Faults) -> Self {
        Self {
            faults,
            wishes: Wishes { count: 20, depth: 8, longest: 20_000 },
            habits: Habits { thinks: 0, fails: 0, takes: usize::MAX },
            client: ClientOptions::default().with_close_timeout(Duration::MAX),
            server: ServerOptions::default(),
            timeouts: ConnectTimeouts { connect: None, idle: None, handshake: None },
            handshake_timeout: None,
            extended: true,
            structured: true,
        }
    }

    /// With all deadlines there are, far beyond what anything else takes.
    pub(crate) fn with_deadlines(mut self) -> Self {
        let limit = Some(Duration::from_secs(10_000));
        self.timeouts = ConnectTimeouts { connect: limit, idle: limit, handshake: limit };
        self.handshake_timeout = limit;
        self.client = self.client.with_request_timeout(limit).with_close_timeout(Duration::from_secs(10_000));
        self.server = self.server.with_idle_timeout(limit).with_stall_timeout(limit);
        self
    }

    pub(crate) fn random(rng: &mut Rng) -> Self {
        let wishes = Wishes {
            count: rng.usize(..30),
            depth: [1, rng.usize(1..8), rng.usize(1..40)][rng.usize(..3)],
            longest: [200, 10_000, 300_000][rng.usize(..3)],
        };
        let mut plan = Self::new(Faults::random(rng, (wishes.count * wishes.longest / 8) as u64));
        plan.wishes = wishes;
        plan.habits = Habits {
            thinks: [0, rng.u64(..50_000)][rng.usize(..2)],
            fails: [0, rng.u8(..50)][rng.usize(..2)],
            takes: [usize::MAX, rng.usize(1..4)][rng.usize(..2)],
        };
        let bytes = |rng: &mut Rng| [64 << 20, rng.usize(1..400_000)][rng.usize(..2)];
        let many = |rng: &mut Rng| [128, rng.usize(1..10)][rng.usize(..2)];
        plan.client = plan.client.with_max_bytes(bytes(rng));
        plan.client = plan.client.with_engine(ClientSettings::default().with_max_in_flight(many(rng)));
        plan.server = plan.server.with_max_bytes(bytes(rng));
        plan.server = plan.server.with_engine(ServerSettings::default().with_max_in_flight(many(rng)));
        plan.extended = rng.bool();
        plan.structured = rng.u8(..4) > 0;
        if plan.faults.is_silent() || rng.u8(..4) == 0 { plan.with_deadlines() } else { plan }
    }

    pub(crate) fn run(self, seed: u64) -> Outcome {
        World::new(self, seed).run()
    }
}

pub(crate) struct World {
    network: Shared,
    faults: Faults,
    rng: Rng,
    scratch: Scratch,
    client: ClientSide,
    server: ServerSide,
}

impl World {
    fn new(plan: Plan, seed: u64) -> Self {
        let (mut rng, clock) = (Rng::with_seed(seed), Clock::new());
        let (network, [ours, theirs]) = network(plan.faults.clone(), rng.fork());
        let settings = ConnectSettings::new("disk")
            .with_meta_context("base:allocation")
            .with_extended_headers(plan.extended)
            .with_structured_replies(plan.structured);
        let connecting = Connecting::new(ours, settings, plan.timeouts, clock.at(0));
        let settings = ServerHandshakeSettings::default();
        let accepting = Accepting::new(theirs, settings, plan.handshake_timeout, clock.at(0));
        let client = ClientSide::new(connecting, plan.client, plan.wishes, rng.fork(), Shared::clone(&network), clock);
        let mut server =
            ServerSide::new(accepting, plan.server, plan.habits, rng.fork(), Shared::clone(&network), clock);
        if !matches!(plan.faults.connect, Connect::Accepted(_)) {
            server.leave();
        }
        Self { network, faults: plan.faults, rng, scratch: Scratch::new(), client, server }
    }

    fn run(mut self) -> Outcome {
        let mut steps = 0;
        while self.step() {
            steps += 1;
            assert!(
                steps < 3_000_000,
                "it does not come to an end: {}; {}",
                self.client.describe(),
                self.server.describe()
            );
        }
        let network = self.network.borrow();
        let outcome = Outcome {
            client: self.client.end.clone().unwrap(),
            server: self.server.end.clone().unwrap(),
            succeeded: self.client.succeeded,
            lost: self.client.lost,
            refused: self.client.refused,
            met: network.met,
            took: Duration::from_micros(network.now),
        };
        drop(network);
        self.client.model.assert_is(&self.server.disk);
        if self.faults.is_harmless() {
            assert_eq!((&outcome.client, &outcome.server), (&Ok(()), &Ok(())));
            assert_eq!((outcome.lost, self.client.failed), (0, self.server.failed));
        }
        outcome
    }

    /// Says whether there is more to come.
    fn step(&mut self) -> bool {
        for side in [TO_SERVER, TO_CLIENT] {
            let busy = self.client.due.now || self.server.due.now;
            if busy && self.rng.u8(..) < self.faults.late_event {
                continue;
            }
            let event = self.network.borrow_mut().event(side);
            if let Some((readable, writable)) = event {
                self.tell(side, readable, writable);
            }
        }
        if self.faults.spurious_event > 0 && self.rng.u8(..) < self.faults.spurious_event {
            let (side, readable, writable) = (self.rng.usize(..2), self.rng.bool(), self.rng.bool());
            self.network.borrow_mut().told(side, readable, writable);
            self.tell(side, readable, writable);
        }
        self.server.answer();
        let now = self.network.borrow().now;
        // Who has more to do comes after those who have something new.
        let due = [&self.client.due, &self.server.due];
        let new = due.map(|due| due.is_due(now) && (!due.again || self.rng.u8(..4) == 0));
        match (if new == [false; 2] { due.map(|due| due.is_due(now)) } else { new }, self.rng.bool()) {
            ([true, false], _) | ([true, true], true) => self.client.turn(&mut self.scratch),
            ([false, true], _) | ([true, true], false) => self.server.turn(&mut self.scratch),
            ([false, false], _) => return self.pass_time(),
        }
        true
    }

    fn tell(&mut self, side: usize, readable: bool, writable: bool) {
        if side == TO_SERVER {
            self.client.ready(readable, writable);
        } else {
            self.server.ready(readable, writable);
        }
    }

    /// Nothing is to be done now: goes on to when something is.
    fn pass_time(&mut self) -> bool {
        if self.client.end.is_some() && self.server.end.is_some() {
            return false;
        }
        let mut network = self.network.borrow_mut();
        let events = network.next_event(TO_SERVER).min(network.next_event(TO_CLIENT));
        let deadlines = [self.client.due.deadline, self.server.due.deadline].into_iter().flatten().min();
        let next = events.min(deadlines.unwrap_or(NEVER)).min(self.server.next_answer());
        let state = || format!("{}; {}; {network:?}", self.client.describe(), self.server.describe());
        assert!(next != NEVER, "a wake-up was lost: {}", state());
        assert!(next > network.now, "time does not pass: {}", state());
        network.now = next;
        true
    }
}
