//! Limits at their ends, and servers that are there and no use.

use std::time::Duration;

use nbd_driver_std::{ConnectOptions, Error, Interrupted, Reconnect};
use nbd_testkit::{Bird, HANG, Phoenix, must_end};

use crate::acts::{Play, READ};
use crate::patient::options;

const HOUR: Duration = Duration::from_secs(3600);

fn with(policy: Reconnect) -> ConnectOptions {
    ConnectOptions::new().reconnect(Some(policy))
}

fn not_restored(error: &Error) -> Option<u32> {
    match error {
        Error::NotRestored { attempts, .. } => Some(*attempts),
        _ => None,
    }
}

#[test]
fn pauses_without_end_are_waited_for_and_can_be_interrupted() {
    must_end(|| {
        let play = Play::new(|_, act| {
            act.expect(READ, 0);
            false
        });
        let policy = Reconnect::new().first_delay(Duration::MAX).max_delay(Duration::MAX).total_time(None);
        let (told, failed) = std::sync::mpsc::channel();
        let policy = policy.on_event(move |event| {
            if matches!(event, nbd_driver_std::ReconnectEvent::Failed { .. }) {
                told.send(()).unwrap();
            }
        });
        let client = with(policy).connect(&play.uri()).unwrap();
        let mut queue = client.queue();
        queue.read(vec![0; 512], 0).unwrap();
        queue.send();
        play.end();
        let interrupter = queue.interrupter();
        let waiter = std::thread::spawn(move || queue.wait_or_interrupt().map(|_| ()));
        // The first attempt comes at once, the second never.
        failed.recv().unwrap();
        interrupter.interrupt();
        assert_eq!(waiter.join().unwrap(), Err(Interrupted));
    });
}

#[test]
fn no_pause_is_longer_than_the_time_that_is_left() {
    must_end(|| {
        // Each connection is good until it is used.
        let play = Play::new(|_, act| {
            act.expect(READ, 0);
            true
        });
        let policy = Reconnect::new().first_delay(HOUR).max_delay(HOUR).total_time(Some(Duration::from_millis(200)));
        let client = with(policy).connect(&play.uri()).unwrap();
        let error = client.read_at(&mut [0; 512], 0).unwrap_err();
        assert!(not_restored(&error).is_some(), "{error}");
    });
}

#[test]
fn the_longest_time_there_is_can_be_set() {
    must_end(|| {
        let Some(mut server) = Phoenix::new(1 << 16, Bird::Nbdkit) else { return };
        server.start();
        let endless = ConnectOptions::new().connect_timeout(None).handshake_timeout(None).handshake_idle_timeout(None);
        let policy = Reconnect::new().total_time(Some(Duration::MAX));
        let client = endless.reconnect(Some(policy)).connect(&server.uri()).unwrap();
        client.write_at(&[1; 512], 0).unwrap();
        server.rise();
        let mut buffer = [0; 512];
        client.read_at(&mut buffer, 0).unwrap();
        assert_eq!(buffer, [1; 512]);
    });
}

#[test]
fn no_attempts_and_no_time_mean_none() {
    must_end(|| {
        let none = [Reconnect::new().max_attempts(Some(0)), Reconnect::new().total_time(Some(Duration::ZERO))];
        for policy in none {
            let Some(mut server) = Phoenix::new(1 << 16, Bird::Nbdkit) else { return };
            server.start();
            let client = with(policy).connect(&server.uri()).unwrap();
            server.rise();
            let error = client.read_at(&mut [0; 512], 0).unwrap_err();
            assert_eq!(not_restored(&error), Some(0), "{error}");
        }
    });
}

#[test]
fn a_server_that_hangs_up_at_once_is_given_up_in_the_end() {
    must_end(|| {
        let play = Play::new(|number, act| {
            if number == 0 {
                act.expect(READ, 0);
            }
            true
        });
        let policy = Reconnect::new().first_delay(Duration::from_millis(1)).max_attempts(Some(5));
        let client = with(policy).connect(&play.uri()).unwrap();
        let error = client.read_at(&mut [0; 512], 0).unwrap_err();
        assert_eq!(not_restored(&error), Some(5), "{error}");
    });
}

#[test]
fn a_server_that_is_always_about_to_end_is_given_up_in_the_end() {
    const ESHUTDOWN: u32 = 108;
    must_end(|| {
        let play = Play::new(|_, act| {
            let read = act.expect(READ, 0);
            act.reply(&read, ESHUTDOWN, 0);
            act.goodbye();
            true
        });
        let policy = Reconnect::new().first_delay(Duration::from_millis(1)).max_attempts(Some(5));
        let client = with(policy).connect(&play.uri()).unwrap();
        let error = client.read_at(&mut [0; 512], 0).unwrap_err();
        assert_eq!(not_restored(&error), Some(5), "{error}");
    });
}

#[test]
fn a_server_that_is_silent_is_given_up_in_time() {
    must_end(|| {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("socket");
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let (uri, first) = (format!("nbd+unix:///?socket={}", socket.display()), listener.try_clone().unwrap());
        let server = std::thread::spawn(move || {
            let mut first = first.accept().unwrap().0;
            let greeting = nbd_testkit::oldstyle_greeting(1 << 16, 1);
            std::io::Write::write_all(&mut first, &greeting).unwrap();
        });
        let policy = Reconnect::new().total_time(Some(Duration::from_millis(300)));
        let client = with(policy).connect(&uri).unwrap();
        server.join().unwrap();
        // The system takes connections for whoever listens, so that each attempt gets one and hears nothing.
        let error = client.read_at(&mut [0; 512], 0).unwrap_err();
        assert!(not_restored(&error).is_some_and(|attempts| attempts > 0), "{error}");
        drop(listener);
    });
}

#[test]
fn next_to_nothing_may_be_kept_of_what_many_threads_write() {
    for most in [0, 1, 5000] {
        let Some(mut server) = Phoenix::new(1 << 20, Bird::Forgetful) else { return };
        server.start();
        let policy = Reconnect::new().first_delay(Duration::from_millis(2)).total_time(Some(HANG)).max_kept(most);
        let client = with(policy).connect(&server.uri()).unwrap();
        must_end(move || {
            let workers: Vec<_> = (0..4_u64)
                .map(|part| {
                    let client = client.clone();
                    std::thread::spawn(move || {
                        for round in 0..40_u8 {
                            client.write_at(&[round; 4096], part << 18).unwrap();
                            client.write_at(&[!round; 100], (part << 18) + 50).unwrap();
                        }
                    })
                })
                .collect();
            for _ in 0..5 {
                server.rise();
                client.read_at(&mut [0; 512], 0).unwrap();
            }
            for worker in workers {
                worker.join().unwrap();
            }
            for part in 0..4_u64 {
                let mut found = [0; 4096];
                client.read_at(&mut found, part << 18).unwrap();
                assert!(found[..50] == [39; 50] && found[50..150] == [!39; 100] && found[150..] == [39; 3946]);
            }
            client.shutdown().unwrap();
        });
    }
}

#[test]
fn a_shutdown_by_two_threads_waits_for_the_server() {
    must_end(|| {
        let Some(mut server) = Phoenix::new(1 << 16, Bird::Forgetful) else { return };
        server.start();
        let client = options().connect(&server.uri()).unwrap();
        client.write_at(&[1; 512], 0).unwrap();
        let mut queue = client.queue();
        server.kill();
        queue.write(vec![2; 512], 4096).unwrap();
        queue.send();
        let enders: Vec<_> = (0..2)
            .map(|_| {
                let client = client.clone();
                std::thread::spawn(move || client.shutdown())
            })
            .collect();
        server.start();
        for ender in enders {
            ender.join().unwrap().unwrap();
        }
        queue.wait().unwrap().result.unwrap();
        assert!(queue.wait().is_none());
        assert!(client.shutdown().is_ok(), "once more");
        assert!(client.read_at(&mut [0; 512], 0).is_err());
    });
}

#[test]
fn a_queue_that_is_dropped_while_the_server_is_away_leaves_its_writes() {
    must_end(|| {
        let Some(mut server) = Phoenix::new(1 << 16, Bird::Nbdkit) else { return };
        server.start();
        let client = options().max_in_flight(4).connect(&server.uri()).unwrap();
        server.kill();
        let mut queue = client.queue();
        for at in 0..4 {
            queue.write(vec![3; 512], at * 512).unwrap();
        }
        queue.send();
        drop(queue);
        // There is no room until the server is back.
        let reader = client.clone();
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 2048];
            reader.read_at(&mut buffer, 0).map(|()| buffer)
        });
        let mut other = client.queue();
        server.start();
        other.wait_for_room();
        other.read(vec![0; 2048], 0).unwrap();
        assert_eq!(other.wait().unwrap().buffer, [3; 2048]);
        assert_eq!(reader.join().unwrap().unwrap(), [3; 2048]);
        assert_eq!(client.queue().in_flight(), 0);
    });
}
