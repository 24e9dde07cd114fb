//! Ends of a connection that several threads, or several clones of a client, have a part in.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nbd_testkit::{Script, oldstyle_greeting};

use crate::driver::nbd_proto::error::Refused;
use crate::driver::{Client, ConnectOptions, Error};
use crate::peer::{ALL, DISC, READ, oldstyle};
use crate::shutdown::disc;
use crate::support::{MIB, must_end};

/// Until the client takes no more requests. What it is asked meanwhile is refused one way or the other.
fn await_closing(client: &Client) {
    let beyond = || client.queue().read(vec![0; 1], MIB).unwrap_err().error;
    while !matches!(beyond(), Error::Refused(Refused::Closed) | Error::Connection(_)) {
        thread::yield_now();
    }
}

#[test]
fn shutdown_of_one_clone_is_that_of_all() {
    must_end(|| {
        let script = Script::new().send(oldstyle_greeting(MIB, ALL.into())).expect(disc()).close();
        let peer = script.listen();
        let client = Client::connect(&peer.uri()).unwrap();
        let clone = client.clone();
        client.shutdown().unwrap();
        peer.join().unwrap();
        let error = clone.read_at(&mut [0; 512], 0).unwrap_err();
        assert!(matches!(error, Error::Connection(_) | Error::Refused(Refused::Closed)), "{error}");
        clone.shutdown().unwrap();
    });
}

#[test]
fn a_drop_of_the_last_clone_says_goodbye() {
    must_end(|| {
        let (client, server) = oldstyle(&ConnectOptions::new(), MIB, ALL, |peer| peer.serve(vec![1; 1 << 20]));
        let clone = client.clone();
        drop(client);
        clone.read_at(&mut [0; 512], 0).unwrap();
        drop(clone);
        server.join().unwrap();
    });
}

#[test]
fn shutdown_waits_for_what_is_in_flight() {
    must_end(|| {
        let (asked, was_asked) = mpsc::channel();
        let (answer, may_answer) = mpsc::channel();
        let (client, server) = oldstyle(&ConnectOptions::new(), MIB, ALL, move |peer| {
            let request = peer.expect(READ);
            asked.send(()).unwrap();
            may_answer.recv().unwrap();
            peer.reply(&request, 0, &[1; 512]);
            peer.expect(DISC);
        });
        thread::scope(|scope| {
            let reader = scope.spawn(|| client.read_at(&mut [0; 512], 0));
            was_asked.recv().unwrap();
            let end = scope.spawn(|| client.shutdown());
            // As soon as nothing more is taken, the shutdown is under way.
            await_closing(&client);
            answer.send(()).unwrap();
            reader.join().unwrap().unwrap();
            end.join().unwrap().unwrap();
        });
        server.join().unwrap();
    });
}

/// It waited until nothing was in flight, which never came. And those who waited for a place behind it waited for ever,
/// if the server did not hang up.
#[test]
fn shutdown_ends_though_others_would_go_on() {
    must_end(|| {
        let (client, server) = oldstyle(&ConnectOptions::new().max_in_flight(2), MIB, ALL, |peer| {
            // One is always in flight, as long as another comes.
            let mut held = peer.expect(READ);
            loop {
                let next = if peer.comes_within(Duration::from_millis(200)) { peer.request() } else { None };
                peer.reply(&held, 0, &[1; 1000]);
                match next {
                    Some(next) => held = next,
                    None => break,
                }
            }
            peer.expect_goodbye();
        });
        thread::scope(|scope| {
            let (begun, begins) = mpsc::channel();
            for _ in 0..6 {
                let (client, begun) = (&client, begun.clone());
                scope.spawn(move || {
                    let error = loop {
                        match client.read_at(&mut [0; 1000], 0) {
                            Ok(()) => drop(begun.send(())),
                            Err(error) => break error,
                        }
                    };
                    assert!(matches!(error, Error::Connection(_) | Error::Refused(Refused::Closed)), "{error}");
                });
            }
            for _ in 0..20 {
                begins.recv().unwrap();
            }
            client.shutdown().unwrap();
        });
        server.join().unwrap();
    });
}

#[test]
fn two_may_shut_down_at_once() {
    must_end(|| {
        let (client, server) = oldstyle(&ConnectOptions::new(), MIB, ALL, |peer| drop(peer.expect(DISC)));
        thread::scope(|scope| {
            let both = [scope.spawn(|| client.shutdown()), scope.spawn(|| client.shutdown())];
            for end in both {
                end.join().unwrap().unwrap();
            }
        });
        server.join().unwrap();
    });
}

/// It "SHOULD wait until there are no inflight requests first" (ibid.).
#[test]
fn requests_in_flight_end_before_the_goodbye() {
    must_end(|| {
        let (refused_one, was_refused) = mpsc::channel();
        let (client, server) = oldstyle(&ConnectOptions::new().max_in_flight(2), MIB, ALL, move |peer| {
            let (first, second) = (peer.expect(READ), peer.expect(READ));
            peer.reply(&second, 108, &[]);
            was_refused.recv().unwrap();
            peer.reply(&first, 0, &vec![1; first.length as usize]);
            peer.expect(DISC);
        });
        thread::scope(|scope| {
            // More than there are places for: those who wait for one hear of it as well.
            let readers: Vec<_> = (0..6).map(|_| scope.spawn(|| client.read_at(&mut [0; 512], 0))).collect();
            await_closing(&client);
            refused_one.send(()).unwrap();
            let results: Vec<_> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
            assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
        });
        server.join().unwrap();
    });
}
