//! Commands that the export does not have.

use nbd_proto::handshake::ReplyStyle;
use nbd_proto::wire::flags::TransmissionFlags;
use nbd_proto::wire::number::CommandType;

use crate::setup::{STYLES, Setup};
use crate::verdict::asked;

const EPERM: u32 = 1;
const EINVAL: u32 = 22;

#[test]
fn a_read_only_export_is_not_written_to() {
    for style in STYLES {
        let all = Setup::new(style).with_flags(TransmissionFlags::all());
        // "It SHOULD return `NBD_EPERM` if it receives a write zeroes request on a read-only export", whether or not
        // the command was offered.
        for setup in [all, Setup::new(style).with_flags(TransmissionFlags::READ_ONLY)] {
            for command in [CommandType::WRITE, CommandType::TRIM, CommandType::WRITE_ZEROES] {
                asked(command, 0, 16).expect(&setup, Some(EPERM));
                asked(command, u64::MAX, 16).expect(&setup, Some(EPERM));
                asked(command, 0, 0).expect(&setup, Some(EPERM));
            }
            asked(CommandType::READ, 0, 16).expect(&setup, None);
        }
    }
}

#[test]
fn a_command_needs_the_flag_that_offers_it() {
    let commands = [
        (CommandType::FLUSH, TransmissionFlags::SEND_FLUSH, 0),
        (CommandType::TRIM, TransmissionFlags::SEND_TRIM, 16),
        (CommandType::CACHE, TransmissionFlags::SEND_CACHE, 16),
        (CommandType::WRITE_ZEROES, TransmissionFlags::SEND_WRITE_ZEROES, 16),
    ];
    for style in STYLES {
        for (command, flag, length) in commands {
            let setup = Setup::new(style);
            asked(command, 0, length).expect(&setup.clone().with_flags(flag), None);
            asked(command, 0, length).expect(&setup.clone().with_flags(setup.flags - flag), Some(EINVAL));
        }
    }
}

#[test]
fn reading_and_writing_need_no_flag() {
    for setup in STYLES.map(|style| Setup::new(style).with_flags(TransmissionFlags::empty())) {
        asked(CommandType::READ, 0, 16).expect(&setup, None);
        asked(CommandType::WRITE, 0, 16).expect(&setup, None);
        if setup.style != ReplyStyle::Simple {
            asked(CommandType::BLOCK_STATUS, 0, 16).expect(&setup, None);
        }
    }
}

// "The server SHOULD return `NBD_EINVAL` if it receives an unknown command."
#[test]
fn unknown_commands_are_answered_and_resize_is_one() {
    for setup in STYLES.map(Setup::new) {
        for command in [8, 9, 10, 0x7fff, 0x8000, 0xffff] {
            asked(CommandType(command), 0, 0).expect(&setup, Some(EINVAL));
            asked(CommandType(command), 0, 1 << 20).expect(&setup, Some(EINVAL));
        }
    }
}
