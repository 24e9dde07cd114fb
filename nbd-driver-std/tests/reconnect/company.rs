//! Several that use one client, one of whom behaves badly.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::channel;
use std::time::Duration;

use nbd_driver_std::{ConnectOptions, Error, Interrupted, Reconnect, ReconnectEvent};
use nbd_testkit::{Bird, HANG, Phoenix, must_end};

use crate::acts::{Play, READ, WRITE};
use crate::patient::options;

const ESHUTDOWN: u32 = 108;

#[test]
fn a_server_that_hangs_is_left_for_a_new_connection_when_a_request_is_late() {
    must_end(|| {
        let play = Play::new(|number, act| {
            let read = act.expect(READ, 0);
            if number == 0 {
                // It keeps the connection, and says nothing until the client has gone.
                act.gone();
                return true;
            }
            act.reply(&read, 0, 3);
            act.goodbye();
            false
        });
        let client = options().request_timeout(Some(Duration::from_millis(200))).connect(&play.uri()).unwrap();
        let mut found = [0; 512];
        client.read_at(&mut found, 0).unwrap();
        assert_eq!(found, [3; 512]);
        client.shutdown().unwrap();
        play.end();
    });
}

#[test]
fn what_is_answered_behind_the_news_of_a_shutdown_counts() {
    must_end(|| {
        let play = Play::new(|number, act| {
            if number == 0 {
                let writes = [0, 512, 1024].map(|at| act.expect(WRITE, at));
                act.reply(&writes[1], ESHUTDOWN, 0);
                act.reply(&writes[0], 0, 0);
                act.reply(&writes[2], 0, 0);
                act.goodbye();
                return true;
            }
            // Those that were answered are not safe yet, so they come first, in their order.
            for at in [0, 1024, 512] {
                let write = act.expect(WRITE, at);
                act.reply(&write, 0, 0);
            }
            act.goodbye();
            false
        });
        let client = options().connect(&play.uri()).unwrap();
        let mut queue = client.queue();
        let tickets = [0, 512, 1024].map(|at| queue.write(vec![1; 512], at).unwrap());
        let mut ended: Vec<_> = std::iter::from_fn(|| queue.wait()).collect();
        ended.sort_by_key(|completion| tickets.iter().position(|ticket| *ticket == completion.ticket));
        assert!(ended.len() == 3 && ended.iter().all(|completion| completion.result.is_ok()));
        client.shutdown().unwrap();
        play.end();
    });
}

#[test]
fn a_listener_that_panics_ends_the_client_and_nobody_hangs() {
    must_end(|| {
        let Some(mut server) = Phoenix::new(1 << 16, Bird::Nbdkit) else { return };
        server.start();
        let policy = Reconnect::new().on_event(|event| {
            assert!(!matches!(event, ReconnectEvent::Lost { .. }), "this one panics");
        });
        let client = ConnectOptions::new().reconnect(Some(policy)).connect(&server.uri()).unwrap();
        server.kill();
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let client = client.clone();
                std::thread::spawn(move || catch_unwind(AssertUnwindSafe(|| client.read_at(&mut [0; 512], 0))))
            })
            .collect();
        let mut panicked = 0;
        for reader in readers {
            match reader.join().unwrap() {
                Ok(result) => assert!(result.is_err()),
                Err(_) => panicked += 1,
            }
        }
        assert_eq!(panicked, 1);
        assert!(client.flush().is_err());
    });
}

#[test]
fn queues_of_two_threads_get_their_own_completions_over_kills() {
    must_end(|| {
        let Some(mut server) = Phoenix::new(1 << 20, Bird::Forgetful) else { return };
        server.start();
        let client = options().max_in_flight(8).connect(&server.uri()).unwrap();
        let (turn, turns) = channel();
        let workers: Vec<_> = (0..2_u8)
            .map(|half| {
                let (client, turn) = (client.clone(), turn.clone());
                std::thread::spawn(move || {
                    let base = u64::from(half) << 19;
                    for round in 0..60_u8 {
                        let mut queue = client.queue();
                        for at in 0..6 {
                            while queue.write(vec![round ^ half; 4096], base + at * 4096).is_err() {
                                queue.wait_for_room();
                            }
                        }
                        // Nobody waits for these, and the next round's are to come behind them.
                        if round % 3 == 0 {
                            queue.send();
                            drop(queue);
                        } else {
                            while let Some(completion) = queue.wait() {
                                completion.result.unwrap();
                                assert_eq!(completion.buffer, vec![round ^ half; 4096]);
                            }
                            let mut found = vec![0; 6 * 4096];
                            client.read_at(&mut found, base).unwrap();
                            assert!(found.iter().all(|byte| *byte == round ^ half), "half {half}, round {round}");
                        }
                        turn.send(()).unwrap();
                    }
                })
            })
            .collect();
        drop(turn);
        for number in 0.. {
            if turns.recv().is_err() {
                break;
            }
            if number % 8 == 0 {
                server.rise();
            }
        }
        for worker in workers {
            worker.join().unwrap();
        }
        client.shutdown().unwrap();
    });
}

#[test]
fn a_queue_outlives_the_client_it_came_from() {
    must_end(|| {
        let Some(mut server) = Phoenix::new(1 << 16, Bird::Nbdkit) else { return };
        server.start();
        let client = options().connect(&server.uri()).unwrap();
        let mut queue = client.queue();
        queue.write(vec![7; 512], 0).unwrap();
        drop(client);
        server.rise();
        queue.wait().unwrap().result.unwrap();
        server.rise();
        queue.read(vec![0; 512], 0).unwrap();
        let read = queue.wait().unwrap();
        assert!(read.result.is_ok() && read.buffer == [7; 512]);
        assert!(queue.wait().is_none());
    });
}

#[test]
fn who_is_interrupted_all_the_time_gets_on() {
    must_end(|| {
        let Some(mut server) = Phoenix::new(1 << 16, Bird::Nbdkit) else { return };
        server.start();
        let client = options().connect(&server.uri()).unwrap();
        let mut queue = client.queue();
        let interrupter = queue.interrupter();
        let (stop, stopped) = channel::<()>();
        let pest = std::thread::spawn(move || {
            while stopped.try_recv().is_err_and(|error| error == std::sync::mpsc::TryRecvError::Empty) {
                interrupter.interrupt();
                std::thread::yield_now();
            }
        });
        let mut times = 0;
        for round in 0..40 {
            if round % 10 == 5 {
                server.rise();
            }
            queue.read(vec![0; 512], 0).unwrap();
            loop {
                match queue.wait_or_interrupt() {
                    Err(Interrupted) => times += 1,
                    Ok(completion) => break completion.unwrap().result.unwrap(),
                }
            }
        }
        assert!(times > 0);
        drop(stop);
        pest.join().unwrap();
    });
}

#[test]
fn a_server_that_comes_back_with_a_disk_that_cannot_be_written_is_another() {
    must_end(|| {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("socket");
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let server = std::thread::spawn(move || {
            // Has flags; then read-only as well.
            for flags in [0b1, 0b11] {
                let mut stream = listener.accept().unwrap().0;
                let greeting = nbd_testkit::oldstyle_greeting(1 << 16, flags);
                std::io::Write::write_all(&mut stream, &greeting).unwrap();
            }
        });
        let (told, telling) = channel();
        let policy =
            Reconnect::new().total_time(Some(HANG)).on_event(move |event| told.send(format!("{event:?}")).unwrap());
        let uri = format!("nbd+unix:///?socket={}", socket.display());
        let client = ConnectOptions::new().reconnect(Some(policy)).connect(&uri).unwrap();
        let error = client.read_at(&mut [0; 512], 0).unwrap_err();
        assert!(matches!(error, Error::Changed(_)), "{error}");
        assert!(error.to_string().contains("READ_ONLY"), "{error}");
        drop(client);
        let events: Vec<String> = telling.iter().collect();
        assert!(events.len() == 1 && events[0].starts_with("Lost"), "{events:?}");
        server.join().unwrap();
    });
}
