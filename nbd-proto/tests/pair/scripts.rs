//! Every command in every style, in pieces of every size.

use nbd_proto::transmission::Command;
use nbd_proto::wire::flags::CommandFlags;

use crate::world::{STYLES, Setup, World};

fn script() -> Vec<Command> {
    vec![
        Command::read(0, 4096),
        Command::write(100, 700),
        Command::read(0, 8192),
        Command::read(900, 3000).with_flags(CommandFlags::DF),
        Command::write_zeroes(64, 640).with_flags(CommandFlags::NO_HOLE | CommandFlags::FUA),
        Command::trim(2048, 1024),
        Command::cache(0, 512),
        Command::flush(),
        Command::block_status(0, 8192),
        Command::block_status(512, 4096).with_flags(CommandFlags::REQ_ONE),
        Command::read(12_288, 4096),
        Command::read(12_288, 4096).with_flags(CommandFlags::DF),
    ]
}

#[test]
fn every_command_works_in_every_style_and_in_pieces_of_any_size() {
    for style in STYLES {
        for chunk in [1, 2, 3, 27, 28, 29, 500, usize::MAX] {
            for land in [false, true] {
                let mut world = World::connected(Setup::new(style), chunk);
                let taken = script().into_iter().filter(|command| world.submit(*command)).count();
                // Without chunks there is no DF, and no block status.
                assert_eq!(taken, if world.setup.contexts { 12 } else { 8 }, "{style}");
                world.settle(chunk, land);
                assert_eq!(world.ledger.len(), taken);
            }
        }
    }
}

#[test]
fn a_disconnect_is_followed_by_the_answers_that_are_due_and_then_by_the_end() {
    for style in STYLES {
        let mut world = World::connected(Setup::new(style), 1000);
        assert!(world.submit(Command::read(0, 4096)));
        assert!(world.submit(Command::write(0, 512)));
        world.client.disconnect();
        while world.turn(100, true) {}
        assert_eq!((world.client.in_flight(), world.server.in_flight()), (0, 0));
        assert!(world.server.is_finished() && !world.server.wants_read());
        world.ledger.assert_all_done();
        assert_eq!(world.ledger.cut_off, 0);
    }
}

#[test]
fn at_the_limit_of_requests_the_server_stops_reading_and_goes_on_when_one_is_answered() {
    for style in STYLES {
        let mut world = World::connected(Setup { taken: 3, ..Setup::new(style) }, 1000);
        for at in 0..8 {
            assert!(world.submit(Command::read(at * 512, 512)));
        }
        world.client_sends(usize::MAX);
        world.server_receives(usize::MAX, true);
        assert_eq!((world.server.in_flight(), world.server.wants_read()), (3, false));
        world.serve(1, None);
        assert!(!world.server.wants_read(), "an answer that was not sent holds its place");
        world.server_sends(usize::MAX);
        assert_eq!((world.server.in_flight(), world.server.due()), (3, 3));
        world.settle(100, true);
    }
}
