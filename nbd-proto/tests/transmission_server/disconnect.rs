//! A soft disconnect: nothing more is read, all outstanding requests are answered, then it is finished (spec,
//! `NBD_CMD_DISC`).

use nbd_proto::wire::number::{CommandType, ErrorValue};

use crate::harness::{Seen, each_style};

const DISC: CommandType = CommandType::DISC;
const FLUSH: CommandType = CommandType::FLUSH;

#[test]
fn nothing_behind_it_is_read() {
    each_style(|link| {
        link.ask(1, DISC, 0, 0);
        assert!(link.server.is_disconnecting() && !link.server.wants_read());
        link.ask(2, FLUSH, 0, 0);
        link.feed(b"rubbish");
        assert_eq!((link.seen(), link.requests.len(), link.error.as_ref()), (vec![Seen::Disconnect], 0, None));
        assert!(link.pending.ends_with(b"rubbish"));
    });
}

#[test]
fn it_has_no_answer() {
    each_style(|link| {
        link.ask(1, DISC, 0, 0);
        assert_eq!((link.outbound(), link.server.in_flight(), link.server.is_finished()), (vec![], 0, true));
    });
}

// "The values of the length and offset fields in a disconnect request MUST be zero": nothing hangs on them.
#[test]
fn its_fields_mean_nothing() {
    each_style(|link| {
        link.ask_with(1, DISC, nbd_proto::wire::flags::CommandFlags::all(), u64::MAX, 4);
        assert!(link.server.is_finished());
    });
}

#[test]
fn it_is_finished_when_the_last_byte_is_sent_and_its_done_is_told() {
    each_style(|link| {
        link.ask(1, FLUSH, 0, 0);
        link.ask(2, FLUSH, 0, 0);
        link.ask(3, CommandType(77), 0, 0);
        link.ask(4, DISC, 0, 0);
        assert!(!link.server.is_finished());
        link.finish(1).unwrap();
        link.send_all();
        assert!(!link.server.is_finished());
        link.fail(0, ErrorValue::EIO).unwrap();
        let left = link.outbound().len();
        for _ in 0..left {
            assert!(!link.server.is_finished());
            link.send(1);
        }
        assert!(link.server.is_finished() && link.server.over().is_none());
        assert_eq!(link.seen().last(), Some(&Seen::Done(0, true)));
    });
}

#[test]
fn a_request_answered_by_the_engine_is_waited_for_too() {
    each_style(|link| {
        link.ask(3, CommandType(77), 0, 0);
        link.ask(4, DISC, 0, 0);
        let left = link.outbound().len();
        link.send(left - 1);
        assert!(!link.server.is_finished());
        link.send(1);
        assert!(link.server.is_finished());
    });
}

// A client may close its half at once, and still take answers.
#[test]
fn the_end_of_the_stream_means_nothing_after_it() {
    each_style(|link| {
        link.ask(1, FLUSH, 0, 0);
        link.ask(2, DISC, 0, 0);
        link.server.eof();
        link.poll();
        assert_eq!((link.error.as_ref(), link.server.over()), (None, None));
        link.finish(0).unwrap();
        assert_eq!(link.answers(), [(1, 0)]);
        link.server.eof();
        link.poll();
        assert!(link.server.is_finished() && link.error.is_none());
    });
}

#[test]
fn who_did_not_get_all_answers_is_not_finished() {
    each_style(|link| {
        link.ask(1, FLUSH, 0, 0);
        link.ask(2, DISC, 0, 0);
        link.server.give_up("the client takes no answers");
        link.poll();
        assert_eq!(link.seen().last(), Some(&Seen::Done(0, false)));
        assert!(link.error.is_some() && !link.server.is_finished());
    });
}
