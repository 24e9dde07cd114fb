//! What is kept, and for how long.

use nbd_proto::resume::{Broken, End, Journal, JournalSettings};
use nbd_proto::transmission::Command;
use nbd_proto::wire::flags::{CommandFlags, TransmissionFlags};
use nbd_proto::wire::number::{CommandType, ErrorValue};

use crate::support::{all, failure, journal, limited, negotiated, reconnect, run, sendable, submit};

#[test]
fn a_flush_releases_what_was_done_before_it_was_sent_and_nothing_else() {
    let mut journal = journal();
    let ids = submit(&mut journal, [Command::write(0, 1), Command::write(10, 1), Command::write(20, 1)]);
    assert_eq!(sendable(&mut journal), ids);
    assert_eq!(journal.done(ids[0], &Ok(())), End::Told { keep: true });
    let flush = journal.submit(Command::flush());
    assert_eq!(journal.done(ids[1], &Ok(())), End::Told { keep: true });
    assert_eq!(sendable(&mut journal), [flush]);
    assert_eq!(journal.done(ids[2], &Ok(())), End::Told { keep: true });
    assert_eq!(journal.released(), None);
    assert_eq!(journal.done(flush, &Ok(())), End::Told { keep: false });
    assert_eq!([journal.released(), journal.released(), journal.released()], [Some(ids[0]), Some(ids[1]), None]);
    assert_eq!(journal.kept(), 1);
    reconnect(&mut journal);
    assert_eq!(sendable(&mut journal), [ids[2]]);
}

#[test]
fn a_flush_that_fails_is_the_callers_and_releases_nothing() {
    let mut journal = journal();
    submit(&mut journal, [Command::write(0, 1)]);
    run(&mut journal);
    let flush = journal.submit(Command::flush());
    assert_eq!(sendable(&mut journal), [flush]);
    let error = failure(Command::flush(), ErrorValue::EIO);
    assert_eq!(journal.done(flush, &Err(error)), End::Told { keep: false });
    assert_eq!((journal.released(), journal.kept()), (None, 1));
}

#[test]
fn what_is_written_through_is_not_kept_and_waits_for_what_it_covers() {
    let mut journal = journal();
    let through = |offset| Command::write(offset, 100).with_flags(CommandFlags::FUA);
    let alone = journal.submit(through(0));
    assert_eq!(sendable(&mut journal), [alone]);
    assert_eq!(journal.done(alone, &Ok(())), End::Told { keep: false });
    submit(&mut journal, [Command::write(0, 10)]);
    run(&mut journal);
    let covering = journal.submit(through(5));
    let beside = journal.submit(through(200));
    let (first, flush) = (journal.next_to_send().unwrap().0, journal.next_to_send().unwrap());
    assert_eq!((first, flush.1), (beside, Command::flush()));
    assert_eq!(sendable(&mut journal), []);
    assert_eq!(journal.done(flush.0, &Ok(())), End::Own);
    assert_eq!(sendable(&mut journal), [covering]);
    assert_eq!(journal.done(covering, &Ok(())), End::Told { keep: false });
}

#[test]
fn at_half_of_what_may_be_kept_the_journal_flushes() {
    let mut journal = limited(4 * 1128);
    let ids = submit(&mut journal, (0..2).map(|at| Command::write(at * 1000, 1000)));
    assert_eq!(sendable(&mut journal), ids);
    assert_eq!(journal.done(ids[0], &Ok(())), End::Told { keep: true });
    assert_eq!(sendable(&mut journal), []);
    assert_eq!(journal.done(ids[1], &Ok(())), End::Told { keep: true });
    let (flush, command) = journal.next_to_send().unwrap();
    assert_eq!(command, Command::flush());
    // One is enough.
    assert_eq!(journal.next_to_send(), None);
    assert_eq!(journal.active(), 1);
    assert_eq!(journal.done(flush, &Ok(())), End::Own);
    assert_eq!((journal.released(), journal.kept()), (Some(ids[0]), 0));
}

#[test]
fn changes_wait_for_room_in_turn_and_others_do_not() {
    let mut journal = limited(2256);
    let changes = submit(&mut journal, (0..3).map(|at| Command::write(at * 1000, 1000)));
    let others = submit(&mut journal, [Command::trim(50_000, 1), Command::read(0, 1), Command::flush()]);
    // The third has no room, and so the small one behind it has none.
    assert_eq!(sendable(&mut journal), [changes[0], changes[1], others[1], others[2]]);
    run_all(&mut journal, &[changes[0], changes[1], others[1], others[2]]);
    run(&mut journal);
    assert_eq!(journal.active(), 0);
}

fn run_all(journal: &mut Journal, ids: &[nbd_proto::resume::EntryId]) {
    for id in ids {
        assert!(matches!(journal.done(*id, &Ok(())), End::Told { .. } | End::Own));
    }
}

#[test]
fn one_change_that_is_larger_than_all_that_may_be_kept_goes_alone() {
    let mut journal = limited(1);
    let ids = submit(&mut journal, [Command::write(0, 5000), Command::write(10_000, 5000)]);
    assert_eq!(sendable(&mut journal), ids[..1]);
    assert_eq!(journal.done(ids[0], &Ok(())), End::Told { keep: true });
    let (flush, command) = journal.next_to_send().unwrap();
    assert_eq!((command, journal.next_to_send()), (Command::flush(), None));
    assert_eq!(journal.done(flush, &Ok(())), End::Own);
    assert_eq!(sendable(&mut journal), ids[1..]);
}

#[test]
fn a_promise_that_cannot_be_kept_is_the_end() {
    let mut journal = journal();
    let write = Command::write(0, 1);
    let id = journal.submit(write);
    run(&mut journal);
    reconnect(&mut journal);
    sendable(&mut journal);
    let error = failure(write, ErrorValue::ENOSPC);
    let End::Broken(broken) = journal.done(id, &Err(error.clone())) else { panic!("it goes on") };
    assert_eq!(broken, Broken::Change { command: write, error });
    submit(&mut journal, [Command::read(0, 1)]);
    assert_eq!(sendable(&mut journal), []);

    let mut journal = limited(1);
    submit(&mut journal, [write]);
    let id = sendable(&mut journal)[0];
    assert_eq!(journal.done(id, &Ok(())), End::Told { keep: true });
    let flush = sendable(&mut journal)[0];
    let error = failure(Command::flush(), ErrorValue::EIO);
    assert_eq!(journal.done(flush, &Err(error.clone())), End::Broken(Broken::Flush { error }));
    assert_eq!(sendable(&mut journal), []);
}

#[test]
fn where_nothing_says_what_is_safe_nothing_is_kept() {
    let flags = all() - TransmissionFlags::SEND_FLUSH;
    let mut journal = Journal::new(&negotiated(1 << 20, flags), JournalSettings::default().with_max_kept(1));
    let ids = submit(&mut journal, (0..3).map(|at| Command::write(at * 1000, 1000)));
    assert_eq!(sendable(&mut journal), ids);
    for id in ids {
        assert_eq!(journal.done(id, &Ok(())), End::Told { keep: false });
    }
    assert_eq!(journal.kept(), 0);
}

#[test]
fn very_many_kept_changes_are_sent_again_in_one_go_each() {
    const MANY: u64 = 50_000;
    let mut journal = limited(u64::MAX);
    for at in 0..MANY {
        let id = journal.submit(Command::write(at, 1));
        assert_eq!(journal.next_to_send().unwrap().0, id);
        assert_eq!(journal.done(id, &Ok(())), End::Told { keep: true });
    }
    reconnect(&mut journal);
    let mut again = 0;
    while let Some((id, command)) = journal.next_to_send() {
        assert_eq!(command.command, CommandType::WRITE);
        assert_eq!(journal.done(id, &Ok(())), End::Own);
        again += 1;
    }
    assert_eq!(again, MANY);
}
