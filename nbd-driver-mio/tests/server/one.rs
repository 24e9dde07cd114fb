//! One connection of a server, driven by hand: in one thread with its client, which is made of bytes. Time stands still
//! unless a test moves it.

use std::io::{ErrorKind, Read as _};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use bytes::BytesMut;
use mio::event::Event;
use mio::{Events, Interest, Poll, Token};
use nbd_driver_mio::nbd_proto::handshake::{HandshakeStyle, Offer, ServerHandshakeSettings};
use nbd_driver_mio::nbd_proto::transmission::{Request, RequestId};
use nbd_driver_mio::nbd_proto::wire::flags::TransmissionFlags;
use nbd_driver_mio::{Accepting, Buffer, Scratch, Server, ServerEvent, ServerOptions, Socket, Turn};

use crate::raw::{OPT_GO, Raw};

pub(crate) const SIZE: u64 = 1 << 30;

/// The events of one connection.
pub(crate) struct Readiness {
    poll: Poll,
    events: Events,
}

impl Readiness {
    pub(crate) fn of(source: &mut impl mio::event::Source) -> Self {
        let poll = Poll::new().unwrap();
        poll.registry().register(source, Token(0), Interest::READABLE).unwrap();
        Self { poll, events: Events::with_capacity(8) }
    }

    /// Hands over what there is by now. Unix sockets have no delay.
    pub(crate) fn tell(&mut self, ready: impl FnMut(&Event)) {
        self.poll.poll(&mut self.events, Some(std::time::Duration::ZERO)).unwrap();
        self.events.iter().for_each(ready);
    }
}

pub(crate) struct One {
    pub(crate) server: Server,
    pub(crate) raw: Raw,
    pub(crate) now: Instant,
    readiness: Readiness,
    scratch: Scratch,
}

/// Both ends of a connection.
pub(crate) fn pair() -> (Socket, Raw) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (Socket::from_fd(ours).unwrap(), Raw::given(theirs))
}

pub(crate) fn option(option: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap();
    [b"IHAVEOPT", &option.to_be_bytes()[..], &length.to_be_bytes(), payload].concat()
}

pub(crate) fn go(name: &str) -> Vec<u8> {
    let length = u32::try_from(name.len()).unwrap();
    option(OPT_GO, &[&length.to_be_bytes()[..], name.as_bytes(), &[0, 0]].concat())
}

/// All that a client says before its first request, with simple replies.
pub(crate) fn hello() -> Vec<u8> {
    [&3u32.to_be_bytes()[..], &go("disk")].concat()
}

pub(crate) fn offer() -> Offer {
    Offer::new(SIZE, TransmissionFlags::SEND_FLUSH | TransmissionFlags::SEND_TRIM)
}

impl One {
    /// About to take requests, with simple replies.
    pub(crate) fn open(options: ServerOptions) -> Self {
        let mut one = Self::said(options, HandshakeStyle::FixedNewstyle, &hello());
        let _greeting: [u8; 18] = one.raw.bytes();
        while one.raw.option_reply().0 != 1 {}
        one
    }

    /// After a client has said all of this at once. What it was answered is to be read.
    pub(crate) fn said(options: ServerOptions, style: HandshakeStyle, bytes: &[u8]) -> Self {
        let (socket, mut raw) = pair();
        raw.send(bytes);
        let (now, mut scratch) = (Instant::now(), Scratch::new());
        let settings = ServerHandshakeSettings::default().with_style(style);
        let mut accepting = Accepting::new(socket, settings, None, now);
        let mut readiness = Readiness::of(&mut accepting);
        loop {
            let turn = accepting.turn(&mut scratch, now).unwrap();
            let answered = accepting.answer_from(&[("disk", offer()), ("", offer())]).unwrap();
            match turn {
                Turn::Over => break,
                Turn::Wait if !answered => panic!("it awaits more"),
                _ => readiness.tell(|event| accepting.ready(event)),
            }
        }
        let server = accepting.into_server(options).unwrap().unwrap();
        Self { server, raw, now, readiness, scratch }
    }

    /// One turn, with the events that there are.
    pub(crate) fn turn(&mut self) -> Turn {
        self.readiness.tell(|event| self.server.ready(event));
        self.server.turn(&mut self.scratch, self.now)
    }

    /// Turns until it waits or is over, and all that it tells.
    pub(crate) fn settle(&mut self) -> Vec<ServerEvent> {
        let mut told = Vec::new();
        loop {
            let turn = self.turn();
            told.extend(std::iter::from_fn(|| self.server.event()));
            if turn != Turn::Again {
                return told;
            }
        }
    }

    /// The same where it tells nothing but requests.
    #[track_caller]
    pub(crate) fn requests(&mut self) -> Vec<Request> {
        self.settle()
            .into_iter()
            .map(|event| match event {
                ServerEvent::Request { request, .. } => request,
                done @ ServerEvent::Done { .. } => panic!("{done:?}"),
            })
            .collect()
    }

    /// The same where it tells nothing but the end of requests.
    #[track_caller]
    pub(crate) fn dones(&mut self) -> Vec<(RequestId, Buffer, bool)> {
        self.settle()
            .into_iter()
            .map(|event| match event {
                ServerEvent::Done { id, buffer, sent } => (id, buffer, sent),
                request @ ServerEvent::Request { .. } => panic!("{request:?}"),
            })
            .collect()
    }

    /// The same where it tells of one request, with its payload.
    #[track_caller]
    pub(crate) fn request(&mut self) -> (Request, BytesMut) {
        match self.settle().pop() {
            Some(ServerEvent::Request { request, payload }) => (request, payload),
            other => panic!("{other:?}"),
        }
    }

    /// The same where it tells of the end of one.
    #[track_caller]
    pub(crate) fn done(&mut self) -> (RequestId, Buffer, bool) {
        let mut dones = self.dones();
        assert_eq!(dones.len(), 1);
        dones.remove(0)
    }

    /// What the client has got by now and not read yet.
    pub(crate) fn received(&mut self) -> Vec<u8> {
        let (mut all, mut some) = (Vec::new(), vec![0; 64 << 10]);
        self.raw.0.set_nonblocking(true).unwrap();
        loop {
            match self.raw.0.read(&mut some) {
                Ok(0) => break,
                Ok(count) => all.extend_from_slice(&some[..count]),
                Err(error) => break assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
        self.raw.0.set_nonblocking(false).unwrap();
        all
    }

    pub(crate) fn is_over(&self) -> bool {
        self.server.end().is_some()
    }

    /// What its end says, unless it was in order.
    #[track_caller]
    pub(crate) fn error(&self) -> String {
        self.server.end().expect("it is not over").expect_err("it ended in order").to_string()
    }

    #[track_caller]
    pub(crate) fn assert_ended_in_order(&self) {
        assert!(matches!(self.server.end(), Some(Ok(()))), "{:?}", self.server.end());
    }
}
