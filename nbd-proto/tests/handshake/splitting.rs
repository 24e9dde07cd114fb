//! Where the input is cut changes nothing; and no input at all makes anything panic.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::Debug;
use std::rc::Rc;

use nbd_proto::error::Error;
use nbd_proto::handshake::{
    ClientHandshake, Connect, ConnectSettings, Flow, HandshakeSettings, List, ListSettings, Negotiated, Status,
    TlsPolicy,
};
use nbd_proto::limits::HandshakeLimits;
use nbd_proto::wire::option::OptionRequest;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::bytes::greeting;
use crate::interactive::every_option;
use crate::peer::{Outcome, Peer};
use crate::plan::{any_connect, any_limits, any_list, any_pieces, any_plan, any_policy};

/// Plays a peer whole, byte by byte and in these pieces: always the same. Gives the outcome of the whole.
fn is_invariant<F: Flow>(
    peer: &Peer,
    flow: impl Fn() -> F,
    pieces: &[usize],
) -> Result<Outcome<F::Output>, TestCaseError>
where
    F::Output: Debug + PartialEq,
{
    let whole = peer.run(flow());
    prop_assert_eq!(&peer.run_bytewise(flow()), &whole);
    let mut pieces = pieces.iter().copied().cycle();
    prop_assert_eq!(&peer.run_in_pieces(flow(), &mut |_| pieces.next().unwrap()), &whole);
    Ok(whole)
}

/// An engine under a caller who chooses in a given order, as a flow: so it is driven as the flows are.
#[derive(Debug)]
struct Caller {
    handshake: ClientHandshake,
    choices: VecDeque<usize>,
    seen: Rc<RefCell<Vec<String>>>,
}

impl Caller {
    fn new(tls: TlsPolicy, limits: HandshakeLimits, choices: &[usize]) -> Self {
        let settings = HandshakeSettings::default().with_tls(tls).with_limits(limits);
        let choices = choices.iter().copied().collect();
        Self { handshake: ClientHandshake::new(settings), choices, seen: Rc::default() }
    }

    fn choose(&mut self, out: &mut Vec<u8>) {
        while self.handshake.status() == Status::Choose {
            let Some(choice) = self.choices.pop_front() else {
                self.handshake.give_up("nothing is left to choose");
                return;
            };
            let request: OptionRequest<'_> = every_option("disk").swap_remove(choice);
            if let Err(refused) = self.handshake.choose(&request, out) {
                self.seen.borrow_mut().push(refused.to_string());
            }
        }
    }
}

impl Flow for Caller {
    type Output = Negotiated;

    fn input(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, Error> {
        let advance = self.handshake.input(input, out)?;
        self.seen.borrow_mut().extend(advance.event.map(|event| format!("{event:?}")));
        self.choose(out);
        Ok(advance.consumed)
    }

    fn eof(&mut self) -> Error {
        self.handshake.eof()
    }

    fn give_up(&mut self, reason: &str) -> Error {
        self.handshake.give_up(reason)
    }

    fn tls_established(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        if self.handshake.tls_established().is_err() {
            return Err(self.handshake.give_up("no switch was agreed"));
        }
        self.choose(out);
        Ok(())
    }

    fn status(&self) -> Status {
        self.handshake.status()
    }

    fn finish(self) -> Result<Negotiated, Error> {
        self.handshake.finish()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 20_000, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn of_a_connect(plan in any_plan(), settings in any_connect(), pieces in any_pieces()) {
        let flow = || Connect::new(settings.clone());
        is_invariant(&plan.against(flow()), flow, &pieces)?;
    }

    #[test]
    fn of_a_listing(plan in any_plan(), settings in any_list(), pieces in any_pieces()) {
        let flow = || List::new(settings.clone());
        is_invariant(&plan.against(flow()), flow, &pieces)?;
    }

    #[test]
    fn of_a_caller(
        plan in any_plan(),
        (tls, limits) in (any_policy(), any_limits()),
        choices in vec(0usize..11, 0..12),
        pieces in any_pieces(),
    ) {
        let peer = plan.against(Caller::new(tls, limits, &choices));
        let runs = RefCell::new(Vec::new());
        let flow = || {
            let caller = Caller::new(tls, limits, &choices);
            runs.borrow_mut().push(Rc::clone(&caller.seen));
            caller
        };
        is_invariant(&peer, flow, &pieces)?;
        let seen = runs.into_inner();
        prop_assert_eq!(&seen[0], &seen[1], "whole, and byte by byte");
        prop_assert_eq!(&seen[0], &seen[2], "whole, and in pieces");
    }

    #[test]
    fn of_any_bytes_at_all(
        clear in vec(any::<u8>(), 0..200),
        tls in vec(any::<u8>(), 0..200),
        newstyle in any::<bool>(),
        policy in any_policy(),
        pieces in any_pieces(),
    ) {
        let hello = if newstyle { greeting(3) } else { Vec::new() };
        let peer = Peer { clear: [hello, clear].concat(), tls: Some(tls) };
        is_invariant(&peer, || Connect::new(ConnectSettings::new("").with_tls(policy)), &pieces)?;
        is_invariant(&peer, || List::new(ListSettings::default().with_tls(policy)), &pieces)?;
        is_invariant(&peer, || Caller::new(policy, HandshakeLimits::default(), &[2, 3, 4, 6, 8, 0]), &pieces)?;
    }
}

/// The plans are worth something only if many of them lead somewhere.
#[test]
fn plans_reach_every_end() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut ready, mut tls, mut failed, mut listed) = (0, 0, 0, 0);
    for _ in 0..1000 {
        let (plan, connect, list) = (any_plan(), any_connect(), any_list()).new_tree(&mut runner).unwrap().current();
        let run = plan.against(Connect::new(connect.clone())).run(Connect::new(connect));
        tls += u32::from(run.tls.is_some());
        match run.result() {
            Ok(_) => ready += 1,
            Err(_) => failed += 1,
        }
        let run = plan.against(List::new(list.clone())).run(List::new(list));
        listed += u32::from(run.result().is_ok_and(|listing| !listing.exports.is_empty()));
    }
    assert!(ready > 200 && tls > 100 && failed > 200 && listed > 50, "{ready} {tls} {failed} {listed}");
}
