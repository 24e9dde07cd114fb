//! Many client connections in one loop on one thread.

use std::io;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};
use nbd_driver_mio::nbd_proto::handshake::{Connect, ConnectSettings};
use nbd_driver_mio::{Client, ClientOptions, ConnectTimeouts, Connecting, Scratch, Socket, Stream, Turn};

use crate::due::Due;
use crate::site::EVENTS;

/// How many handshakes go on at once: fewer than the queue of a listening socket holds.
const HANDSHAKES: usize = 64;

pub(crate) struct Fleet<S: Stream = Socket> {
    poll: Poll,
    events: Events,
    scratch: Scratch,
    links: Vec<Link<S>>,
    due: Due,
    /// How many are not over.
    open: usize,
}

enum Link<S: Stream> {
    Connecting(Box<Connecting<Connect, S>>),
    Open(Box<Client<S>>),
    Over,
}

impl<S: Stream> Fleet<S> {
    /// Makes this many connections, each over a stream from `open`, which is told its number.
    pub(crate) fn connect(count: usize, options: ClientOptions, mut open: impl FnMut(usize) -> io::Result<S>) -> Self {
        let (events, scratch) = (Events::with_capacity(EVENTS), Scratch::new());
        let (links, due) = (Vec::with_capacity(count), Due::default());
        let mut fleet = Self { poll: Poll::new().unwrap(), events, scratch, links, due, open: count };
        let mut made = 0;
        while made < count {
            while fleet.links.len() < count.min(made + HANDSHAKES) {
                let index = fleet.links.len();
                let stream = open(index).unwrap();
                let (settings, timeouts) = (ConnectSettings::new(""), ConnectTimeouts::default());
                let mut connecting = Connecting::new(stream, settings, timeouts, Instant::now());
                fleet.poll.registry().register(&mut connecting, Token(index), Interest::READABLE).unwrap();
                fleet.links.push(Link::Connecting(Box::new(connecting)));
                fleet.due.push(index);
            }
            fleet.wait();
            for _ in 0..fleet.due.len() {
                let index = fleet.due.pop().unwrap();
                made += usize::from(fleet.shake_hands(index, options));
            }
        }
        fleet
    }

    /// Whether that was the end of the handshake.
    fn shake_hands(&mut self, index: usize, options: ClientOptions) -> bool {
        let Link::Connecting(connecting) = &mut self.links[index] else { return false };
        let turn = connecting.turn(&mut self.scratch, Instant::now()).unwrap();
        match turn {
            Turn::Over => {
                if let Link::Connecting(connecting) = std::mem::replace(&mut self.links[index], Link::Over) {
                    self.links[index] = Link::Open(Box::new(connecting.into_client(options).unwrap()));
                }
            }
            Turn::Again => self.due.push(index),
            Turn::Wait => {}
        }
        turn == Turn::Over
    }

    /// Waits until somebody is due a turn.
    fn wait(&mut self) {
        let patience = (self.due.len() > 0).then_some(Duration::ZERO);
        match self.poll.poll(&mut self.events, patience) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return,
            Err(error) => panic!("{error}"),
        }
        for event in &self.events {
            let Token(index) = event.token();
            match &mut self.links[index] {
                Link::Connecting(connecting) => connecting.ready(event),
                Link::Open(client) => client.ready(event),
                Link::Over => continue,
            }
            self.due.push(index);
        }
    }

    /// The connection of this number, while it is open. A turn is due to it.
    pub(crate) fn client(&mut self, index: usize) -> &mut Client<S> {
        self.due.push(index);
        match &mut self.links[index] {
            Link::Open(client) => client,
            _ => panic!("connection {index} is not open"),
        }
    }

    /// Gives a turn to each that is due one, after waiting for that. `visit` is shown each after its turn, and says
    /// whether it handed in a request.
    pub(crate) fn round(&mut self, visit: &mut impl FnMut(usize, &mut Client<S>) -> bool) {
        self.wait();
        for _ in 0..self.due.len() {
            let index = self.due.pop().unwrap();
            let Link::Open(client) = &mut self.links[index] else { continue };
            let (mut turn, mut asked) = (Turn::Wait, false);
            // The second one sends what the first one brought about.
            for _ in 0..2 {
                turn = client.turn(&mut self.scratch, Instant::now());
                asked = visit(index, client);
                if !asked {
                    break;
                }
            }
            if turn == Turn::Over {
                assert!(matches!(client.end(), Some(Ok(()))), "connection {index}: {:?}", client.end());
                self.links[index] = Link::Over;
                self.open -= 1;
            } else if asked || turn == Turn::Again {
                self.due.push(index);
            }
        }
    }

    /// Says goodbye on all connections, and sees to it that all end well.
    pub(crate) fn disconnect(mut self) {
        for index in 0..self.links.len() {
            self.client(index).disconnect();
        }
        while self.open > 0 {
            self.round(&mut |_, _| false);
        }
    }
}
