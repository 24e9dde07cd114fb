//! What a client was told, held against what the server's caller answered.

use super::client::{Call, Calls, Seen};
use super::server::{Answer, Arrived};
use crate::error::CommandError;
use crate::transmission::Extent;
use crate::wire::chunk::Descriptor;
use crate::wire::flags::CommandFlags;
use crate::wire::number::{CommandType, Cookie, ErrorValue};

/// Requests arrive in the order of the commands; those that the engine answers by itself never do. `may_skip`: whether
/// it may answer this one by itself.
pub(super) fn judge(calls: &Calls, arrived: &[Arrived], may_skip: impl Fn(&Call) -> bool) {
    let mut arrived = arrived.iter().peekable();
    for call in &calls.list {
        match arrived.next_if(|arrived| is_same(call, arrived)) {
            Some(arrived) => compare(calls, call, arrived),
            None => skipped(call, may_skip(call)),
        }
    }
    assert!(arrived.next().is_none(), "a request came that nobody has sent");
}

fn is_same(call: &Call, arrived: &Arrived) -> bool {
    let (command, request) = (&call.command, &arrived.request);
    let offset = if command.command == CommandType::FLUSH { 0 } else { command.offset };
    let length = if command.command == CommandType::FLUSH { 0 } else { command.length };
    let flags = command.flags - CommandFlags::PAYLOAD_LEN;
    (command.command, flags, offset, length) == (request.command, request.flags, request.offset, request.length)
}

/// The caller never heard of it.
fn skipped(call: &Call, may_skip: bool) {
    let command = &call.command;
    match &call.result {
        None | Some(Err(CommandError::Connection(_))) => {}
        Some(Err(CommandError::Server(_))) => assert!(may_skip, "the engine has refused {command:?}"),
        Some(Ok(())) => assert!(may_skip && command.length == 0, "the engine has carried out {command:?}"),
        Some(Err(error)) => unreachable!("{command:?} ended with {error}"),
    }
}

fn compare(calls: &Calls, call: &Call, arrived: &Arrived) {
    let command = &call.command;
    match (&call.result, &arrived.answer) {
        (None | Some(Err(CommandError::Connection(_))), _) => {}
        (Some(Ok(())), Some(Answer::Success)) => {}
        (Some(Ok(())), Some(Answer::Data(data))) => {
            assert!(call.content() == *data, "{command:?} has brought other data than the server read");
        }
        (Some(Ok(())), Some(Answer::Extents(told))) => {
            let mut contexts = 0;
            for extents in extents(calls, call.cookie) {
                compare_extents(call, extents, told);
                contexts += 1;
            }
            assert!(contexts > 0, "{command:?} has brought no extents");
        }
        (Some(Err(CommandError::Server(error))), Some(Answer::Error(answered))) => {
            assert_eq!(error.error, sendable(*answered, call), "{command:?}");
        }
        (result, _) => unreachable!("{command:?} ended with {result:?}, which nobody has answered"),
    }
}

fn extents(calls: &Calls, of: Cookie) -> impl Iterator<Item = &[Extent]> {
    calls.events.iter().filter_map(move |seen| match seen {
        Seen::Extents(cookie, _, extents) if *cookie == of => Some(&extents[..]),
        _ => None,
    })
}

/// What came follows from the start of the request on, and says of each byte what was told of it.
fn compare_extents(call: &Call, came: &[Extent], told: &[Descriptor]) {
    let mut at = call.command.offset;
    assert!(!came.is_empty());
    for extent in came {
        assert_eq!(extent.offset, at, "extents with a gap");
        let mut end = call.command.offset;
        let covering = told.iter().find(|told| {
            end = end.saturating_add(told.length);
            at < end
        });
        let same = covering.is_some_and(|told| told.flags == extent.flags && extent.length <= end - at);
        assert!(same, "{extent:?} is not what was told: {told:?}");
        at += extent.length;
    }
}

/// The error number that goes out for what a caller says.
fn sendable(error: ErrorValue, call: &Call) -> ErrorValue {
    let command = &call.command;
    let fast = command.command == CommandType::WRITE_ZEROES && command.flags.contains(CommandFlags::FAST_ZERO);
    match error {
        ErrorValue(0) => ErrorValue::EIO,
        ErrorValue::ENOTSUP if !fast => ErrorValue::EINVAL,
        error => error,
    }
}
