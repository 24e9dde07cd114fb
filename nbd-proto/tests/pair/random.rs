//! Random commands, cut, delayed, failed and answered in any order: each ends once, as the server answered it, and the
//! data is right.

use nbd_proto::transmission::{Checks, Command};
use nbd_proto::wire::flags::CommandFlags;
use nbd_proto::wire::number::{CommandType, ErrorValue};
use proptest::prelude::*;

use crate::world::{MAXIMUM, SIZE, STYLES, Setup, World};

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    Submit(Command),
    ClientSends(usize),
    ServerReceives(usize, bool),
    Serve(usize, Option<ErrorValue>),
    ServerSends(usize),
    ClientReceives(usize, bool),
    Cut,
}

fn command() -> impl Strategy<Value = Command> {
    let kind = prop_oneof![
        8 => prop::sample::select(vec![
            CommandType::READ,
            CommandType::WRITE,
            CommandType::FLUSH,
            CommandType::TRIM,
            CommandType::CACHE,
            CommandType::WRITE_ZEROES,
            CommandType::BLOCK_STATUS,
        ]),
        1 => (8..12u16).prop_map(CommandType),
    ];
    let flags = prop_oneof![
        4 => Just(CommandFlags::empty()),
        2 => prop::sample::select(vec![
            CommandFlags::FUA,
            CommandFlags::NO_HOLE,
            CommandFlags::DF,
            CommandFlags::REQ_ONE,
            CommandFlags::FAST_ZERO,
        ]),
        1 => any::<u16>().prop_map(|bits| CommandFlags::from_bits_retain(bits) - CommandFlags::PAYLOAD_LEN),
    ];
    let offset = prop_oneof![8 => 0..SIZE, 2 => (0..SIZE / 512).prop_map(|at| at * 512), 1 => any::<u64>()];
    let length = prop_oneof![4 => 1..600u64, 2 => (1..8u64).prop_map(|at| at * 512), 1 => 0..MAXIMUM + 600];
    (kind, flags, offset, length).prop_map(|(command, flags, offset, length)| Command {
        command,
        flags,
        offset,
        length,
    })
}

fn step() -> impl Strategy<Value = Step> {
    let count = || prop_oneof![1..40usize, 1..5000usize];
    let failure = prop::option::weighted(
        0.15,
        prop::sample::select(vec![ErrorValue::EIO, ErrorValue::ENOSPC, ErrorValue::ENOMEM, ErrorValue(200)]),
    );
    prop_oneof![
        5 => command().prop_map(Step::Submit),
        4 => count().prop_map(Step::ClientSends),
        4 => (count(), any::<bool>()).prop_map(|(count, land)| Step::ServerReceives(count, land)),
        4 => (any::<usize>(), failure).prop_map(|(which, failure)| Step::Serve(which, failure)),
        4 => count().prop_map(Step::ServerSends),
        4 => (count(), any::<bool>()).prop_map(|(count, land)| Step::ClientReceives(count, land)),
    ]
}

fn setup() -> impl Strategy<Value = Setup> {
    let style = prop::sample::select(STYLES.to_vec());
    let minimum = prop_oneof![3 => Just(1u32), 1 => Just(512u32)];
    (style, any::<bool>(), prop::bool::weighted(0.1), minimum, any::<bool>(), 1..24usize, 1..24usize).prop_map(
        |(style, contexts, read_only, minimum, strict, many, taken)| Setup {
            contexts: contexts && Setup::new(style).contexts,
            read_only,
            minimum,
            checks: if strict { Checks::all() } else { Checks::empty() },
            many,
            taken,
            ..Setup::new(style)
        },
    )
}

fn take(world: &mut World, step: &Step) {
    match *step {
        Step::Submit(command) => {
            world.submit(command);
        }
        Step::ClientSends(count) => {
            world.client_sends(count);
        }
        Step::ServerReceives(count, land) => {
            world.server_receives(count, land);
        }
        Step::Serve(which, failure) => world.serve(which, failure),
        Step::ServerSends(count) => {
            world.server_sends(count);
        }
        Step::ClientReceives(count, land) => {
            world.client_receives(count, land);
        }
        Step::Cut => world.cut(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_command_ends_once_and_rightly(
        setup in setup(),
        chunk in 1..200usize,
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut world = World::connected(setup, chunk);
        for step in &steps {
            take(&mut world, step);
            prop_assert!(world.server.in_flight() <= world.setup.taken);
        }
        world.settle(chunk, chunk % 2 == 0);
    }

    #[test]
    fn a_cut_ends_every_command_and_every_request(
        setup in setup(),
        steps in prop::collection::vec(step(), 1..60),
        after in prop::collection::vec(step(), 0..10),
    ) {
        let mut world = World::connected(setup, 1000);
        for step in &steps {
            take(&mut world, step);
        }
        take(&mut world, &Step::Cut);
        prop_assert_eq!((world.client.in_flight(), world.server.in_flight()), (0, 0));
        prop_assert!(world.client.error.is_some() && world.server.error.is_some());
        // Whatever is called now changes nothing.
        for step in &after {
            take(&mut world, step);
        }
        world.ledger.assert_all_done();
    }
}
