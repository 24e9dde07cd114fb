//! One turn never does more than its share, so that a busy connection leaves the others their time.

use std::time::Instant;

use nbd_driver_mio::{ClientOptions, Scratch, Turn};

use crate::endless::{self, Traffic};
use crate::peer::READ;
use crate::rig::{Rig, event_of_another};
use crate::support::{MIB, must_end};

/// "A turn moves at most about 256 KiB each way, by at most 64 calls."
const BYTES: usize = 256 << 10;
const CALLS: u32 = 64;

/// Runs a client whose stream moves so many bytes by a call, until all is done, and looks at each turn.
fn each_turn_is_bounded(per_call: usize, reads: &[usize], writes: &[usize]) {
    let (mut client, traffic) = endless::client(per_call);
    let mut scratch = Scratch::new();
    for length in reads {
        client.read(vec![0; *length], 0).unwrap();
    }
    for length in writes {
        client.write(vec![0; *length], 0).unwrap();
    }
    let (mut turns, mut ended) = (0, 0);
    loop {
        let turn = client.turn(&mut scratch, Instant::now());
        let moved = traffic.replace(Traffic::default());
        assert!(moved.reads <= CALLS && moved.writes <= CALLS, "{moved:?}");
        assert!(moved.read <= BYTES && moved.written <= BYTES, "{moved:?}");
        turns += 1;
        while let Some(completion) = client.completion() {
            completion.result.unwrap();
            ended += 1;
        }
        match turn {
            Turn::Wait if ended == reads.len() + writes.len() => break,
            // What was sent since the last try has brought replies.
            Turn::Wait => {
                assert!(moved.written > 0, "waiting, with more to do");
                event_of_another(|event| client.ready(event));
            }
            Turn::Again => assert!(moved.read + moved.written > 0, "again, and nothing was done"),
            Turn::Over => panic!("{:?}", client.end()),
        }
    }
    assert!(turns > 1, "all in one turn");
}

#[test]
fn large_reads() {
    each_turn_is_bounded(usize::MAX, &[4 << 20; 8], &[]);
}

#[test]
fn large_writes() {
    each_turn_is_bounded(usize::MAX, &[], &[4 << 20; 8]);
}

#[test]
fn both() {
    each_turn_is_bounded(50_000, &[300_000; 20], &[300_000; 20]);
}

#[test]
fn many_middling_ones() {
    each_turn_is_bounded(usize::MAX, &[5000; 60], &[6000; 60]);
}

#[test]
fn a_stream_that_drips() {
    each_turn_is_bounded(1, &[100; 5], &[100; 5]);
}

#[test]
fn a_quiet_connection_gets_its_reply_beside_one_that_never_ends() {
    must_end(|| {
        let (mut busy, _) = endless::client(usize::MAX);
        let (mut quiet, mut peer) = Rig::new(ClientOptions::default());
        quiet.client.read(vec![0; 512], 0).unwrap();
        assert_eq!(quiet.turn(), Turn::Wait);
        let request = peer.expect(READ);
        let mut turns = 0;
        let reply = loop {
            // The busy one comes first, always, and always has more to do.
            while busy.in_flight() < 4 {
                busy.read(vec![0; MIB as usize], 0).unwrap();
            }
            assert_eq!(busy.turn(&mut quiet.event_loop.scratch, Instant::now()), Turn::Again);
            while let Some(completion) = busy.completion() {
                completion.result.unwrap();
            }
            turns += 1;
            if turns == 10 {
                peer.reply(&request, 0, &[3; 512]);
            }
            // Looks for events, and does not wait.
            let mut due = false;
            quiet.event_loop.wait(Some(Instant::now()), |event| {
                quiet.client.ready(event);
                due = true;
            });
            if due {
                assert_eq!(quiet.turn(), Turn::Wait);
            }
            if let Some(reply) = quiet.client.completion() {
                break reply;
            }
            assert!(turns < 20, "no event for the quiet one");
        };
        assert_eq!(reply.buffer[..], [3; 512]);
    });
}
