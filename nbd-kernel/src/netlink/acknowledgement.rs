//! How the kernel ends an answer: with an error number, 0 for success, and perhaps some text.

use netlink_packet_core::{
    DoneBuffer, Emitable as _, ErrorBuffer, NLM_F_ACK_TLVS, NLM_F_CAPPED, NLMSG_ALIGNTO, NetlinkBuffer, NetlinkHeader,
    parse_u32,
};
use rustix::io::Errno;

use super::attributes::{self, Wanted};
use super::failure::{Failure, Malformed};
use super::message::Message;
use super::uapi::extended;

/// The kernel's error numbers end here; system calls could not return higher ones.
const HIGHEST_ERRNO: i32 = 4095;

/// What an error message (an acknowledgement, if its number is 0) says.
pub(super) fn of_error(message: &Message<'_>) -> Result<(), Failure> {
    let buffer = ErrorBuffer::new_checked(message.payload).map_err(|_| short(message))?;
    let code = buffer.code().map_or(0, i32::from);
    judge(code, || extended_text(message.flags, buffer.payload()))
}

/// What the end of an answer of several messages says. Without a number it is success.
pub(super) fn of_done(message: &Message<'_>) -> Result<(), Failure> {
    if message.payload.is_empty() {
        return Ok(());
    }
    let buffer = DoneBuffer::new_checked(message.payload).map_err(|_| short(message))?;
    judge(buffer.code(), || explanation(message.flags, buffer.extended_ack()))
}

fn short(message: &Message<'_>) -> Malformed {
    Malformed::Short { kind: message.kind, length: message.payload.len() }
}

fn judge(code: i32, text: impl FnOnce() -> Option<String>) -> Result<(), Failure> {
    match code.checked_neg() {
        Some(0) => Ok(()),
        Some(errno @ 1..=HIGHEST_ERRNO) => {
            Err(Failure::Refused { errno: Errno::from_raw_os_error(errno), message: text() })
        }
        _ => Err(Malformed::Code(code).into()),
    }
}

/// The text behind the request's header, or behind the whole request if that was not cut off.
fn extended_text(flags: u16, behind_code: &[u8]) -> Option<String> {
    let header = NetlinkHeader::default().buffer_len();
    let echo = behind_code.get(..header)?;
    let length = match flags & NLM_F_CAPPED {
        0 => NetlinkBuffer::new(echo).length() as usize,
        _ => header,
    };
    let end = length.checked_next_multiple_of(usize::from(NLMSG_ALIGNTO))?;
    explanation(flags, behind_code.get(end..)?)
}

/// The error number is what counts: text that cannot be read is left out, and no error of its own.
fn explanation(flags: u16, space: &[u8]) -> Option<String> {
    if flags & NLM_F_ACK_TLVS == 0 {
        return None;
    }
    let find = |number| attributes::find(space, Wanted(number, "a part of an error")).ok().flatten();
    match find(extended::MESSAGE) {
        Some(text) => Some(String::from_utf8_lossy(attributes::text(text)).into_owned()),
        None => {
            let number = parse_u32(find(extended::MISSING_TYPE)?).ok()?;
            Some(format!("attribute {number} is missing"))
        }
    }
}
