//! What the specification has a server answer to a request that cannot, or need not, be carried out. Written a second
//! time, from the specification alone, so that the engine is held against something other than itself.

use nbd_proto::handshake::ReplyStyle;
use nbd_proto::transmission::Command;
use nbd_proto::wire::flags::CommandFlags;
use nbd_proto::wire::number::{CommandType, ErrorValue};

use crate::ledger::Answer;
use crate::world::{MAXIMUM, SIZE, Setup};

/// The engine's own answer, if the request never gets to the server's caller.
pub(crate) fn own_answer(command: Command, setup: &Setup) -> Option<Answer> {
    match error(command, setup) {
        Some(error) => Some(Answer::Error(error)),
        None if command.length == 0 && command.command != CommandType::FLUSH => Some(Answer::Success),
        None => None,
    }
}

fn error(command: Command, setup: &Setup) -> Option<ErrorValue> {
    let Command { command: kind, flags, offset, length } = command;
    let chunks = setup.style != ReplyStyle::Simple;
    let writing = [CommandType::WRITE, CommandType::TRIM, CommandType::WRITE_ZEROES].contains(&kind);
    // "It SHOULD return `NBD_EPERM` if it receives a write or trim request on a read-only export."
    if setup.read_only && writing {
        return Some(ErrorValue::EPERM);
    }
    let known = match kind {
        CommandType::READ => CommandFlags::FUA | if chunks { CommandFlags::DF } else { CommandFlags::empty() },
        CommandType::WRITE | CommandType::FLUSH | CommandType::TRIM | CommandType::CACHE => CommandFlags::FUA,
        CommandType::WRITE_ZEROES => CommandFlags::FUA | CommandFlags::NO_HOLE | CommandFlags::FAST_ZERO,
        CommandType::BLOCK_STATUS if chunks && setup.contexts => CommandFlags::FUA | CommandFlags::REQ_ONE,
        _ => return Some(ErrorValue::EINVAL),
    };
    if !known.contains(flags) {
        return Some(ErrorValue::EINVAL);
    }
    if kind == CommandType::FLUSH {
        return None;
    }
    let past = if kind == CommandType::WRITE || kind == CommandType::WRITE_ZEROES {
        ErrorValue::ENOSPC
    } else {
        ErrorValue::EINVAL
    };
    if u128::from(offset) + u128::from(length) > u128::from(SIZE) {
        return Some(past);
    }
    if offset % u64::from(setup.minimum) != 0 || length % u64::from(setup.minimum) != 0 {
        return Some(ErrorValue::EINVAL);
    }
    match kind {
        CommandType::READ if length > MAXIMUM && chunks => Some(ErrorValue::EOVERFLOW),
        CommandType::READ | CommandType::WRITE if length > MAXIMUM => Some(ErrorValue::EINVAL),
        CommandType::BLOCK_STATUS if length == 0 => Some(ErrorValue::EINVAL),
        _ => None,
    }
}
