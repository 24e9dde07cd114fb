//! What goes out before what.

use nbd_proto::error::CommandError;
use nbd_proto::resume::End;
use nbd_proto::transmission::Command;
use nbd_proto::wire::flags::CommandFlags;
use nbd_proto::wire::number::ErrorValue;

use crate::support::{cut_off, failure, journal, reconnect, run, sendable, submit};

#[test]
fn changes_that_overlap_go_one_after_the_other_and_others_at_once() {
    let mut journal = journal();
    let commands = [
        Command::write(0, 100),
        Command::write_zeroes(50, 100),
        Command::trim(99, 1),
        Command::write(150, 10),
        Command::read(0, 1000),
    ];
    let ids = submit(&mut journal, commands);
    assert_eq!(sendable(&mut journal), [ids[0], ids[3], ids[4]]);
    assert_eq!(journal.done(ids[3], &Ok(())), End::Told { keep: true });
    assert_eq!(sendable(&mut journal), []);
    assert_eq!(journal.done(ids[0], &Ok(())), End::Told { keep: true });
    assert_eq!(sendable(&mut journal), [ids[1]]);
    // One that fails makes way as well.
    let error = failure(commands[1], ErrorValue::EIO);
    assert_eq!(journal.done(ids[1], &Err(error)), End::Told { keep: false });
    assert_eq!(sendable(&mut journal), [ids[2]]);
}

#[test]
fn what_was_in_flight_goes_out_again_in_its_order() {
    let mut journal = journal();
    let ids = submit(&mut journal, [Command::read(500, 10), Command::write(0, 100), Command::write(99, 100)]);
    assert_eq!(sendable(&mut journal), ids[..2]);
    assert_eq!(journal.done(ids[1], &Err(cut_off())), End::Again);
    // An answer that came before the end counts.
    assert_eq!(journal.done(ids[0], &Ok(())), End::Told { keep: false });
    assert_eq!(sendable(&mut journal), []);
    reconnect(&mut journal);
    assert_eq!(sendable(&mut journal), [ids[1]]);
    assert_eq!(journal.done(ids[1], &Ok(())), End::Told { keep: true });
    assert_eq!(sendable(&mut journal), [ids[2]]);
    run(&mut journal);
}

#[test]
fn a_read_waits_for_a_change_before_it_that_may_have_been_seen() {
    let mut journal = journal();
    let ids = submit(&mut journal, [Command::write(0, 100), Command::read(50, 10)]);
    // On a first connection they are in flight together.
    assert_eq!(sendable(&mut journal), ids);
    reconnect(&mut journal);
    let later = submit(&mut journal, [Command::read(99, 10), Command::read(100, 10), Command::block_status(0, 10)]);
    assert_eq!(sendable(&mut journal), [ids[0], later[1]]);
    assert_eq!(journal.done(ids[0], &Ok(())), End::Told { keep: true });
    assert_eq!(sendable(&mut journal), [ids[1], later[0], later[2]]);
}

#[test]
fn what_is_kept_is_done_again_before_anything_else_and_in_order() {
    let mut journal = journal();
    let ids = submit(&mut journal, [Command::write(0, 100), Command::write(200, 100), Command::write_zeroes(50, 10)]);
    run(&mut journal);
    assert_eq!((journal.kept(), journal.active()), (3, 0));
    let others = submit(&mut journal, [Command::flush(), Command::read(1000, 1)]);
    reconnect(&mut journal);
    assert!(journal.is_replaying());
    assert_eq!(sendable(&mut journal), ids[..2]);
    assert_eq!(journal.done(ids[1], &Ok(())), End::Own);
    assert_eq!(sendable(&mut journal), []);
    assert_eq!(journal.done(ids[0], &Ok(())), End::Own);
    assert_eq!(sendable(&mut journal), ids[2..]);
    assert_eq!(journal.done(ids[2], &Ok(())), End::Own);
    assert!(!journal.is_replaying());
    assert_eq!(sendable(&mut journal), others);
}

#[test]
fn a_replay_that_is_cut_off_begins_anew() {
    let mut journal = journal();
    let ids = submit(&mut journal, [Command::write(0, 100), Command::write(200, 100)]);
    run(&mut journal);
    reconnect(&mut journal);
    assert_eq!(sendable(&mut journal), ids);
    assert_eq!(journal.done(ids[0], &Ok(())), End::Own);
    assert_eq!(journal.done(ids[1], &Err(cut_off())), End::Again);
    reconnect(&mut journal);
    assert_eq!(sendable(&mut journal), ids);
}

#[test]
fn only_what_succeeded_may_be_slow_the_second_time() {
    let mut journal = journal();
    let fast = |offset| Command::write_zeroes(offset, 100).with_flags(CommandFlags::FAST_ZERO);
    let ids = submit(&mut journal, [fast(0), fast(200)]);
    sendable(&mut journal);
    assert_eq!(journal.done(ids[0], &Ok(())), End::Told { keep: true });
    reconnect(&mut journal);
    assert_eq!(journal.next_to_send(), Some((ids[0], Command::write_zeroes(0, 100))));
    assert_eq!(journal.done(ids[0], &Ok(())), End::Own);
    assert_eq!(journal.next_to_send(), Some((ids[1], fast(200))));
}

#[test]
fn a_server_that_shuts_down_is_as_good_as_gone() {
    let mut journal = journal();
    let ids = submit(&mut journal, [Command::read(0, 1), Command::read(1, 1)]);
    assert_eq!(journal.next_to_send().map(|(id, _)| id), Some(ids[0]));
    assert_eq!(journal.done(ids[0], &Err(failure(Command::read(0, 1), ErrorValue::ESHUTDOWN))), End::Again);
    assert_eq!(sendable(&mut journal), []);
    reconnect(&mut journal);
    assert_eq!(sendable(&mut journal), ids);
}

#[test]
fn what_finds_no_room_on_the_connection_keeps_its_place() {
    let mut journal = journal();
    let ids = submit(&mut journal, [Command::write(0, 1), Command::read(5, 1)]);
    assert_eq!(journal.next_to_send().map(|(id, _)| id), Some(ids[0]));
    journal.put_back(ids[0]);
    assert_eq!(sendable(&mut journal), ids);
    assert_eq!(journal.done(ids[0], &Ok(())), End::Told { keep: true });
    reconnect(&mut journal);
    assert_eq!(journal.next_to_send().map(|(id, _)| id), Some(ids[0]));
    journal.put_back(ids[0]);
    assert_eq!(sendable(&mut journal), [ids[0]]);
}

#[test]
fn an_answer_that_was_no_use_is_the_callers_and_no_loss() {
    let mut journal = journal();
    let ids = submit(&mut journal, [Command::block_status(0, 512), Command::read(0, 512)]);
    assert_eq!(sendable(&mut journal), ids);
    let too_large = CommandError::StatusTooLarge { limit: 1 };
    assert_eq!(journal.done(ids[0], &Err(too_large)), End::Told { keep: false });
    let later = submit(&mut journal, [Command::read(512, 512)]);
    assert_eq!(sendable(&mut journal), later, "the connection goes on");
    let names = [ids, later].concat();
    assert_eq!(names.iter().map(|id| id.number()).collect::<Vec<_>>(), [0, 1, 2]);
}
