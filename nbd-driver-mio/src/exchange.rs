//! What both sides do with their bytes: one call each way, over the memory of several requests.

use std::io::{self, IoSlice, IoSliceMut};

use nbd_proto::transmission::{Outbound, Segment};

use crate::channel::Channel;
use crate::scratch::Intake;
use crate::stream::Stream;
use crate::turn::Share;

/// How many pieces one send takes.
const PIECES: usize = 64;

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// The stream has ended.
    End,
    /// So many bytes of payload, and maybe others, which are in the scratch.
    Payload(usize),
}

impl<S: Stream> Channel<S> {
    /// Sends what there is room for, and no more than the share, by one call: framing, and payload from where `payload`
    /// says. `None` if there is no room.
    pub(crate) fn send_outbound<'a, Id: Copy>(
        &mut self,
        outbound: Outbound<'a, Id>,
        payload: impl Fn(Id) -> Option<&'a [u8]>,
        share: &mut Share,
    ) -> io::Result<Option<usize>> {
        let mut pieces = [IoSlice::new(&[]); PIECES];
        let (mut count, mut left) = (0, share.bytes());
        for segment in outbound.take(PIECES) {
            let bytes = match segment {
                Segment::Framing(bytes) => bytes,
                Segment::Payload { owner, range } => match payload(owner) {
                    Some(buffer) => &buffer[range],
                    None => break,
                },
            };
            // A stream may have room for much more than is its share.
            let bytes = &bytes[..bytes.len().min(left)];
            pieces[count] = IoSlice::new(bytes);
            count += 1;
            left -= bytes.len();
            if left == 0 {
                break;
            }
        }
        let sent = self.send(&pieces[..count])?;
        if let Some(sent) = sent {
            share.used(sent);
        }
        Ok(sent)
    }

    /// Receives what is there, and no more than the share, by one call: payload where it belongs, and what is behind it
    /// into the scratch. `None` if nothing is there.
    pub(crate) fn receive_into(
        &mut self,
        payload: &mut [u8],
        intake: &mut Intake<'_>,
        share: &mut Share,
    ) -> io::Result<Option<Received>> {
        let in_place = payload.len().min(share.bytes());
        let behind = intake.room();
        let most = behind.len().min(share.bytes() - in_place);
        let mut pieces = [IoSliceMut::new(&mut payload[..in_place]), IoSliceMut::new(&mut behind[..most])];
        let Some(count) = self.receive(&mut pieces[usize::from(in_place == 0)..])? else { return Ok(None) };
        if count == 0 {
            return Ok(Some(Received::End));
        }
        share.used(count);
        intake.received(count.saturating_sub(in_place));
        Ok(Some(Received::Payload(count.min(in_place))))
    }
}
