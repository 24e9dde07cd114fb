//! A client and a server, and the two pipes between them.

use std::collections::VecDeque;

use nbd_proto::handshake::{ConnectSettings, Offer, ReplyStyle, ServerHandshakeSettings};
use nbd_proto::transmission::{Checks, ClientSettings, Command, ServerSettings};
use nbd_proto::wire::flags::TransmissionFlags;
use nbd_proto::wire::info::BlockSizes;
use nbd_proto::wire::number::{CommandType, ErrorValue};

use crate::client::ClientSide;
use crate::ledger::Ledger;
use crate::oracle::own_answer;
use crate::server::ServerSide;

/// Size of the export in bytes.
pub(crate) const SIZE: u64 = 16 * 1024;
/// Its maximum payload in bytes.
pub(crate) const MAXIMUM: u64 = 8 * 1024;

pub(crate) const STYLES: [ReplyStyle; 3] = [ReplyStyle::Simple, ReplyStyle::Structured, ReplyStyle::Extended];

/// What the two agree on.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) style: ReplyStyle,
    /// Whether contexts are selected: two of them.
    pub(crate) contexts: bool,
    pub(crate) read_only: bool,
    pub(crate) minimum: u32,
    pub(crate) checks: Checks,
    /// How many requests the client has in flight.
    pub(crate) many: usize,
    /// How many the server takes at once.
    pub(crate) taken: usize,
}

impl Setup {
    pub(crate) fn new(style: ReplyStyle) -> Self {
        Self {
            style,
            contexts: style != ReplyStyle::Simple,
            read_only: false,
            minimum: 1,
            checks: Checks::all(),
            many: 16,
            taken: 16,
        }
    }

    pub(crate) fn client(&self) -> ClientSide {
        let mut connect = ConnectSettings::new("disk")
            .with_extended_headers(self.style == ReplyStyle::Extended)
            .with_structured_replies(self.style == ReplyStyle::Structured);
        if self.contexts {
            connect = connect.with_meta_context("base:allocation").with_meta_context("x-test:other");
        }
        ClientSide::new(connect, ClientSettings::default().with_checks(self.checks).with_max_in_flight(self.many))
    }

    pub(crate) fn server(&self) -> ServerSide {
        let mut offer = Offer::new(SIZE, TransmissionFlags::all());
        offer.flags.set(TransmissionFlags::READ_ONLY, self.read_only);
        let sizes = BlockSizes { minimum: self.minimum, preferred: 4096, maximum: MAXIMUM as u32 };
        offer.block_sizes = Some(sizes);
        offer.contexts = vec!["base:allocation".to_owned(), "x-test:other".to_owned(), "x-test:third".to_owned()];
        let settings = ServerSettings::default().with_max_in_flight(self.taken);
        ServerSide::new(ServerHandshakeSettings::default(), offer, settings)
    }
}

pub(crate) struct World {
    pub(crate) setup: Setup,
    pub(crate) client: ClientSide,
    pub(crate) server: ServerSide,
    pub(crate) ledger: Ledger,
    pub(crate) disk: Vec<u8>,
    to_server: VecDeque<u8>,
    to_client: VecDeque<u8>,
    /// What the next write carries.
    next: u8,
}

impl World {
    /// Both ends, with nothing said yet.
    pub(crate) fn new(setup: Setup) -> Self {
        let mut disk: Vec<u8> = (0..SIZE).map(|at| (at / 7) as u8 | 1).collect();
        disk[1000..5000].fill(0);
        disk[12_288..].fill(0);
        Self {
            client: setup.client(),
            server: setup.server(),
            setup,
            ledger: Ledger::default(),
            disk,
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            next: 0,
        }
    }

    /// Both ends, in the transmission phase; the handshake went through in pieces of `chunk` bytes.
    pub(crate) fn connected(setup: Setup, chunk: usize) -> Self {
        let mut world = Self::new(setup);
        while world.client.negotiated().is_none() {
            assert!(world.turn(chunk, false), "the handshake stands still: {:?}", world.client.error);
        }
        world
    }

    /// Submits a command; false if the client does not take it.
    pub(crate) fn submit(&mut self, command: Command) -> bool {
        let mut data = Vec::new();
        if command.command == CommandType::WRITE {
            self.next = self.next.wrapping_add(41);
            data = (0..command.length).map(|at| (at as u8).wrapping_mul(3) ^ self.next).collect();
        }
        let own = own_answer(command, &self.setup);
        self.client.submit(command, data, own, &mut self.ledger)
    }

    /// Moves up to `count` bytes from the client onto the wire.
    pub(crate) fn client_sends(&mut self, count: usize) -> usize {
        let bytes = self.client.take_output(count, &mut self.ledger);
        self.to_server.extend(&bytes);
        bytes.len()
    }

    /// Moves up to `count` bytes from the server onto the wire.
    pub(crate) fn server_sends(&mut self, count: usize) -> usize {
        let bytes = self.server.take_output(count, &mut self.ledger);
        self.to_client.extend(&bytes);
        bytes.len()
    }

    /// Moves up to `count` bytes off the wire to the server.
    pub(crate) fn server_receives(&mut self, count: usize, land: bool) -> usize {
        let count = count.min(self.to_server.len());
        let bytes: Vec<_> = self.to_server.drain(..count).collect();
        self.server.deliver(&bytes, land, &mut self.ledger);
        count
    }

    /// Moves up to `count` bytes off the wire to the client.
    pub(crate) fn client_receives(&mut self, count: usize, land: bool) -> usize {
        let count = count.min(self.to_client.len());
        let bytes: Vec<_> = self.to_client.drain(..count).collect();
        self.client.deliver(&bytes, land, &mut self.ledger);
        count
    }

    pub(crate) fn serve(&mut self, which: usize, failure: Option<ErrorValue>) {
        self.server.serve(which, failure, &mut self.disk, &mut self.ledger);
    }

    /// The wire is cut: what is on it is lost, and both see the end.
    pub(crate) fn cut(&mut self) {
        self.to_client.clear();
        self.to_server.clear();
        self.server.eof(&mut self.ledger);
        self.client.eof(&mut self.ledger);
    }

    /// Everything moves by up to `chunk` bytes; false if nothing did.
    pub(crate) fn turn(&mut self, chunk: usize, land: bool) -> bool {
        let moved = self.client_sends(chunk)
            + self.server_receives(chunk, land)
            + self.server_sends(chunk)
            + self.client_receives(chunk, land);
        let due = self.server.due() > 0;
        self.serve(0, None);
        moved > 0 || due
    }

    /// All that was asked is answered.
    pub(crate) fn settle(&mut self, chunk: usize, land: bool) {
        while self.turn(chunk, land) {}
        assert_eq!((self.client.in_flight(), self.server.in_flight()), (0, 0));
        assert_eq!((self.client.error.as_ref(), self.server.error.as_ref()), (None, None));
        self.ledger.assert_all_done();
    }
}
