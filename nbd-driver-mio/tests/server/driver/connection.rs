//! A connection, from its beginning to its end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::time::Instant;

use mio::event::Event;
use mio::{Interest, Registry, Token, Waker};
use nbd_driver_mio::nbd_proto::text::Escaped;
use nbd_driver_mio::nbd_proto::wire::flags::TransmissionFlags;
use nbd_driver_mio::nbd_proto::wire::number::{OptionCode, ReplyType};
use nbd_driver_mio::{Accepting, Question, Scratch, Socket, Turn};

use super::Site;
use super::export::Opened;
use super::running::Order;
use super::serving::Serving;

pub(super) struct Connection {
    number: usize,
    phase: Phase,
    /// What the client is about to use.
    opened: Option<Opened>,
    /// Whether it counts as a user of an export.
    established: bool,
    shutting_down: bool,
    /// For the threads.
    report: (Sender<Order>, Arc<Waker>),
}

enum Phase {
    Accepting(Box<Accepting>),
    Serving(Box<Serving>),
    Over,
}

impl Connection {
    pub(super) fn new(
        socket: Socket,
        number: usize,
        site: &Site,
        registry: &Registry,
        report: (Sender<Order>, Arc<Waker>),
    ) -> Self {
        let options = &site.options;
        let mut accepting =
            Accepting::new(socket, options.handshake.clone(), options.handshake_timeout, Instant::now());
        registry.register(&mut accepting, Token(number), Interest::READABLE).unwrap();
        let phase = Phase::Accepting(Box::new(accepting));
        Self { number, phase, opened: None, established: false, shutting_down: false, report }
    }

    pub(super) fn ready(&mut self, event: &Event) {
        match &mut self.phase {
            Phase::Accepting(accepting) => accepting.ready(event),
            Phase::Serving(serving) => serving.server.ready(event),
            Phase::Over => {}
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Accepting(accepting) => accepting.deadline(),
            Phase::Serving(serving) => serving.server.deadline(),
            Phase::Over => None,
        }
    }

    pub(super) const fn is_half_open(&self) -> bool {
        !self.established
    }

    pub(super) fn returned(&mut self, outcome: super::jobs::Outcome) {
        if let Phase::Serving(serving) = &mut self.phase {
            serving.returned(outcome);
        }
    }

    pub(super) fn begin_shutdown(&mut self) {
        self.shutting_down = true;
        match &mut self.phase {
            Phase::Accepting(accepting) => accepting.begin_shutdown(),
            Phase::Serving(serving) => serving.server.begin_shutdown(),
            Phase::Over => {}
        }
    }

    /// It has had its time.
    pub(super) fn give_up(&mut self) {
        match &mut self.phase {
            Phase::Accepting(_) => self.phase = Phase::Over,
            Phase::Serving(serving) => serving.server.give_up("it did not end in time when the server was stopped"),
            Phase::Over => {}
        }
    }

    /// A turn. `Over` says that nothing is left of the connection.
    pub(super) fn turn(&mut self, scratch: &mut Scratch, site: &Site) -> Turn {
        let now = Instant::now();
        match &mut self.phase {
            Phase::Accepting(accepting) => match accepting.turn(scratch, now) {
                Err(_) => Turn::Over,
                Ok(Turn::Over) => self.enter(site),
                Ok(turn) => {
                    assert!(turn != Turn::Wait || accepting.deadline().is_none_or(|at| at > now), "it is late");
                    if let Some(question) = accepting.question().cloned() {
                        self.answer(&question, site);
                        Turn::Again
                    } else {
                        turn
                    }
                }
            },
            Phase::Serving(serving) => match serving.turn(scratch, now) {
                Turn::Over if serving.is_at_work() => Turn::Wait,
                turn => turn,
            },
            Phase::Over => Turn::Over,
        }
    }

    /// The handshake is through.
    fn enter(&mut self, site: &Site) -> Turn {
        let Phase::Accepting(accepting) = std::mem::replace(&mut self.phase, Phase::Over) else { return Turn::Over };
        let Some(mut server) = accepting.into_server(site.options.for_connection()).unwrap() else {
            return Turn::Over;
        };
        if self.shutting_down {
            server.begin_shutdown();
        }
        let backend = self.opened.take().unwrap().backend;
        let threads = site.options.threads_per_connection;
        let serving = Serving::new(server, backend, self.number, threads, self.report.clone());
        self.phase = Phase::Serving(Box::new(serving));
        Turn::Again
    }

    /// Answers what only the owner of the exports knows.
    fn answer(&mut self, question: &Question, site: &Site) {
        // What was looked up before was not entered.
        self.step_back(site);
        let Phase::Accepting(accepting) = &mut self.phase else { return };
        let (option, name) = match question {
            Question::List => {
                let exports = site.exports.iter().map(|export| (&export.name[..], &export.description[..]));
                return accepting.list(exports).unwrap();
            }
            Question::LookUp { option, name, .. } => (*option, name),
        };
        let Some(export) = site.exports.iter().find(|export| export.name == *name) else {
            let message = match &name[..] {
                "" => "there is no default export here; ask for one by its name".to_owned(),
                name => format!("there is no export \"{}\" here", Escaped(name)),
            };
            return accepting.refuse(ReplyType::ERR_UNKNOWN, &message).unwrap();
        };
        let enters = matches!(option, OptionCode::GO | OptionCode::EXPORT_NAME);
        let limit = site.options.max_connections;
        if enters && site.established.load(Ordering::SeqCst) >= limit {
            let message = format!("the limit of clients at once is reached ({limit})");
            return accepting.refuse(ReplyType::ERR_POLICY, &message).unwrap();
        }
        match export.open(site.options.connection.max_bytes) {
            Err(failure) => accepting.refuse(ReplyType::ERR_POLICY, &failure.message).unwrap(),
            Ok(mut opened) => {
                opened.offer.flags.set(
                    TransmissionFlags::CAN_MULTI_CONN,
                    opened.offer.flags.contains(TransmissionFlags::CAN_MULTI_CONN) && limit > 1,
                );
                if enters {
                    self.established = true;
                    site.established.fetch_add(1, Ordering::SeqCst);
                }
                accepting.offer(&opened.offer).unwrap();
                self.opened = enters.then_some(opened);
            }
        }
    }

    fn step_back(&mut self, site: &Site) {
        self.opened = None;
        if std::mem::take(&mut self.established) {
            site.established.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Nothing is left of it.
    pub(super) fn end(mut self, site: &Site) {
        if let Phase::Serving(serving) = std::mem::replace(&mut self.phase, Phase::Over) {
            serving.end();
        }
        self.step_back(site);
    }
}
