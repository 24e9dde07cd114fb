//! What has come together with the end of the handshake is not forgotten.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use mio::{Events, Interest, Poll, Token};
use nbd_driver_mio::{ClientOptions, Scratch, Turn};
use nbd_testkit::oldstyle_greeting;

use crate::peer::ALL;
use crate::rig::connecting;
use crate::support::MIB;

#[test]
fn the_end_of_the_stream_is_found_by_the_first_turn() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(&oldstyle_greeting(MIB, ALL.into())).unwrap();
    drop(theirs);
    let (mut poll, mut events, mut scratch) = (Poll::new().unwrap(), Events::with_capacity(8), Scratch::new());
    let mut connecting = connecting(ours);
    poll.registry().register(&mut connecting, Token(0), Interest::READABLE).unwrap();
    poll.poll(&mut events, None).unwrap();
    events.iter().for_each(|event| connecting.ready(event));
    assert_eq!(connecting.turn(&mut scratch, Instant::now()).unwrap(), Turn::Over);
    // No further event tells.
    let mut client = connecting.into_client(ClientOptions::default()).unwrap();
    assert_eq!(client.turn(&mut scratch, Instant::now()), Turn::Over);
}
