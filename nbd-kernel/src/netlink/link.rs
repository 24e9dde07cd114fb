//! One request, and all of its answer.

use std::fmt::{self, Debug};

use netlink_packet_core::{Emitable, NLMSG_DONE, NLMSG_ERROR, NLMSG_NOOP, NLMSG_OVERRUN};
use netlink_packet_generic::GenlFamily;
use rustix::io::Errno;

use super::acknowledgement;
use super::failure::{Failure, Malformed};
use super::message::{Message, messages};
use super::request;
use super::wire::Wire;

/// How many datagrams and messages may come in answer to one request, others that were late included. The longest
/// answer there is, all devices in pieces of a page each, has fewer than 200.
const MAX_ARRIVALS: usize = 1024;

/// A wire with its count of requests.
pub(super) struct Link {
    wire: Box<dyn Wire>,
    /// Of the last request. 0 is what the kernel puts on messages that nobody asked for.
    sequence: u32,
}

impl Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("port", &self.wire.port()).field("sequence", &self.sequence).finish()
    }
}

impl Link {
    pub(super) fn new(wire: Box<dyn Wire>) -> Self {
        Self { wire, sequence: 0 }
    }

    /// Sends a request, and gives the attributes of each answer of this family and command to `take`. Returns with
    /// the acknowledgement, or with the end of an answer of several messages, whichever comes first; what the same
    /// datagram may hold behind that is not looked at. Messages of other requests and of other kinds are skipped.
    pub(super) fn exchange<F: GenlFamily + Emitable + Debug>(
        &mut self,
        request: F,
        family: u16,
        answer: u8,
        mut take: impl FnMut(&[u8]) -> Result<(), Malformed>,
    ) -> Result<(), Failure> {
        self.sequence = self.sequence.checked_add(1).unwrap_or(1);
        self.wire.send(&request::emit(request, family, self.sequence))?;

        let mut datagram = Vec::new();
        let mut arrivals = 0;
        while arrivals < MAX_ARRIVALS {
            self.wire.receive(&mut datagram)?;
            arrivals += 1;
            for message in messages(&datagram) {
                let message = message?;
                arrivals += 1;
                if !self.is_ours(&message) {
                    continue;
                }
                match message.kind {
                    NLMSG_ERROR => return acknowledgement::of_error(&message),
                    NLMSG_DONE => return acknowledgement::of_done(&message),
                    NLMSG_NOOP => {}
                    // Something was lost, and it cannot be told what.
                    NLMSG_OVERRUN => return Err(Failure::Io(Errno::NOBUFS.into())),
                    kind if kind == family => match message.command()? {
                        (command, attributes) if command == answer => take(attributes)?,
                        _ => {}
                    },
                    _ => {}
                }
            }
        }
        Err(Malformed::Endless.into())
    }

    fn is_ours(&self, message: &Message<'_>) -> bool {
        message.sequence == self.sequence && message.port == self.wire.port()
    }
}
