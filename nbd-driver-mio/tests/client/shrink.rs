//! Memory can be given back at any time.

use nbd_driver_mio::nbd_proto::transmission::ClientSettings;
use nbd_driver_mio::{ClientOptions, Turn};

use crate::peer::READ;
use crate::rig::Rig;
use crate::support::must_end;

#[test]
fn in_the_middle_of_requests_of_which_some_have_ended() {
    must_end(|| {
        let settings = ClientSettings::default().with_max_in_flight(100);
        let options = ClientOptions::default()
            .with_engine(settings)
            .with_request_timeout(Some(std::time::Duration::from_secs(50)));
        let (mut rig, mut peer) = Rig::new(options);
        for round in 0..3u64 {
            for number in 0..100 {
                rig.client.read(vec![0; 64], number * 64).unwrap();
                // Nothing has been sent, or some of it.
                if number == 50 {
                    rig.client.shrink();
                    assert_eq!(rig.turn(), Turn::Wait);
                    rig.client.shrink();
                }
            }
            assert_eq!(rig.turn(), Turn::Wait);
            rig.client.shrink();
            let mut requests: Vec<_> = (0..100).map(|_| peer.expect(READ)).collect();
            let mut ended = 0;
            // Every third, from the end; then the rest.
            requests.sort_by_key(|request| ((request.offset / 64 + round) % 3, u64::MAX - request.offset));
            for some in requests.chunks(10) {
                for request in some {
                    peer.reply(request, 0, &[(request.offset / 64) as u8; 64]);
                }
                for completion in rig.completions(10) {
                    assert_eq!(completion.result, Ok(()));
                    assert_eq!(completion.buffer[..], [(completion.command.offset / 64) as u8; 64]);
                    ended += 1;
                }
                rig.client.shrink();
                assert_eq!(rig.client.in_flight(), 100 - ended);
            }
        }
    });
}

/// Completions that wait to be taken stay.
#[test]
fn with_completions_that_nobody_has_taken() {
    must_end(|| {
        let (mut rig, mut peer) = Rig::new(ClientOptions::default());
        for number in 0..10 {
            rig.client.read(vec![0; 64], number * 64).unwrap();
        }
        assert_eq!(rig.turn(), Turn::Wait);
        drop((0..5).map(|_| peer.expect(READ)).collect::<Vec<_>>());
        drop(peer);
        while rig.turn() != Turn::Over {
            rig.wait();
        }
        rig.client.shrink();
        assert_eq!(std::iter::from_fn(|| rig.client.completion()).count(), 10);
        rig.client.shrink();
        assert_eq!(rig.client.in_flight(), 0);
    });
}
