//! Which flags go with which command (spec, *Command flags*). Others are answered with `NBD_EINVAL`.

use nbd_proto::handshake::ReplyStyle;
use nbd_proto::wire::flags::{CommandFlags, TransmissionFlags};
use nbd_proto::wire::number::CommandType;

use crate::setup::{CHUNKED, STYLES, Setup};
use crate::verdict::asked;

const EINVAL: u32 = 22;
const FLAGS: [CommandFlags; 5] =
    [CommandFlags::FUA, CommandFlags::NO_HOLE, CommandFlags::DF, CommandFlags::REQ_ONE, CommandFlags::FAST_ZERO];

/// What each command may carry, written down a second time.
fn documented(command: CommandType, style: ReplyStyle) -> Vec<CommandFlags> {
    let mut flags = vec![CommandFlags::FUA];
    match command {
        CommandType::READ if style != ReplyStyle::Simple => flags.push(CommandFlags::DF),
        CommandType::WRITE_ZEROES => flags.extend([CommandFlags::NO_HOLE, CommandFlags::FAST_ZERO]),
        CommandType::BLOCK_STATUS => flags.push(CommandFlags::REQ_ONE),
        _ => {}
    }
    flags
}

#[test]
fn each_flag_goes_with_the_commands_that_document_it() {
    for setup in STYLES.map(Setup::new) {
        let commands = [
            CommandType::READ,
            CommandType::WRITE,
            CommandType::FLUSH,
            CommandType::TRIM,
            CommandType::CACHE,
            CommandType::WRITE_ZEROES,
            CommandType::BLOCK_STATUS,
        ];
        for command in commands {
            if command == CommandType::BLOCK_STATUS && setup.style == ReplyStyle::Simple {
                continue;
            }
            let (length, documented) =
                (if command == CommandType::FLUSH { 0 } else { 16 }, documented(command, setup.style));
            for flag in FLAGS {
                let expected = if documented.contains(&flag) { None } else { Some(EINVAL) };
                asked(command, 0, length).with_flags(flag).expect(&setup, expected);
            }
            let all = documented.into_iter().collect();
            asked(command, 0, length).with_flags(all).expect(&setup, None);
            asked(command, 0, length)
                .with_flags(all | CommandFlags::from_bits_retain(1 << 6))
                .expect(&setup, Some(EINVAL));
        }
    }
}

#[test]
fn flags_that_nobody_knows_are_refused() {
    for setup in STYLES.map(Setup::new) {
        for bit in 6..16 {
            let flags = CommandFlags::from_bits_retain(1 << bit);
            asked(CommandType::READ, 0, 16).with_flags(flags).expect(&setup, Some(EINVAL));
            asked(CommandType::WRITE, 0, 16).with_flags(flags).expect(&setup, Some(EINVAL));
        }
    }
}

// "provided `NBD_FLAG_SEND_FUA` has been negotiated"
#[test]
fn fua_has_to_be_offered() {
    for style in STYLES {
        let setup = Setup::new(style);
        let setup = setup.clone().with_flags(setup.flags - TransmissionFlags::SEND_FUA);
        for command in [CommandType::READ, CommandType::WRITE, CommandType::FLUSH, CommandType::TRIM] {
            let length = if command == CommandType::FLUSH { 0 } else { 16 };
            asked(command, 0, length).with_flags(CommandFlags::FUA).expect(&setup, Some(EINVAL));
        }
    }
}

// "SHOULD fail with `NBD_EINVAL` if the `NBD_CMD_FLAG_FAST_ZERO` flag was set" and not offered.
#[test]
fn fast_zeroes_have_to_be_offered_and_no_hole_does_not() {
    for setup in STYLES.map(|style| Setup::new(style).with_flags(TransmissionFlags::SEND_WRITE_ZEROES)) {
        let zeroes = asked(CommandType::WRITE_ZEROES, 0, 16);
        zeroes.with_flags(CommandFlags::FAST_ZERO).expect(&setup, Some(EINVAL));
        zeroes.with_flags(CommandFlags::NO_HOLE).expect(&setup, None);
    }
}

// "In the compact style, the client MUST NOT use the `NBD_CMD_FLAG_PAYLOAD_LEN` flag"
#[test]
fn a_payload_length_is_for_extended_headers_only() {
    let payload_len = CommandFlags::PAYLOAD_LEN;
    for setup in [ReplyStyle::Simple, ReplyStyle::Structured].map(Setup::new) {
        // Only a write has a payload there, whatever the flag says.
        for command in [CommandType::READ, CommandType::WRITE, CommandType::TRIM, CommandType::FLUSH] {
            asked(command, 0, 16).with_flags(payload_len).expect(&setup, Some(EINVAL));
        }
    }
    let structured = Setup::new(CHUNKED[0]);
    asked(CommandType::BLOCK_STATUS, 0, 12).with_flags(payload_len).expect(&structured, Some(EINVAL));
}

#[test]
fn wrong_flags_on_a_request_about_nothing_are_refused_too() {
    for setup in STYLES.map(Setup::new) {
        asked(CommandType::TRIM, 0, 0).with_flags(CommandFlags::DF).expect(&setup, Some(EINVAL));
    }
}
