//! A request that is never answered is found late, though others keep the connection busy without end.

use std::time::{Duration, Instant};

use nbd_driver_mio::{ClientOptions, Scratch, Turn};

use crate::endless;

const LIMIT: Duration = Duration::from_secs(1);

#[test]
fn a_request_that_is_never_answered_is_late() {
    let options = ClientOptions::default().with_request_timeout(Some(LIMIT));
    let mut client = endless::forgetful(options);
    let (mut scratch, start) = (Scratch::new(), Instant::now());
    let forgotten = client.read(vec![0; 13], 0).unwrap();
    for round in 0..100 {
        // More than a turn moves.
        while client.in_flight() < 128 {
            client.read(vec![0; 4096], 0).unwrap();
        }
        let turn = client.turn(&mut scratch, start + round * LIMIT);
        while let Some(done) = client.completion() {
            if done.cookie == forgotten {
                done.result.unwrap_err();
                return;
            }
        }
        assert_eq!(turn, Turn::Again);
    }
    panic!("it was due at {:?}, and that is long ago", client.deadline());
}
