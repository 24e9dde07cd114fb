//! Beyond the limits, requests are told "not now", also for completions that nobody takes; and after these there is room.

use nbd_driver_mio::nbd_proto::transmission::{ClientSettings, Command};
use nbd_driver_mio::{Buffer, ClientOptions, Rejected, Rejection, Turn};

use crate::peer::{Peer, READ};
use crate::rig::Rig;
use crate::support::must_end;

/// Answers so many reads.
fn answer(peer: &mut Peer, reads: usize) {
    for _ in 0..reads {
        let request = peer.expect(READ);
        peer.reply(&request, 0, &vec![1; request.length as usize]);
    }
}

#[track_caller]
fn not_now(rejected: Result<impl std::fmt::Debug, Rejected>) -> Rejected {
    let rejected = rejected.unwrap_err();
    assert!(rejected.is_not_now() && rejected.to_string().contains("not now"), "{rejected}");
    rejected
}

/// Has so many reads answered, and does not take the completions.
fn await_untaken(rig: &mut Rig, peer: &mut Peer, reads: usize) {
    assert_eq!(rig.turn(), Turn::Wait);
    answer(peer, reads);
    // All replies are there by now.
    rig.wait();
    assert_eq!(rig.turn(), Turn::Wait);
}

#[test]
fn of_too_many_requests() {
    must_end(|| {
        let settings = ClientSettings::default().with_max_in_flight(2);
        let (mut rig, mut peer) = Rig::new(ClientOptions::default().with_engine(settings));
        for room in [2, 1] {
            assert_eq!(rig.client.room(), room);
            rig.client.read(vec![0; 10], 0).unwrap();
        }
        for answered in [false, true] {
            // That is not enough: they have to be taken.
            if answered {
                await_untaken(&mut rig, &mut peer, 2);
            }
            assert_eq!((rig.client.room(), rig.client.in_flight()), (0, 2));
            let rejected = not_now(rig.client.read(vec![7; 10], 0));
            assert!(matches!(rejected.why, Rejection::TooManyRequests { limit: 2 }), "{rejected}");
            assert_eq!(rejected.buffer[..], [7; 10]);
            not_now(rig.client.submit(Command::flush(), Buffer::NONE));
        }
        assert!(rig.client.completion().is_some());
        assert_eq!((rig.client.room(), rig.client.in_flight()), (1, 1));
        rig.client.read(vec![0; 10], 0).unwrap();
        not_now(rig.client.read(vec![0; 10], 0));
        assert!(rig.client.completion().is_some());
        rig.client.read(vec![0; 10], 0).unwrap();
        await_untaken(&mut rig, &mut peer, 2);
        assert_eq!(std::iter::from_fn(|| rig.client.completion()).count(), 2);
        assert_eq!(rig.client.room(), 2);
    });
}

#[test]
fn of_too_many_bytes() {
    must_end(|| {
        let (mut rig, mut peer) = Rig::new(ClientOptions::default().with_max_bytes(1000));
        rig.client.read(vec![0; 600], 0).unwrap();
        let rejected = not_now(rig.client.write(vec![7; 401], 0));
        assert!(matches!(rejected.why, Rejection::TooManyBytes { limit: 1000 }), "{rejected}");
        assert_eq!(rejected.buffer[..], [7; 401]);
        // Up to the last byte.
        rig.client.read(vec![0; 400], 0).unwrap();
        not_now(rig.client.read(vec![0; 1], 0));
        await_untaken(&mut rig, &mut peer, 2);
        not_now(rig.client.read(vec![0; 1], 0));
        assert_eq!(rig.client.completion().unwrap().buffer.len(), 600);
        not_now(rig.client.read(vec![0; 601], 0));
        rig.client.read(vec![0; 600], 0).unwrap();
        await_untaken(&mut rig, &mut peer, 1);
        assert_eq!(std::iter::from_fn(|| rig.client.completion()).count(), 2);
        rig.client.read(vec![0; 1000], 0).unwrap();
    });
}

#[test]
fn of_a_single_request_that_is_longer_than_all_may_be() {
    must_end(|| {
        let (mut rig, mut peer) = Rig::new(ClientOptions::default().with_max_bytes(1000));
        rig.client.read(vec![0; 1], 0).unwrap();
        not_now(rig.client.read(vec![0; 5000], 0));
        await_untaken(&mut rig, &mut peer, 1);
        assert!(rig.client.completion().is_some());
        // Alone, it has to be taken at some time.
        rig.client.read(vec![0; 5000], 0).unwrap();
        not_now(rig.client.read(vec![0; 1], 0));
        await_untaken(&mut rig, &mut peer, 1);
        assert_eq!(rig.client.completion().unwrap().buffer.len(), 5000);
    });
}

/// Waiting for others would not make it any smaller.
#[test]
fn but_not_of_bytes_to_a_request_that_has_none() {
    must_end(|| {
        let (mut rig, _peer) = Rig::new(ClientOptions::default().with_max_bytes(1000));
        rig.client.read(vec![0; 5000], 0).unwrap();
        rig.client.submit(Command::flush(), Buffer::NONE).unwrap();
    });
}

/// "Not now" would be a promise.
#[test]
fn but_never_once_no_more_requests_are_taken() {
    must_end(|| {
        let settings = ClientSettings::default().with_max_in_flight(1);
        let options = ClientOptions::default().with_engine(settings).with_max_bytes(10);
        let (mut rig, _peer) = Rig::new(options);
        rig.client.read(vec![0; 10], 0).unwrap();
        rig.client.disconnect();
        let rejected = rig.client.read(vec![0; 10], 0).unwrap_err();
        assert!(!rejected.is_not_now() && rig.client.room() == 0, "{rejected}");
        rig.client.give_up("enough");
        assert_eq!(rig.turn(), Turn::Over);
        // Its completion has not been taken.
        assert_eq!(rig.client.in_flight(), 1);
        let rejected = rig.client.read(vec![0; 10], 0).unwrap_err();
        assert!(!rejected.is_not_now(), "{rejected}");
    });
}
