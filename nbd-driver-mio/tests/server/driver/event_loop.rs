//! The loop. A connection has a turn after an event, at its deadline, after a call of ours, and when it said that more is
//! left: never otherwise, so that a wake-up that the driver loses shows as a hang.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use nbd_driver_mio::{Scratch, Socket, Turn};
use nbd_driver_std::server::Listener;
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};

use super::Site;
use super::connection::Connection;
use super::running::{Order, Summary};

const WAKER: Token = Token(usize::MAX);

/// How long a stop waits, after it has hung up on everybody, for calls of backends.
const LAST_MOMENT: Duration = Duration::from_secs(1);

pub(super) struct EventLoop {
    site: Site,
    listeners: Vec<Listener>,
    poll: Poll,
    waker: Arc<Waker>,
    /// Those for connections to hand to their threads.
    sender: Sender<Order>,
    orders: Receiver<Order>,
    scratch: Scratch,
    connections: BTreeMap<usize, Connection>,
    /// Who is to have a turn.
    due: BTreeSet<usize>,
    next: usize,
    stop: Stop,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    No,
    /// Since this time, clients are let finish.
    Begun(Instant),
    /// Since this time, only calls of backends are waited for.
    HungUp(Instant),
}

impl EventLoop {
    pub(super) fn new(site: Site, listeners: Vec<Listener>, sender: Sender<Order>, orders: Receiver<Order>) -> Self {
        let poll = Poll::new().unwrap();
        let waker = Arc::new(Waker::new(poll.registry(), WAKER).unwrap());
        for (number, listener) in listeners.iter().enumerate() {
            let fd = listener.as_fd().as_raw_fd();
            poll.registry().register(&mut SourceFd(&fd), Token(number), Interest::READABLE).unwrap();
        }
        let next = listeners.len();
        Self {
            site,
            listeners,
            poll,
            waker,
            sender,
            orders,
            scratch: Scratch::new(),
            connections: BTreeMap::new(),
            due: BTreeSet::new(),
            next,
            stop: Stop::No,
        }
    }

    pub(super) fn waker(&self) -> Arc<Waker> {
        self.waker.clone()
    }

    pub(super) fn run(mut self) -> Summary {
        let first = self.next;
        let mut events = Events::with_capacity(64);
        loop {
            let patience = if self.due.is_empty() { self.patience() } else { Some(Duration::ZERO) };
            match self.poll.poll(&mut events, patience) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                other => other.unwrap(),
            }
            for event in &events {
                match event.token() {
                    WAKER => {}
                    Token(number) if number < first => self.accept(number),
                    Token(number) => {
                        if let Some(connection) = self.connections.get_mut(&number) {
                            connection.ready(event);
                            self.due.insert(number);
                        }
                    }
                }
            }
            while let Ok(order) = self.orders.try_recv() {
                self.obey(order);
            }
            let now = Instant::now();
            let late =
                self.connections.iter().filter(|(_, connection)| connection.deadline().is_some_and(|at| at <= now));
            self.due.extend(late.map(|(number, _)| *number));
            self.stop_further(now);
            for number in std::mem::take(&mut self.due) {
                self.turn(number);
            }
            if self.stop != Stop::No && (self.connections.is_empty() || self.is_late()) {
                return Summary { connections: (self.next - first) as u64, left_behind: self.connections.len() };
            }
        }
    }

    fn is_late(&self) -> bool {
        matches!(self.stop, Stop::HungUp(since) if since.elapsed() >= LAST_MOMENT)
    }

    fn patience(&self) -> Option<Duration> {
        let stop = match self.stop {
            Stop::No => None,
            Stop::Begun(since) => since.checked_add(self.site.options.stop_grace),
            Stop::HungUp(since) => since.checked_add(LAST_MOMENT),
        };
        let deadline = self.connections.values().filter_map(Connection::deadline).chain(stop).min()?;
        Some(deadline.saturating_duration_since(Instant::now()))
    }

    fn turn(&mut self, number: usize) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        match connection.turn(&mut self.scratch, &self.site) {
            Turn::Wait => {}
            Turn::Again => {
                self.due.insert(number);
            }
            Turn::Over => {
                if let Some(connection) = self.connections.remove(&number) {
                    connection.end(&self.site);
                }
            }
        }
    }

    fn accept(&mut self, listener: usize) {
        while let Some(listener) = self.listeners.get(listener) {
            let socket = match accept_with(listener, SocketFlags::CLOEXEC) {
                Err(Errno::AGAIN) => return,
                // A client may have gone before it was seen.
                Err(Errno::CONNABORTED | Errno::INTR) => continue,
                other => other.unwrap(),
            };
            let number = self.next;
            self.next += 1;
            let Ok(socket) = Socket::from_fd(socket) else { continue };
            let report = (self.sender.clone(), self.waker.clone());
            let connection = Connection::new(socket, number, &self.site, self.poll.registry(), report);
            self.connections.insert(number, connection);
            self.due.insert(number);
            let half_open = || self.connections.iter().filter(|(_, connection)| connection.is_half_open());
            if half_open().count() > self.site.options.max_connections {
                let oldest = half_open().map(|(number, _)| *number).next();
                if let Some(connection) = oldest.and_then(|number| self.connections.remove(&number)) {
                    connection.end(&self.site);
                }
            }
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Answer(number, outcome) => {
                if let Some(connection) = self.connections.get_mut(&number) {
                    connection.returned(outcome);
                    self.due.insert(number);
                }
            }
            Order::Stop if self.stop == Stop::No => {
                self.stop = Stop::Begun(Instant::now());
                self.listeners.clear();
                self.connections.values_mut().for_each(Connection::begin_shutdown);
                self.due.extend(self.connections.keys());
            }
            Order::Stop => {}
        }
    }

    /// The grace may be over.
    fn stop_further(&mut self, now: Instant) {
        let Stop::Begun(since) = self.stop else { return };
        if since.checked_add(self.site.options.stop_grace).is_some_and(|at| at <= now) {
            self.stop = Stop::HungUp(now);
            self.connections.values_mut().for_each(Connection::give_up);
            self.due.extend(self.connections.keys());
        }
    }
}
