//! The kernel's side of the netlink socket, against [`Session`] and what reads events.
//!
//! Invariants:
//!
//! - no input panics;
//! - one request is sent, of the length that it says, whatever comes back;
//! - success means that a message with the request's number, for our port, says so; a refusal names an error number
//!   that such a message has;
//! - an index or a device that is given out came in a datagram, and is the one that was asked for if one was;
//! - what is still late from another request, and what comes behind the end of an answer, change nothing;
//! - there are no more devices or events than what came has room for.
//!
//! The data: 1 byte says what is asked (see `ask`; in all but the first, the family has been found already, so
//! that the request is the second one); the rest is datagrams, each behind its length in 16 bits, big-endian. Our
//! port is `PORT`, the driver's family is `FAMILY`.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use netlink_packet_core::{NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer};

use crate::netlink::{ClientFlags, Connect, Failure, Malformed, Reconfigure, Session, Wire, parse_events};

const PORT: u32 = 77;
const FAMILY: u16 = 28;
const INDEX: u32 = 3;
/// What a session looks at before it gives up.
const MAX_ARRIVALS: usize = 1000;
/// A device in a list, with all headers.
const DEVICE_LENGTH: usize = 20;
/// A message of one event, with all headers.
const EVENT_LENGTH: usize = 28;

/// See the top of the module.
///
/// # Panics
///
/// If an invariant does not hold.
pub fn netlink_reply(data: &[u8]) {
    let Some((what, rest)) = data.split_first() else { return };
    let datagrams = cut(rest);
    let what = what % 8;
    if what == 7 {
        return events(&datagrams);
    }

    let (result, sent) = ask(what, datagrams.clone());
    check_request(what, &sent);
    check_result(what, &result, &datagrams);

    // The limits are met sooner with more around: that is no change that counts.
    let arrivals = datagrams.iter().map(|datagram| 1 + datagram.len() / 16).sum::<usize>();
    let ended = !matches!(result, Err(Failure::Io(_) | Failure::Malformed(Malformed::Endless)));
    if ended && arrivals < MAX_ARRIVALS {
        let mut more = vec![late()];
        more.extend(datagrams);
        more.push(vec![0xff; 7]);
        let (again, _) = ask(what, more.into());
        assert_eq!(format!("{result:?}"), format!("{again:?}"), "what does not belong to the answer matters");
    }
}

/// What a request brings: indices, each with whether something is connected.
type Answer = Result<Vec<(u32, Option<bool>)>, Failure>;

/// What was sent, first to last.
type Sent = Vec<Vec<u8>>;

/// Asks something, and lets the datagrams come back.
fn ask(what: u8, mut datagrams: VecDeque<Vec<u8>>) -> (Answer, Sent) {
    if what != 0 {
        datagrams.push_front(family());
    }
    let sent = Arc::new(Mutex::new(Vec::new()));
    let wire = Script { datagrams, sent: sent.clone() };
    let result = Session::open(Box::new(wire)).and_then(|mut session| {
        let index = (what == 2).then_some(INDEX);
        match what {
            0 => Ok(Vec::new()),
            1 | 2 => session.connect(&connect(index)).map(|index| vec![(index, None)]),
            3 => session.reconfigure(INDEX, &Reconfigure::default()).map(|()| Vec::new()),
            4 => session.disconnect(INDEX).map(|()| Vec::new()),
            _ => {
                let devices = session.status((what == 6).then_some(INDEX))?;
                Ok(devices.into_iter().map(|device| (device.index, Some(device.connected))).collect())
            }
        }
    });
    let sent = std::mem::take(&mut *sent.lock().unwrap_or_else(PoisonError::into_inner));
    (result, sent)
}

fn connect(index: Option<u32>) -> Connect<'static> {
    Connect {
        index,
        size: 1 << 20,
        block_size: 4096,
        timeout: Some(30),
        dead_timeout: None,
        server_flags: 1,
        client_flags: ClientFlags::empty(),
        identifier: Some("fuzz"),
        sockets: &[],
    }
}

fn check_request(what: u8, sent: &Sent) {
    assert_eq!(sent.len(), usize::from(what != 0) + 1, "requests");
    for (request, number) in sent.iter().zip(1..) {
        let header = NetlinkBuffer::new_checked(request.as_slice()).ok();
        let length_and_number = header.map(|header| (header.length() as usize, header.sequence_number()));
        assert_eq!(length_and_number, Some((request.len(), number)), "{request:?} is no request");
    }
}

fn check_result(what: u8, result: &Answer, datagrams: &VecDeque<Vec<u8>>) {
    let codes = codes(if what == 0 { 1 } else { 2 }, datagrams);
    match result {
        Ok(answer) => {
            assert!(codes.contains(&0), "a success that nobody told");
            let bytes = datagrams.iter().map(Vec::len).sum::<usize>();
            if what >= 5 {
                assert!(answer.len() * DEVICE_LENGTH <= bytes, "more devices than were told");
            }
            let words: HashSet<_> = datagrams.iter().flat_map(|datagram| datagram.chunks(4)).collect();
            for (index, _) in answer {
                assert!(words.contains(index.to_ne_bytes().as_slice()), "nobody told of device {index}");
                assert!(![2, 6].contains(&what) || *index == INDEX, "device {index} was not asked for");
            }
        }
        Err(Failure::Refused { errno, .. }) => {
            let errno = errno.raw_os_error();
            assert!((1..=4095).contains(&errno) && codes.contains(&-errno), "nobody told of error {errno}");
        }
        Err(Failure::NoFamily) => assert!(what == 0 && codes.contains(&-2), "nobody said that there is no family"),
        Err(failure) => assert!(!matches!(failure, Failure::Unsendable(_)), "{failure}"),
    }
}

/// The codes of all that could be the end of the answer of this number, wherever a message might begin.
fn codes(sequence: u32, datagrams: &VecDeque<Vec<u8>>) -> Vec<i32> {
    let ends = [NLMSG_ERROR, NLMSG_DONE];
    let mut codes = Vec::new();
    for datagram in datagrams {
        for place in (0..datagram.len()).step_by(4) {
            let Ok(message) = NetlinkBuffer::new_checked(&datagram[place..]) else { continue };
            let numbers = (message.sequence_number(), message.port_number());
            if ends.contains(&message.message_type()) && numbers == (sequence, PORT) {
                let code = message.payload().first_chunk().map_or(0, |code| i32::from_ne_bytes(*code));
                codes.push(code);
            }
        }
    }
    codes
}

fn events(datagrams: &VecDeque<Vec<u8>>) {
    for datagram in datagrams {
        let mut indices = VecDeque::new();
        let _ = parse_events(datagram, FAMILY, &mut indices);
        assert!(indices.len() * EVENT_LENGTH <= datagram.len(), "more events than were told");
        for index in indices {
            let told = datagram.chunks(4).any(|word| word == index.to_ne_bytes());
            assert!(told, "nobody told of device {index}");
        }
    }
}

fn cut(mut data: &[u8]) -> VecDeque<Vec<u8>> {
    let mut datagrams = VecDeque::new();
    while let Some((length, rest)) = data.split_first_chunk() {
        let (datagram, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)).min(rest.len()));
        datagrams.push_back(datagram.into());
        data = rest;
    }
    datagrams
}

/// What finds the driver: its number, and success.
fn family() -> Vec<u8> {
    let id = [attribute(1, &FAMILY.to_ne_bytes())].concat();
    let payload = [vec![1, 2, 0, 0], id].concat();
    [message(16, 1, &payload), message(NLMSG_ERROR, 1, &[0; 20])].concat()
}

/// The acknowledgement of a request that is long over.
fn late() -> Vec<u8> {
    message(NLMSG_ERROR, u32::MAX, &[0; 20])
}

fn message(kind: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 16];
    let mut header = NetlinkBuffer::new(&mut bytes);
    header.set_length(16 + payload.len() as u32);
    header.set_message_type(kind);
    header.set_sequence_number(sequence);
    header.set_port_number(PORT);
    bytes.extend(payload);
    bytes
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = [4 + value.len() as u16, kind].map(u16::to_ne_bytes).concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// Sends nothing anywhere, and receives what it was given.
struct Script {
    datagrams: VecDeque<Vec<u8>>,
    sent: Arc<Mutex<Sent>>,
}

impl Wire for Script {
    fn port(&self) -> u32 {
        PORT
    }

    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).push(message.into());
        Ok(())
    }

    fn receive(&mut self, into: &mut Vec<u8>) -> io::Result<()> {
        *into = self.datagrams.pop_front().ok_or(io::ErrorKind::TimedOut)?;
        Ok(())
    }
}
