//! Each fault by itself, at its worst.

use nbd_driver_mio::nbd_proto::transmission::{ClientSettings, ServerSettings};

use crate::faults::{Connect, Faults, Kind, Reset, TO_CLIENT, TO_SERVER, Trouble};
use crate::world::{Outcome, Plan};

/// Runs the plan with some seeds. That all ends well is found out there, where the faults are harmless.
fn run(plan: &Plan) -> Vec<Outcome> {
    (0..20).map(|seed| plan.clone().run(seed)).collect()
}

fn trouble(direction: usize, at: u64, kind: Kind) -> Faults {
    Faults { trouble: Some(Trouble { direction, at, kind }), ..Faults::NONE }
}

#[test]
fn short_reads_and_writes_of_one_byte_lose_nothing() {
    let mut plan = Plan::new(Faults { short: 1, ..Faults::NONE });
    plan.wishes.longest = 2000;
    let outcomes = run(&plan);
    assert!(outcomes.iter().all(|outcome| outcome.met.short_reads > 0 && outcome.met.short_writes > 0));
    assert!(outcomes.iter().all(|outcome| outcome.succeeded == 20));
}

#[test]
fn vectored_calls_that_fill_a_part_of_the_first_piece_lose_nothing() {
    let plan = Plan::new(Faults { part_of_first: 255, ..Faults::NONE });
    assert!(run(&plan).iter().all(|outcome| outcome.met.parts_of_first > 0 && outcome.succeeded == 20));
}

#[test]
fn wake_ups_for_nothing_do_no_harm() {
    let plan = Plan::new(Faults { spurious_event: 255, delay: 1000, capacity: 3000, ..Faults::NONE });
    assert!(run(&plan).iter().all(|outcome| outcome.succeeded == 20));
}

#[test]
fn wake_ups_that_are_told_late_do_no_harm() {
    let mut plan = Plan::new(Faults { late_event: 250, capacity: 3000, ..Faults::NONE });
    plan.habits.takes = 1;
    assert!(run(&plan).iter().all(|outcome| outcome.succeeded == 20));
}

#[test]
fn blocking_for_no_reason_is_made_good_by_the_event_that_follows() {
    let plan = Plan::new(Faults { would_block: 200, ..Faults::NONE });
    assert!(run(&plan).iter().all(|outcome| outcome.met.would_block > 0 && outcome.succeeded == 20));
}

#[test]
fn a_signal_in_any_call_is_no_error() {
    let plan = Plan::new(Faults { interrupted: 200, ..Faults::NONE });
    assert!(run(&plan).iter().all(|outcome| outcome.met.interrupted > 0 && outcome.succeeded == 20));
}

#[test]
fn a_network_that_holds_one_byte_still_moves_all() {
    let mut plan = Plan::new(Faults { capacity: 1, ..Faults::NONE });
    plan.wishes.longest = 500;
    assert!(run(&plan).iter().all(|outcome| outcome.met.full > 0 && outcome.succeeded == 20));
}

#[test]
fn both_sides_read_while_neither_can_send() {
    // Writes and reads at once, each far longer than what the network holds.
    let mut plan = Plan::new(Faults { capacity: 4000, ..Faults::NONE });
    plan.wishes.longest = 300_000;
    assert!(run(&plan).iter().all(|outcome| outcome.met.full > 0 && outcome.succeeded == 20));
}

#[test]
fn delays_of_any_length_do_no_harm() {
    let mut plan = Plan::new(Faults { delay: 10_000_000, ..Faults::NONE });
    plan.habits.thinks = 10_000_000;
    assert!(run(&plan).iter().all(|outcome| outcome.took.as_secs() > 0 && outcome.succeeded == 20));
}

#[test]
fn a_connection_that_is_accepted_late_is_used_then() {
    let plan = Plan::new(Faults { connect: Connect::Accepted(20), delay: 1000, ..Faults::NONE });
    assert!(run(&plan).iter().all(|outcome| outcome.met.not_connected == 20 && outcome.succeeded == 20));
}

#[test]
fn a_connection_that_is_refused_late_is_an_error_that_says_so() {
    let plan = Plan::new(Faults { connect: Connect::Refused(20), delay: 1000, ..Faults::NONE });
    for outcome in run(&plan) {
        assert_eq!((outcome.met.not_connected, outcome.client), (20, Err("connecting: connection refused".to_owned())));
    }
}

#[test]
fn a_connection_that_is_never_accepted_ends_at_its_deadline() {
    let plan = Plan::new(Faults { connect: Connect::Never, ..Faults::NONE }).with_deadlines();
    for outcome in run(&plan) {
        assert_eq!(outcome.client, Err("connecting: nothing came within 10000 s".to_owned()));
        assert_eq!(outcome.took.as_secs(), 10_000);
    }
}

#[test]
fn a_stream_that_takes_nothing_and_does_not_block_is_broken() {
    for direction in [TO_SERVER, TO_CLIENT] {
        for at in (0..300).chain((300..10_000).step_by(799)) {
            let outcome = Plan::new(trouble(direction, at, Kind::WriteZero)).run(1);
            assert!(outcome.met.trouble, "so much was not sent");
            let [theirs, other] = if direction == TO_SERVER {
                [outcome.client, outcome.server]
            } else {
                [outcome.server, outcome.client]
            };
            assert!(theirs.as_ref().is_err_and(|why| why.contains("write zero")), "at {at}: {theirs:?}");
            let clear = ["closed the connection", "broken pipe"];
            let why = other.expect_err("it ended in order");
            assert!(clear.iter().any(|words| why.contains(words)), "at {at}: {why}");
        }
    }
}

#[test]
fn the_end_of_one_direction_at_any_byte_ends_both_sides() {
    for direction in [TO_SERVER, TO_CLIENT] {
        for at in (0..600).chain((600..10_000).step_by(799)) {
            let outcome = Plan::new(trouble(direction, at, Kind::HalfClose)).run(1);
            assert!(outcome.met.trouble, "so much was not sent");
            for end in [outcome.client, outcome.server] {
                let why = end.expect_err("it ended in order");
                let clear = ["closed the connection", "broken pipe"];
                assert!(clear.iter().any(|words| why.contains(words)), "at {at}: {why}");
            }
        }
    }
}

#[test]
fn a_reset_at_any_byte_ends_both_sides() {
    for variant in 0..12 {
        let later = [[0, 0], [0, 5000], [5000, 0]][variant % 3];
        let reset = Reset { later, drained: variant % 2 == 0, pipe_first: variant / 6 == 0 };
        for direction in [TO_SERVER, TO_CLIENT] {
            let (mut pipes, mut resets) = (0, 0);
            // Together, the variants of each kind meet every byte.
            for at in (variant as u64 / 3 % 3..400).step_by(3).chain((400..10_000).step_by(799)) {
                let outcome = Plan::new(trouble(direction, at, Kind::Reset(reset))).run(1);
                assert!(outcome.met.trouble, "so much was not sent");
                for end in [outcome.client, outcome.server] {
                    let why = end.expect_err("it ended in order");
                    let clear = ["closed the connection", "broken pipe", "connection reset"];
                    assert!(clear.iter().any(|words| why.contains(words)), "at {at}: {why}");
                }
                pipes += outcome.met.broken_pipes;
                resets += outcome.met.resets;
            }
            assert!(if reset.pipe_first { pipes } else { resets } > 0, "nobody was told");
        }
    }
}

#[test]
fn thousands_of_requests_at_once_are_taken_as_there_is_room() {
    let mut plan = Plan::new(Faults::NONE);
    plan.wishes = crate::client::Wishes { count: 3000, depth: 2000, longest: 20 };
    plan.client = plan.client.with_engine(ClientSettings::default().with_max_in_flight(1500));
    plan.server = plan.server.with_engine(ServerSettings::default().with_max_in_flight(1500));
    for takes in [1, 7, usize::MAX] {
        plan.habits.takes = takes;
        let outcome = plan.clone().run(1);
        assert!(outcome.refused > 0 && outcome.succeeded == 3000, "{outcome:?}");
    }
}

#[test]
fn a_limit_of_one_byte_lets_one_request_through_at_a_time() {
    let mut plan = Plan::new(Faults::NONE);
    plan.client = plan.client.with_max_bytes(1);
    assert!(run(&plan).iter().all(|outcome| outcome.refused > 0 && outcome.succeeded == 20));
    plan.client = plan.client.with_max_bytes(64 << 20);
    plan.server = plan.server.with_max_bytes(1);
    plan.habits.thinks = 1000;
    for takes in [1, usize::MAX] {
        plan.habits.takes = takes;
        assert!(run(&plan).iter().all(|outcome| outcome.succeeded == 20));
    }
}
