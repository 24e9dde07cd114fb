//! A subscriber to the traces that panics brings its own thread down, and the connection, but hangs nobody.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::driver::ConnectOptions;
use crate::peer::{ALL, READ, oldstyle};
use crate::support::{MIB, connection_error, must_end};

/// Panics at everything it hears of, once it is armed.
struct Bomb(&'static AtomicBool);

impl Subscriber for Bomb {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        assert!(!self.0.load(Ordering::SeqCst), "boom");
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[test]
fn while_it_moves_the_bytes_of_all() {
    static ARMED: AtomicBool = AtomicBool::new(false);
    must_end(|| {
        let _subscriber = tracing::subscriber::set_default(Bomb(&ARMED));
        let (asked, was_asked) = mpsc::channel();
        let (answer, may_answer) = mpsc::channel::<()>();
        let (client, server) = oldstyle(&ConnectOptions::new(), MIB, ALL, move |peer| {
            let first = peer.expect(READ);
            asked.send(()).unwrap();
            for _ in 0..4 {
                peer.expect(READ);
            }
            may_answer.recv().unwrap();
            peer.reply(&first, 0, &[1; 512]);
            while peer.request().is_some() {}
        });
        thread::scope(|scope| {
            // This thread reads first, so that it moves the bytes for all, and dies of the first reply.
            let victim = scope.spawn(|| {
                let _subscriber = tracing::subscriber::set_default(Bomb(&ARMED));
                client.read_at(&mut [0; 512], 0)
            });
            was_asked.recv().unwrap();
            let others: Vec<_> = (0..4).map(|_| scope.spawn(|| client.read_at(&mut [0; 512], 0))).collect();
            ARMED.store(true, Ordering::SeqCst);
            answer.send(()).unwrap();
            assert!(victim.join().is_err(), "it did not panic");
            for other in others {
                assert!(connection_error(other.join().unwrap()).contains("panicked"));
            }
        });
        connection_error(client.read_at(&mut [0; 512], 0));
        server.join().unwrap();
    });
}

/// The header of a write is queued by then, and its data are not: whatever came next would be taken for them.
#[test]
fn while_a_request_is_handed_in() {
    static ARMED: AtomicBool = AtomicBool::new(false);
    must_end(|| {
        let _subscriber = tracing::subscriber::set_default(Bomb(&ARMED));
        for by_queue in [false, true] {
            ARMED.store(false, Ordering::SeqCst);
            let (asked, was_asked) = mpsc::channel();
            let (client, server) = oldstyle(&ConnectOptions::new(), MIB, ALL, move |peer| {
                peer.expect(READ);
                asked.send(()).unwrap();
                assert_eq!(peer.request(), None, "nothing may come after the panic");
            });
            thread::scope(|scope| {
                let other = scope.spawn(|| client.read_at(&mut [0; 512], 0));
                was_asked.recv().unwrap();
                ARMED.store(true, Ordering::SeqCst);
                let victim = scope.spawn(|| {
                    let _subscriber = tracing::subscriber::set_default(Bomb(&ARMED));
                    if by_queue {
                        client.queue().write(vec![1; 512], 0).map(drop).map_err(|rejected| rejected.error)
                    } else {
                        client.write_at(&[1; 512], 0)
                    }
                });
                assert!(victim.join().is_err(), "it did not panic");
                assert!(connection_error(other.join().unwrap()).contains("panicked"));
            });
            assert!(connection_error(client.flush()).contains("panicked"));
            server.join().unwrap();
        }
    });
}
