//! What only the caller can tell: asked, and answered at any time.

use std::io::{ErrorKind, Read as _};
use std::time::Instant;

use nbd_driver_mio::nbd_proto::handshake::ServerHandshakeSettings;
use nbd_driver_mio::nbd_proto::wire::number::{OptionCode, ReplyType};
use nbd_driver_mio::{Accepting, Question, Scratch, ServerOptions, Turn};

use crate::one::{Readiness, SIZE, go, offer, option, pair};
use crate::raw::{ERR_POLICY, ERR_UNKNOWN, OPT_ABORT, OPT_EXPORT_NAME, OPT_LIST, REP_ACK, Raw};

const ERR_SHUTDOWN: u32 = 0x8000_0007;

struct Asked {
    accepting: Accepting,
    readiness: Readiness,
    scratch: Scratch,
    raw: Raw,
    now: Instant,
}

impl Asked {
    /// By a client that has said all of this at once behind its flags.
    fn by(options: &[Vec<u8>]) -> Self {
        let (socket, mut raw) = pair();
        raw.send(&[3u32.to_be_bytes().to_vec(), options.concat()].concat());
        let now = Instant::now();
        let mut accepting = Accepting::new(socket, ServerHandshakeSettings::default(), None, now);
        let readiness = Readiness::of(&mut accepting);
        let mut asked = Self { accepting, readiness, scratch: Scratch::new(), raw, now };
        asked.settle();
        let _greeting: [u8; 18] = asked.raw.bytes();
        asked
    }

    /// Turns until it waits.
    fn settle(&mut self) {
        while self.turn() == Turn::Again {}
    }

    fn try_turn(&mut self) -> Result<Turn, nbd_driver_mio::Error> {
        self.readiness.tell(|event| self.accepting.ready(event));
        self.accepting.turn(&mut self.scratch, self.now)
    }

    fn turn(&mut self) -> Turn {
        self.try_turn().unwrap()
    }

    /// The client has been told nothing.
    #[track_caller]
    fn expect_silence(&mut self) {
        self.raw.0.set_nonblocking(true).unwrap();
        assert_eq!(self.raw.0.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        self.raw.0.set_nonblocking(false).unwrap();
    }
}

fn look_up(option: OptionCode, name: &str) -> Question {
    Question::LookUp { option, name: name.into(), asks_block_sizes: false }
}

#[test]
fn are_answered_one_by_one_and_as_late_as_the_caller_likes() {
    let mut asked = Asked::by(&[option(OPT_LIST, &[]), go("none"), go("disk")]);
    assert_eq!(asked.accepting.question(), Some(&Question::List));
    for _ in 0..3 {
        assert_eq!(asked.turn(), Turn::Wait);
        asked.expect_silence();
    }
    asked.accepting.list([("disk", "a disk"), ("more", "")]).unwrap();
    assert_eq!(asked.accepting.question(), None);
    asked.settle();
    for name in ["disk", "more"] {
        let (kind, payload) = asked.raw.option_reply();
        assert_eq!((kind, &payload[4..8]), (2, name.as_bytes()));
    }
    assert_eq!(asked.raw.option_reply().0, REP_ACK);
    assert_eq!(asked.accepting.question(), Some(&look_up(OptionCode::GO, "none")));
    assert_eq!(asked.turn(), Turn::Wait);
    asked.expect_silence();
    asked.accepting.refuse(ReplyType::ERR_UNKNOWN, "there is none").unwrap();
    asked.settle();
    assert_eq!(asked.raw.option_reply(), (ERR_UNKNOWN, b"there is none".to_vec()));
    assert_eq!(asked.accepting.question(), Some(&look_up(OptionCode::GO, "disk")));
    asked.accepting.offer(&offer()).unwrap();
    assert_eq!(asked.turn(), Turn::Over);
    while asked.raw.option_reply().0 != REP_ACK {}
    let server = asked.accepting.into_server(ServerOptions::default()).unwrap().unwrap();
    assert_eq!(server.negotiated().info.size, SIZE);
}

#[test]
fn take_no_answer_to_another_question() {
    let mut asked = Asked::by(&[option(OPT_LIST, &[])]);
    asked.accepting.offer(&offer()).unwrap_err();
    assert_eq!(asked.accepting.question(), Some(&Question::List));
    asked.expect_silence();
    asked.accepting.list([]).unwrap();
    asked.accepting.list([]).unwrap_err();
    asked.accepting.refuse(ReplyType::ERR_POLICY, "").unwrap_err();
    asked.settle();
    assert_eq!(asked.raw.option_reply().0, REP_ACK);
    asked.expect_silence();
}

#[test]
fn of_lists_can_be_refused() {
    let mut asked = Asked::by(&[option(OPT_LIST, &[])]);
    asked.accepting.refuse(ReplyType::ERR_POLICY, "that is secret").unwrap();
    asked.settle();
    assert_eq!(asked.raw.option_reply(), (ERR_POLICY, b"that is secret".to_vec()));
}

#[test]
fn of_old_clients_end_the_connection_when_they_are_refused() {
    let mut asked = Asked::by(&[option(OPT_EXPORT_NAME, b"none")]);
    assert_eq!(asked.accepting.question(), Some(&look_up(OptionCode::EXPORT_NAME, "none")));
    asked.accepting.refuse(ReplyType::ERR_UNKNOWN, "there is none").unwrap();
    let error = asked.try_turn().unwrap_err();
    assert!(error.to_string().contains("turned away"), "{error}");
    drop(asked.accepting);
    asked.raw.expect_end();
}

#[test]
fn of_which_there_are_none_before_a_goodbye_lead_to_no_server() {
    let mut asked = Asked::by(&[option(OPT_ABORT, &[])]);
    assert_eq!(asked.turn(), Turn::Over);
    assert_eq!(asked.raw.option_reply().0, REP_ACK);
    assert!(asked.accepting.into_server(ServerOptions::default()).unwrap().is_none());
}

#[test]
fn that_are_open_are_no_reason_to_be_a_server_already() {
    let asked = Asked::by(&[go("disk")]);
    assert!(asked.accepting.question().is_some());
    asked.accepting.into_server(ServerOptions::default()).unwrap_err();
}

#[test]
fn are_not_asked_any_more_once_the_server_is_shut_down() {
    let mut asked = Asked::by(&[]);
    asked.accepting.begin_shutdown();
    asked.raw.send(&[option(OPT_LIST, &[]), go("disk")].concat());
    assert_eq!(asked.turn(), Turn::Over);
    assert_eq!(asked.accepting.question(), None);
    for _ in 0..2 {
        // NBD_REP_ERR_SHUTDOWN
        assert_eq!(asked.raw.option_reply().0, 0x8000_0007);
    }
}

#[test]
fn in_a_shutdown_it_is_answered_first_and_what_came_behind_it_is_told() {
    let mut asked = Asked::by(&[option(OPT_LIST, &[]), option(OPT_LIST, &[])]);
    asked.accepting.begin_shutdown();
    assert_eq!(asked.turn(), Turn::Wait);
    asked.accepting.list([]).unwrap();
    while asked.turn() != Turn::Over {}
    assert_eq!([(); 2].map(|()| asked.raw.option_reply().0), [REP_ACK, ERR_SHUTDOWN]);
    assert!(asked.accepting.into_server(ServerOptions::default()).unwrap().is_none());
    asked.raw.expect_end();
}

#[test]
fn without_one_a_shutdown_ends_the_handshake_at_once() {
    let mut asked = Asked::by(&[]);
    asked.accepting.begin_shutdown();
    assert_eq!(asked.turn(), Turn::Over);
    assert_eq!(asked.accepting.deadline(), None);
    assert!(asked.accepting.into_server(ServerOptions::default()).unwrap().is_none());
}

#[test]
fn one_that_is_not_over_does_not_become_a_server_and_one_that_has_failed_stays_so() {
    let waiting = Asked::by(&[option(OPT_LIST, &[])]);
    let error = waiting.accepting.into_server(ServerOptions::default()).unwrap_err().to_string();
    assert_eq!(error, "the handshake is not finished");
    let mut failed = Asked::by(&[]);
    failed.raw.send(b"this is no option");
    let error = failed.try_turn().unwrap_err().to_string();
    assert_eq!(failed.try_turn().unwrap_err().to_string(), error);
    assert_eq!(failed.accepting.into_server(ServerOptions::default()).unwrap_err().to_string(), error);
}
