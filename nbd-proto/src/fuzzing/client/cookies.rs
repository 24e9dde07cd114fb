//! Cookies in a server's stream, replaced by those of the commands in flight: no fuzzer finds them by itself, and those
//! of a recorded session are another client's.

use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;

use super::Calls;
use crate::handshake::ReplyStyle;
use crate::wire::number::CommandType;
use crate::wire::number::{Cookie, ErrorValue};
use crate::wire::reply::{ExtendedReply, ReplyHeader, SimpleReply, StructuredReply};

/// Puts real cookies into the reply headers of a stream, as far as it can be followed. A cookie below the number of
/// commands is replaced by that of the command of this number. Any other one stands for the first command that no
/// other has stood for so far, then and later.
pub(in crate::fuzzing) fn patch(stream: &mut [u8], calls: &Calls, style: ReplyStyle) {
    let mut at = 0;
    let mut strangers = BTreeMap::new();
    while let Some(Ok(Some((header, length)))) = stream.get(at..).map(ReplyHeader::parse) {
        let number = number(header.cookie(), calls.list.len(), &mut strangers);
        let call = number.and_then(|number| calls.list.get(number));
        if let Some(call) = call {
            stream[at + 8..at + 16].copy_from_slice(&call.cookie.0.to_be_bytes());
        }
        let payload = match header {
            ReplyHeader::Simple(SimpleReply { error: ErrorValue(0), .. }) if style == ReplyStyle::Simple => {
                let read = call.filter(|call| call.command.command == CommandType::READ);
                read.map_or(0, |call| call.command.length)
            }
            ReplyHeader::Simple(_) => 0,
            ReplyHeader::Structured(StructuredReply { length, .. }) => length.into(),
            ReplyHeader::Extended(ExtendedReply { length, .. }) => length,
        };
        let Some(next) = usize::try_from(payload).ok().and_then(|payload| (at + length).checked_add(payload)) else {
            return;
        };
        at = next;
    }
}

fn number(cookie: Cookie, calls: usize, strangers: &mut BTreeMap<Cookie, usize>) -> Option<usize> {
    let known = strangers.len();
    match usize::try_from(cookie.0) {
        Ok(number) if number < calls => Some(number),
        _ => match strangers.entry(cookie) {
            Entry::Occupied(entry) => Some(*entry.get()),
            Entry::Vacant(entry) if known < calls => Some(*entry.insert(known)),
            Entry::Vacant(_) => None,
        },
    }
}
