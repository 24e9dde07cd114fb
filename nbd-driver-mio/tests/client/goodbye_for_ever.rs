//! A server may take as long as it likes to hang up, where the caller allows that.

use std::time::Duration;

use nbd_driver_mio::{ClientOptions, Turn};

use crate::rig::Rig;
use crate::support::must_end;

#[test]
fn a_reset_after_the_goodbye_is_in_order_whatever_the_time_for_it() {
    must_end(|| {
        for limit in [Duration::from_secs(5), Duration::MAX] {
            let (mut rig, peer) = Rig::new(ClientOptions::default().with_close_timeout(limit));
            rig.client.disconnect();
            assert_eq!(rig.turn(), Turn::Wait);
            // It has not read the goodbye, which makes a reset of the end.
            drop(peer);
            assert!(rig.run_to_end().is_empty());
            assert_eq!(rig.client.end(), Some(Ok(())), "{limit:?}");
        }
    });
}
