//! A client that replaces its connections by a journal, and a server that is cut off, restarts without what was not
//! flushed, answers what nobody hears, and takes longer than the client waits.
//!
//! What a server has of a connection that is gone it may still carry out until the next one has been made; then it
//! forgets it. That is what the journal assumes of a server.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use nbd_proto::error::CommandError;
use nbd_proto::handshake::Negotiated;
use nbd_proto::resume::{End, EntryId, Journal, JournalSettings, same_export};
use nbd_proto::transmission::{Command, RequestId};
use nbd_proto::wire::flags::CommandFlags;
use nbd_proto::wire::number::CommandType;

use crate::client::ClientSide;
use crate::history::History;
use crate::ledger::Ledger;
use crate::server::ServerSide;
use crate::store::Store;
use crate::wire::Wire;
use crate::world::{SIZE, STYLES, Setup};

/// Everything happens here, so that requests meet.
const PLAYGROUND: usize = 512;

/// One connection.
struct Link {
    client: ClientSide,
    server: ServerSide,
    ledger: Ledger,
    to_server: Wire,
    to_client: Wire,
    /// Which of the journal's commands is which of the ledger's.
    ids: BTreeMap<usize, EntryId>,
    /// What has had its effect, and was not answered yet.
    carried_out: BTreeSet<RequestId>,
    /// Whether the journal was told of it.
    joined: bool,
    /// Whether the client says goodbye when nothing is in flight.
    leaving: bool,
}

/// What the caller waits for.
struct Open {
    command: Command,
    /// The number of a change in the history.
    step: u64,
    /// How far the disk had come when it was submitted: for a read by what was seen, for a flush by what was told.
    before: Vec<u64>,
}

struct Client {
    setup: Setup,
    journal: Option<Journal>,
    first: Option<Negotiated>,
    link: Link,
    /// A server that has not noticed yet that its client is gone.
    old: Option<Link>,
    open: BTreeMap<EntryId, Open>,
    /// What writes carry that may be sent again.
    data: BTreeMap<EntryId, Vec<u8>>,
    told: BTreeSet<EntryId>,
    wishes: usize,
    /// Those that came to the transmission phase.
    connections: u64,
    store: Store,
    history: History,
    settings: JournalSettings,
}

impl Link {
    fn new(setup: &Setup) -> Self {
        Self {
            client: setup.client(),
            server: setup.server(),
            ledger: Ledger::default(),
            to_server: Wire::default(),
            to_client: Wire::default(),
            ids: BTreeMap::new(),
            carried_out: BTreeSet::new(),
            joined: false,
            leaving: false,
        }
    }

    fn serve(&mut self, rng: &mut Rng, store: &mut Store) {
        let which = rng.usize(..);
        let due = self.server.due_request(which).map(|(request, _)| request.id);
        if due.is_some_and(|id| self.carried_out.contains(&id)) && rng.u8(..8) > 0 {
            return;
        }
        if let Some(request) = self.server.serve(which, None, &mut store.current, &mut self.ledger) {
            if !self.carried_out.remove(&request.id) {
                store.did(&request);
            }
        }
    }

    /// The server carries something out, and will say so later: answers need not come in the order of effects.
    fn carry_out(&mut self, rng: &mut Rng, store: &mut Store) {
        let Some((request, payload)) = self.server.due_request(rng.usize(..)) else { return };
        let range = request.offset as usize..(request.offset + request.length) as usize;
        match request.command {
            CommandType::WRITE => store.current[range].copy_from_slice(payload),
            CommandType::WRITE_ZEROES | CommandType::TRIM => store.current[range].fill(0),
            CommandType::FLUSH => {}
            _ => return,
        }
        if self.carried_out.insert(request.id) {
            store.did(&request);
        }
    }

    fn step(&mut self, now: u64, rng: &mut Rng, store: &mut Store) {
        let (count, land) = (rng.usize(1..2000), rng.bool());
        match rng.u8(..5) {
            0 => self.to_server.send(self.client.take_output(count, &mut self.ledger), now + rng.u64(..8)),
            1 => {
                if let Some(bytes) = self.to_server.receive(count, now) {
                    self.server.deliver(&bytes, land, &mut self.ledger);
                } else if self.to_server.take_end() {
                    self.server.eof(&mut self.ledger);
                }
            }
            2 if rng.bool() => self.carry_out(rng, store),
            2 => self.serve(rng, store),
            3 => self.to_client.send(self.server.take_output(count, &mut self.ledger), now + rng.u64(..8)),
            _ => {
                if let Some(bytes) = self.to_client.receive(count, now) {
                    self.client.deliver(&bytes, land, &mut self.ledger);
                } else if self.to_client.take_end() {
                    self.client.eof(&mut self.ledger);
                }
            }
        }
        if self.server.is_finished() && !self.server.wants_write() {
            self.to_client.end();
        }
    }
}

impl Client {
    fn new(rng: &mut Rng) -> Self {
        let style = STYLES[rng.usize(..STYLES.len())];
        let (many, taken) = (rng.usize(1..12), rng.usize(1..12));
        let setup = Setup { contexts: false, many, taken, ..Setup::new(style) };
        let max_kept = [1, 700, 3000, 1 << 20][rng.usize(..4)];
        Self {
            link: Link::new(&setup),
            setup,
            journal: None,
            first: None,
            old: None,
            open: BTreeMap::new(),
            data: BTreeMap::new(),
            told: BTreeSet::new(),
            wishes: rng.usize(10..80),
            connections: 0,
            store: Store::new(SIZE as usize),
            history: History::new(PLAYGROUND),
            settings: JournalSettings::default().with_max_kept(max_kept),
        }
    }

    /// The connection may have come to be one.
    fn join(&mut self) {
        let Some(negotiated) = self.link.client.negotiated().filter(|_| !self.link.joined) else { return };
        if let (Some(journal), Some(first)) = (&mut self.journal, &self.first) {
            same_export(first, negotiated).unwrap();
            journal.connected();
        } else {
            self.first = Some(negotiated.clone());
            self.journal = Some(Journal::new(negotiated, self.settings));
        }
        self.link.joined = true;
        self.connections += 1;
        self.old = None;
    }

    fn wish(&mut self, rng: &mut Rng) {
        let Some(journal) = &mut self.journal else { return };
        if self.wishes == 0 || self.open.len() >= 16 {
            return;
        }
        self.wishes -= 1;
        let at = rng.usize(..PLAYGROUND);
        let length = rng.usize(1..=(PLAYGROUND - at).min(150));
        let (offset, count) = (at as u64, length as u64);
        let through = if rng.u8(..5) == 0 { CommandFlags::FUA } else { CommandFlags::empty() };
        let command = match rng.u8(..12) {
            0..=3 => Command::read(offset, count),
            4..=7 => Command::write(offset, count).with_flags(through),
            8 => Command::write_zeroes(offset, count).with_flags(through),
            9 => Command::trim(offset, count).with_flags(through),
            _ => Command::flush(),
        };
        let id = journal.submit(command);
        let mut open = Open { command, step: 0, before: Vec::new() };
        match command.command {
            CommandType::READ => open.before = self.history.seen(at, length),
            CommandType::FLUSH => open.before = self.history.told(),
            CommandType::WRITE => {
                let bytes: Vec<u8> = std::iter::repeat_with(|| rng.u8(1..)).take(length).collect();
                open.step = self.history.change(at, &bytes);
                self.data.insert(id, bytes);
            }
            _ => open.step = self.history.change(at, &vec![0; length]),
        }
        self.open.insert(id, open);
    }

    /// Hands over what may go out.
    fn load(&mut self) {
        let Some(journal) = self.journal.as_mut().filter(|_| self.link.joined) else { return };
        while let Some((id, command)) = journal.next_to_send() {
            let data = match command.command {
                CommandType::WRITE => self.data.get(&id).expect("the bytes of a write are gone too early").clone(),
                _ => Vec::new(),
            };
            let number = self.link.ledger.len();
            if !self.link.client.submit(command, data, None, &mut self.link.ledger) {
                journal.put_back(id);
                break;
            }
            self.link.ids.insert(number, id);
        }
    }

    /// Takes what has ended.
    fn settle(&mut self) {
        for (number, result, buffer) in std::mem::take(&mut self.link.ledger.ended) {
            let Some(journal) = &mut self.journal else { unreachable!("nothing was sent") };
            let id = self.link.ids.remove(&number).expect("it ends once on a connection");
            match journal.done(id, &result) {
                End::Told { keep } => {
                    if !keep {
                        self.data.remove(&id);
                    }
                    self.tell(id, &result, &buffer);
                }
                End::Own => {}
                // The server shuts down, or the connection is over in any case.
                End::Again => self.link.leaving = true,
                End::Broken(broken) => panic!("{broken}"),
            }
        }
        if self.link.leaving && self.link.client.in_flight() == 0 {
            self.link.client.disconnect();
        }
        while let Some(id) = self.journal.as_mut().and_then(Journal::released) {
            assert!(self.told.contains(&id), "it is released before it was told");
            self.data.remove(&id);
        }
    }

    fn tell(&mut self, id: EntryId, result: &Result<(), CommandError>, buffer: &[u8]) {
        assert!(self.told.insert(id), "a command was told twice");
        let Open { command, step, before } = self.open.remove(&id).expect("it was submitted");
        result.as_ref().expect("nothing fails but connections");
        let (at, length) = (command.offset as usize, command.length as usize);
        match command.command {
            CommandType::READ => self.history.read(at, &before, buffer),
            CommandType::FLUSH => self.history.flushed(&before),
            _ => self.history.changed(at, length, step, command.flags.contains(CommandFlags::FUA)),
        }
    }

    fn disturb(&mut self, rng: &mut Rng) {
        // A handshake is as long as many a session: it would be all that is ever disturbed.
        if !self.link.joined && rng.u8(..8) > 0 {
            return;
        }
        match rng.u8(..5) {
            // The server restarts; the last it said may come through, to any byte.
            0 => {
                self.restart(rng);
                self.old = None;
                self.link.to_client.cut(rng.usize(..2000));
                self.link.to_server.cut(0);
                self.link.server = self.setup.server();
                self.link.server.eof(&mut self.link.ledger);
            }
            // The network loses one direction, or both, at any byte.
            1 => self.link.to_client.cut(rng.usize(..2000)),
            2 => {
                self.link.to_server.cut(rng.usize(..2000));
                self.link.to_client.cut(rng.usize(..200));
            }
            // The server takes longer than the client waits.
            3 => self.link.client.give_up(&mut self.link.ledger),
            _ => {
                self.link.server.begin_shutdown();
                self.link.ledger.shutting_down = true;
                // A client that hears of it leaves, and one that does not waits too long.
                if rng.bool() {
                    self.link.client.give_up(&mut self.link.ledger);
                }
            }
        }
    }

    fn restart(&mut self, rng: &mut Rng) {
        self.store.restart(rng);
        self.history.restarted(&self.store.current[..PLAYGROUND]);
    }

    /// A connection that is over is replaced.
    fn replace(&mut self, rng: &mut Rng) {
        if !self.link.client.is_over() {
            return;
        }
        self.settle();
        if let Some(journal) = &mut self.journal {
            journal.lost();
        }
        let mut old = std::mem::replace(&mut self.link, Link::new(&self.setup));
        old.to_server.end();
        // It may have stopped, and may restart at any time.
        self.old = Some(old).filter(|_| rng.u8(..4) > 0);
        if rng.u8(..6) == 0 {
            self.restart(rng);
            self.old = None;
        }
    }

    fn is_through(&self) -> bool {
        self.wishes == 0 && self.open.is_empty() && self.journal.is_some()
    }
}

/// Runs what a seed means, and returns how many connections that took.
pub(crate) fn run(seed: u64) -> u64 {
    let mut rng = Rng::with_seed(seed);
    let mut client = Client::new(&mut rng);
    let hostility = [300, 1000, 4000][rng.usize(..3)];
    let mut now = 0;
    let mut flushed = false;
    loop {
        now += 1;
        assert!(now < 4_000_000, "it does not come to an end");
        // A network that never lets anything through proves nothing.
        if now < 50_000 && rng.u32(..1_000_000) < hostility {
            client.disturb(&mut rng);
        }
        match rng.u8(..8) {
            0 => client.wish(&mut rng),
            1 => client.load(),
            2 => client.old.iter_mut().for_each(|old| old.step(now, &mut rng, &mut client.store)),
            _ => client.link.step(now, &mut rng, &mut client.store),
        }
        client.join();
        client.settle();
        client.replace(&mut rng);
        if client.is_through() {
            if flushed {
                break;
            }
            flushed = true;
            client.finish();
        }
    }
    client.restart(&mut rng);
    client.history.ended(&client.store.current[..PLAYGROUND]);
    client.connections
}

impl Client {
    /// The last wish is a flush.
    fn finish(&mut self) {
        let Some(journal) = &mut self.journal else { return };
        let command = Command::flush();
        let id = journal.submit(command);
        self.open.insert(id, Open { command, step: 0, before: self.history.told() });
    }
}
