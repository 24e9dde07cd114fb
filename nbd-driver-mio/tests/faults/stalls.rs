//! Streams that stall: nothing arrives any more, and nobody is told. Only deadlines end that, wherever it happens.

use crate::faults::{Faults, Kind, TO_CLIENT, TO_SERVER, Trouble};
use crate::world::{Outcome, Plan};

fn stall(direction: usize, at: u64) -> Outcome {
    let trouble = Some(Trouble { direction, at, kind: Kind::Stall });
    let mut plan = Plan::new(Faults { trouble, ..Faults::NONE }).with_deadlines();
    // Long ones: most bytes are in the middle of a payload.
    plan.wishes.longest = 200_000;
    let outcome = plan.run(1);
    assert!(outcome.met.trouble, "so much was not sent");
    outcome
}

#[test]
fn a_server_gives_up_on_a_client_that_stalls_at_any_byte() {
    for at in (0..300).chain((300..100_000).step_by(1999)) {
        let outcome = stall(TO_SERVER, at);
        let Err(why) = outcome.server else { panic!("stalled at {at}, and in order") };
        let clear = ["took longer than", "sent nothing for", "took no bytes for"];
        assert!(clear.iter().any(|words| why.contains(words)), "stalled at {at}: {why}");
        assert!(outcome.client.is_err(), "{:?}", outcome.client);
    }
}

#[test]
fn a_client_gives_up_on_a_server_that_stalls_at_any_byte() {
    for at in (0..300).chain((300..100_000).step_by(1999)) {
        let outcome = stall(TO_CLIENT, at);
        let Err(why) = outcome.client else { panic!("stalled at {at}, and in order") };
        let clear = ["nothing came within", "not answered within"];
        assert!(clear.iter().any(|words| why.contains(words)), "stalled at {at}: {why}");
        assert!(outcome.server.is_err(), "{:?}", outcome.server);
    }
}
