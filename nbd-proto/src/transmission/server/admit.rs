//! Requests from the network, held against what the protocol and the export allow.

use crate::handshake::{Negotiated, ReplyStyle};
use crate::transmission::check::{needed_flag, writes};
use crate::wire::flags::{CommandFlags, TransmissionFlags};
use crate::wire::number::{CommandType, Cookie, ErrorValue};
use crate::wire::request::ExtendedRequest;

/// A request as its header tells it. Whether it can be carried out is another matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Admitted {
    pub(super) cookie: Cookie,
    pub(super) command: CommandType,
    pub(super) flags: CommandFlags,
    pub(super) offset: u64,
    /// How many bytes of the export it is about. Means nothing yet for the payload form of `BLOCK_STATUS`, whose
    /// payload tells.
    pub(super) length: u64,
    /// How many bytes of payload follow the header.
    pub(super) payload: u64,
}

/// An error number and words for people.
pub(super) type Objection = (ErrorValue, &'static str);

impl Admitted {
    /// Takes a header apart. `style` tells which form it came in.
    pub(super) fn new(header: ExtendedRequest, style: ReplyStyle) -> Self {
        let ExtendedRequest { flags, command, cookie, offset, length } = header;
        // "The client MUST follow the request header with *length* number of bytes" (spec, `NBD_CMD_WRITE`). With
        // extended headers a `WRITE` MUST also carry PAYLOAD_LEN, but QEMU's client does without, and sends its
        // payload all the same.
        let has_payload = command == CommandType::WRITE
            || (style == ReplyStyle::Extended && flags.contains(CommandFlags::PAYLOAD_LEN));
        let payload = if has_payload { length } else { 0 };
        // "For a flush request, *length* and *offset* are reserved, and MUST be set to all-zero" (spec,
        // `NBD_CMD_FLUSH`). Whatever stands there means nothing; but the offset is to be echoed.
        let length = if command == CommandType::FLUSH { 0 } else { length };
        Self { cookie, command, flags, offset, length, payload }
    }

    /// Whether contexts are named in the payload (extended-headers extension, `NBD_CMD_BLOCK_STATUS`).
    pub(super) fn has_filter(&self) -> bool {
        self.command == CommandType::BLOCK_STATUS && self.payload > 0
    }

    /// What speaks against carrying it out, seen from its header. The range of a request that
    /// [has a filter](Self::has_filter) is not looked at.
    pub(super) fn objection(&self, facts: &Negotiated, shutting_down: bool) -> Option<Objection> {
        let told = facts.info.flags;
        if shutting_down {
            return Some((ErrorValue::ESHUTDOWN, "the server is shutting down"));
        }
        let Some(needed) = needed_flag(self.command) else {
            return Some((ErrorValue::EINVAL, "the command is not known"));
        };
        if writes(self.command) && told.contains(TransmissionFlags::READ_ONLY) {
            return Some((ErrorValue::EPERM, "the export is read-only"));
        }
        if !told.contains(needed) {
            return Some((ErrorValue::EINVAL, "the command is not offered for this export"));
        }
        if !allowed_flags(self.command, facts).contains(self.flags) {
            return Some((ErrorValue::EINVAL, "the command carries flags that it may not carry here"));
        }
        if self.command == CommandType::BLOCK_STATUS && facts.contexts.is_empty() {
            return Some((ErrorValue::EINVAL, "no metadata context was selected"));
        }
        if self.has_filter() { None } else { self.range_objection(facts) }
    }

    /// What speaks against its range.
    pub(super) fn range_objection(&self, facts: &Negotiated) -> Option<Objection> {
        if self.command == CommandType::FLUSH {
            return None;
        }
        let size = facts.info.size;
        if self.offset.checked_add(self.length).is_none_or(|end| end > size) {
            // "The server SHOULD return `NBD_ENOSPC` if it receives a write request including one or more sectors
            // beyond the size of the device. [...] It SHOULD return `NBD_EINVAL` if it receives a read or trim
            // request" of that kind (spec, *Error values*).
            let error = match self.command {
                CommandType::WRITE | CommandType::WRITE_ZEROES => ErrorValue::ENOSPC,
                _ => ErrorValue::EINVAL,
            };
            return Some((error, "the request goes past the end of the export"));
        }
        if (self.offset | self.length) % u64::from(facts.minimum_block()) != 0 {
            return Some((ErrorValue::EINVAL, "the request is not aligned to the minimum block size"));
        }
        let moves = matches!(self.command, CommandType::READ | CommandType::WRITE);
        // A chunk of data has 8 bytes before it, and its length has to fit 32 bits.
        let unsplittable = self.flags.contains(CommandFlags::DF) && self.length > u64::from(u32::MAX) - 8;
        if moves && (self.length > u64::from(facts.maximum_payload()) || unsplittable) {
            // "the server is also permitted to reject large read requests up front with `NBD_EOVERFLOW`" (spec,
            // `NBD_CMD_READ`, *Structured replies*).
            let overflow = self.command == CommandType::READ && facts.reply_style != ReplyStyle::Simple;
            let error = if overflow { ErrorValue::EOVERFLOW } else { ErrorValue::EINVAL };
            return Some((error, "the request is longer than the maximum payload"));
        }
        // Each answer has to tell of at least one byte.
        if self.command == CommandType::BLOCK_STATUS && self.length == 0 {
            return Some((ErrorValue::EINVAL, "block status of nothing"));
        }
        None
    }

    /// Whether there is nothing to do, so that success is the answer.
    pub(super) const fn is_empty(&self) -> bool {
        self.length == 0 && !matches!(self.command, CommandType::FLUSH)
    }
}

/// Which flags a known command may carry.
fn allowed_flags(command: CommandType, facts: &Negotiated) -> CommandFlags {
    let told = |flag| facts.info.flags.contains(flag);
    let mut allowed = CommandFlags::empty();
    // "This flag is valid for all commands, provided `NBD_FLAG_SEND_FUA` has been negotiated" (spec, *Command
    // flags*).
    allowed.set(CommandFlags::FUA, told(TransmissionFlags::SEND_FUA));
    let extended = facts.reply_style == ReplyStyle::Extended;
    match command {
        CommandType::READ => allowed.set(CommandFlags::DF, told(TransmissionFlags::SEND_DF)),
        CommandType::WRITE => allowed.set(CommandFlags::PAYLOAD_LEN, extended),
        CommandType::WRITE_ZEROES => {
            allowed |= CommandFlags::NO_HOLE;
            allowed.set(CommandFlags::FAST_ZERO, told(TransmissionFlags::SEND_FAST_ZERO));
        }
        CommandType::BLOCK_STATUS => {
            allowed |= CommandFlags::REQ_ONE;
            allowed.set(CommandFlags::PAYLOAD_LEN, told(TransmissionFlags::BLOCK_STATUS_PAYLOAD));
        }
        _ => {}
    }
    allowed
}
