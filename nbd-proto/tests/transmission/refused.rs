//! Our own requests, held against the rules: the exact refusal, nothing queued, and each rule can be turned off.

use nbd_proto::error::Refused;
use nbd_proto::handshake::ReplyStyle;
use nbd_proto::transmission::{Checks, ClientSettings, Command};
use nbd_proto::wire::flags::{CommandFlags, TransmissionFlags};
use nbd_proto::wire::info::BlockSizes;
use nbd_proto::wire::number::{CommandType, ContextId};

use crate::harness::{BASE, BITMAP, STYLES, Setup, link};

/// Refused with all checks on and with `check` alone; taken with all others on and it off.
#[track_caller]
fn assert_refused(setup: &Setup, check: Checks, command: Command, expected: &Refused) {
    for on in [Checks::all(), check] {
        let mut setup = setup.clone();
        setup.settings = setup.settings.with_checks(on);
        let mut client = setup.client();
        assert_eq!(client.check(&command), Err(expected.clone()));
        assert_eq!(command.check(client.negotiated(), on), Err(expected.clone()), "without a client");
        assert_eq!(client.submit(command), Err(expected.clone()));
        assert_eq!((client.in_flight(), client.wants_write(), client.outbound().count()), (0, false, 0));
    }
    let mut setup = setup.clone();
    setup.settings = setup.settings.with_checks(!check);
    let mut client = setup.client();
    assert_eq!(client.check(&command), Ok(()));
    assert!(client.submit(command).is_ok());
    assert_eq!((client.in_flight(), client.wants_write()), (1, true));
}

fn everything() -> [Command; 7] {
    [
        Command::read(0, 512),
        Command::write(0, 512),
        Command::flush(),
        Command::trim(0, 512),
        Command::cache(0, 512),
        Command::write_zeroes(0, 512),
        Command::block_status(0, 512),
    ]
}

#[test]
fn what_the_server_does_not_offer() {
    let needs = [
        (Command::flush(), TransmissionFlags::SEND_FLUSH),
        (Command::trim(0, 512), TransmissionFlags::SEND_TRIM),
        (Command::cache(0, 512), TransmissionFlags::SEND_CACHE),
        (Command::write_zeroes(0, 512), TransmissionFlags::SEND_WRITE_ZEROES),
    ];
    for style in STYLES {
        for (command, flag) in needs {
            let mut setup = Setup::new(style);
            setup.flags -= flag;
            let refused = Refused::NotOffered { command: command.command };
            assert_refused(&setup, Checks::OFFERED, command, &refused);
            // And none other is needed.
            setup.flags = TransmissionFlags::HAS_FLAGS | flag;
            assert_eq!(setup.client().check(&command), Ok(()));
        }
        for number in [8, 9, 0xffff] {
            let command = Command { command: CommandType(number), ..Command::read(0, 512) };
            let refused = Refused::NotOffered { command: CommandType(number) };
            let mut setup = Setup::new(style);
            setup.settings = setup.settings.with_checks(Checks::OFFERED);
            assert_refused(&setup, Checks::OFFERED, command, &refused);
        }
    }
}

#[test]
fn a_disconnect_is_not_a_command() {
    let disconnect = Command { command: CommandType::DISC, ..Command::flush() };
    for checks in [Checks::all(), Checks::empty()] {
        let mut setup = Setup::new(ReplyStyle::Simple);
        setup.settings = setup.settings.with_checks(checks);
        let mut client = setup.client();
        assert_eq!(client.submit(disconnect), Err(Refused::NotOffered { command: CommandType::DISC }));
        assert!(!client.wants_write() && client.room() > 0);
    }
}

#[test]
fn flags_that_do_not_go_with_the_command() {
    let allowed = |command: CommandType| match command {
        CommandType::READ => CommandFlags::DF,
        CommandType::WRITE | CommandType::TRIM => CommandFlags::FUA,
        CommandType::WRITE_ZEROES => CommandFlags::FUA | CommandFlags::NO_HOLE | CommandFlags::FAST_ZERO,
        CommandType::BLOCK_STATUS => CommandFlags::REQ_ONE,
        _ => CommandFlags::empty(),
    };
    for style in [ReplyStyle::Structured, ReplyStyle::Extended] {
        let setup = Setup::new(style);
        for command in everything() {
            for bit in 0..16 {
                let flag = CommandFlags::from_bits_retain(1 << bit);
                let command = command.with_flags(flag);
                if allowed(command.command).contains(flag) {
                    assert_eq!(setup.client().check(&command), Ok(()));
                } else {
                    let refused = Refused::Flags { command: command.command, flags: flag };
                    assert_refused(&setup, Checks::FLAGS, command, &refused);
                }
            }
        }
    }
}

#[test]
fn flags_that_the_server_does_not_offer() {
    for (command, flag, needed) in [
        (Command::read(0, 512), CommandFlags::DF, TransmissionFlags::SEND_DF),
        (Command::write(0, 512), CommandFlags::FUA, TransmissionFlags::SEND_FUA),
        (Command::trim(0, 512), CommandFlags::FUA, TransmissionFlags::SEND_FUA),
        (Command::write_zeroes(0, 512), CommandFlags::FUA, TransmissionFlags::SEND_FUA),
        (Command::write_zeroes(0, 512), CommandFlags::FAST_ZERO, TransmissionFlags::SEND_FAST_ZERO),
    ] {
        let mut setup = Setup::new(ReplyStyle::Structured);
        setup.flags -= needed;
        // Of two flags, only the one in question is named.
        let innocent = if flag == CommandFlags::FAST_ZERO { CommandFlags::NO_HOLE } else { CommandFlags::empty() };
        let refused = Refused::Flags { command: command.command, flags: flag };
        assert_refused(&setup, Checks::FLAGS, command.with_flags(flag | innocent), &refused);
    }
}

#[test]
fn nothing_is_written_to_a_read_only_export() {
    let mut setup = Setup::new(ReplyStyle::Structured);
    setup.flags |= TransmissionFlags::READ_ONLY;
    for command in everything() {
        let kind = command.command;
        if matches!(kind, CommandType::WRITE | CommandType::TRIM | CommandType::WRITE_ZEROES) {
            assert_refused(&setup, Checks::READ_ONLY, command, &Refused::ReadOnly { command: kind });
        } else {
            assert_eq!(setup.client().check(&command), Ok(()));
        }
    }
}

#[test]
fn a_range_lies_within_the_export() {
    let setup = Setup::new(ReplyStyle::Extended);
    let size = setup.size;
    for command in everything().into_iter().filter(|command| command.length > 0) {
        for (offset, length) in [(size, 1), (size - 1, 2), (0, size + 1), (u64::MAX, 1), (u64::MAX, 512), (1, size)] {
            let command = Command { offset, length, ..command };
            assert_refused(&setup, Checks::BOUNDS, command, &Refused::OutOfBounds { offset, length, size });
        }
        for (offset, length) in [(size - 1, 1), (0, size), (1, size - 1)] {
            assert_eq!(setup.client().check(&Command { offset, length, ..command }), Ok(()));
        }
    }
}

/// "*length* and *offset* are reserved, and MUST be set to all-zero" (spec, `NBD_CMD_FLUSH`).
#[test]
fn a_flush_has_no_range() {
    for style in STYLES {
        for (offset, length) in [(1, 0), (0, 1), (512, 512)] {
            let command = Command { offset, length, ..Command::flush() };
            let refused = Refused::NoRange { command: CommandType::FLUSH };
            assert_refused(&Setup::new(style), Checks::BOUNDS, command, &refused);
        }
    }
}

#[test]
fn a_range_is_aligned_to_the_minimum_block_size() {
    for minimum in [2, 512, 65_536] {
        let mut setup = Setup::new(ReplyStyle::Structured);
        setup.sizes = Some(BlockSizes { minimum, preferred: 65_536, maximum: 1 << 25 });
        let step = u64::from(minimum);
        for command in everything().into_iter().filter(|command| command.length > 0) {
            for (offset, length) in [(1, step), (step, 1), (step / 2, step), (step, step * 2 - 1), (step - 1, 1)] {
                let command = Command { offset, length, ..command };
                let refused = Refused::Unaligned { offset, length, minimum };
                assert_refused(&setup, Checks::ALIGNMENT, command, &refused);
            }
            assert_eq!(setup.client().check(&Command { offset: step, length: step * 2, ..command }), Ok(()));
        }
        assert_eq!(setup.client().check(&Command::flush()), Ok(()));
    }
}

#[test]
fn a_payload_is_not_longer_than_the_maximum() {
    for style in STYLES {
        for (sizes, maximum) in [
            (None, 1 << 25),
            (Some(BlockSizes { minimum: 1, preferred: 4096, maximum: 4096 }), 4096),
            (Some(BlockSizes { minimum: 1, preferred: 4096, maximum: u32::MAX - 1 }), u64::from(u32::MAX) - 1),
        ] {
            let mut setup = Setup::new(style);
            setup.size = 1 << 40;
            setup.sizes = sizes;
            for command in [Command::read(0, maximum + 1), Command::write(0, maximum + 1)] {
                let refused = Refused::TooLong { length: maximum + 1, maximum };
                assert_refused(&setup, Checks::MAX_PAYLOAD, command, &refused);
                assert_eq!(setup.client().check(&Command { length: maximum, ..command }), Ok(()));
            }
            // No payload, no maximum.
            assert_eq!(setup.client().check(&Command::trim(0, maximum + 1)), Ok(()));
        }
    }
}

#[test]
fn what_no_header_can_carry_is_refused_without_any_check() {
    let maximum = u64::from(u32::MAX);
    for style in STYLES {
        let mut setup = Setup::new(style);
        setup.size = u64::MAX;
        setup.settings = setup.settings.with_checks(Checks::empty());
        for command in everything() {
            let payload = matches!(command.command, CommandType::READ | CommandType::WRITE);
            for length in [maximum, maximum + 1, u64::MAX] {
                let checked = setup.client().check(&Command { length, ..command });
                if length == maximum || style == ReplyStyle::Extended && !payload {
                    assert_eq!(checked, Ok(()));
                } else {
                    assert_eq!(checked, Err(Refused::TooLong { length, maximum }));
                }
            }
        }
    }
}

#[test]
fn a_range_is_not_empty() {
    for style in [ReplyStyle::Structured, ReplyStyle::Extended] {
        for command in everything().into_iter().filter(|command| command.length > 0) {
            let empty = Command { length: 0, ..command };
            assert_refused(&Setup::new(style), Checks::EMPTY, empty, &Refused::Empty { command: command.command });
        }
    }
}

#[test]
fn block_status_needs_contexts() {
    for style in STYLES {
        let mut setup = Setup::new(style);
        setup.contexts.clear();
        assert_refused(&setup, Checks::CONTEXTS, Command::block_status(0, 512), &Refused::NoContexts);
    }
}

#[test]
fn contexts_are_named_once_and_were_selected() {
    let command = Command::block_status(0, 512);
    let mut setup = Setup::new(ReplyStyle::Extended);
    let stranger = ContextId(99);
    for (contexts, expected) in [
        (&[][..], Refused::NoContexts),
        (&[stranger], Refused::Context { context: stranger }),
        (&[BASE, stranger], Refused::Context { context: stranger }),
        (&[BASE, BITMAP, BASE], Refused::Context { context: BASE }),
    ] {
        let mut client = setup.client();
        assert_eq!(client.submit_for_contexts(command, contexts), Err(expected));
        assert!(!client.wants_write() && client.in_flight() == 0);
        let mut lax = setup.clone();
        lax.settings = lax.settings.with_checks(!Checks::CONTEXTS);
        assert!(lax.client().submit_for_contexts(command, contexts).is_ok());
    }
    // The list is a payload, and bounded like any other.
    setup.sizes = Some(BlockSizes { minimum: 1, preferred: 8, maximum: 15 });
    let refused = Err(Refused::TooLong { length: 16, maximum: 15 });
    assert_eq!(setup.client().submit_for_contexts(command, &[BASE, BITMAP]), refused);
    assert!(setup.client().submit_for_contexts(command, &[BASE]).is_ok());
    setup.settings = setup.settings.with_checks(!Checks::MAX_PAYLOAD);
    assert!(setup.client().submit_for_contexts(command, &[BASE, BITMAP]).is_ok());
}

#[test]
fn the_list_of_contexts_needs_extended_headers_and_an_offer() {
    let flags = CommandFlags::PAYLOAD_LEN;
    for style in [ReplyStyle::Simple, ReplyStyle::Structured] {
        let mut setup = Setup::new(style);
        setup.settings = setup.settings.with_checks(Checks::empty());
        let refused = Refused::Flags { command: CommandType::BLOCK_STATUS, flags };
        assert_eq!(setup.client().submit_for_contexts(Command::block_status(0, 1), &[BASE]), Err(refused));
    }
    let mut setup = Setup::new(ReplyStyle::Extended);
    let refused = Refused::Flags { command: CommandType::READ, flags };
    assert_eq!(setup.client().submit_for_contexts(Command::read(0, 1), &[BASE]), Err(refused));
    setup.flags -= TransmissionFlags::BLOCK_STATUS_PAYLOAD;
    let refused = Refused::Flags { command: CommandType::BLOCK_STATUS, flags };
    assert_eq!(setup.client().submit_for_contexts(Command::block_status(0, 1), &[BASE]), Err(refused));
    setup.settings = setup.settings.with_checks(!Checks::FLAGS);
    assert!(setup.client().submit_for_contexts(Command::block_status(0, 1), &[BASE]).is_ok());
}

#[test]
fn a_refusal_leaves_the_connection_as_it_was() {
    let mut link = link(ReplyStyle::Structured);
    let before = link.queue(Command::write(0, 512));
    let outbound = link.outbound();
    assert!(link.client.submit(Command::write(0, 0)).is_err());
    assert_eq!((link.outbound(), link.client.in_flight()), (outbound, 1));
    let after = link.queue(Command::flush());
    assert_ne!(before, after);
}

#[test]
fn every_rule_is_on_unless_the_caller_turns_it_off() {
    assert_eq!(Checks::default(), Checks::all());
    let settings = ClientSettings::default();
    assert_eq!(settings, settings.with_checks(Checks::default()));
}
