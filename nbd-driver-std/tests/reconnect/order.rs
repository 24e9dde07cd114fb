//! What goes out when, and what is taken for a loss.

use std::time::Duration;

use nbd_driver_std::nbd_proto::transmission::Command;
use nbd_driver_std::{ConnectOptions, Error, Interrupted, Reconnect};
use nbd_testkit::must_end;

use crate::acts::{FLUSH, Play, READ, WRITE};
use crate::patient::options;

const ESHUTDOWN: u32 = 108;

#[test]
fn overlapping_writes_keep_their_order_on_each_connection() {
    must_end(|| {
        let play = Play::new(|number, act| {
            // The second overlaps the first, and has to wait for it; the third need not.
            let first = act.expect(WRITE, 0);
            let third = act.expect(WRITE, 8192);
            if number == 0 {
                return true;
            }
            act.reply(&third, 0, 0);
            act.reply(&first, 0, 0);
            let second = act.expect(WRITE, 256);
            act.reply(&second, 0, 0);
            act.goodbye();
            false
        });
        let client = options().connect(&play.uri()).unwrap();
        let mut queue = client.queue();
        let tickets = [0, 256, 8192].map(|offset| queue.write(vec![1; 512], offset).unwrap());
        let ended: Vec<_> = std::iter::from_fn(|| queue.wait()).collect();
        assert!(ended.iter().all(|completion| completion.result.is_ok() && completion.buffer == [1; 512]));
        let order: Vec<_> = ended.iter().map(|completion| completion.ticket).collect();
        assert_eq!(order, [tickets[2], tickets[0], tickets[1]]);
        client.shutdown().unwrap();
        play.end();
    });
}

#[test]
fn what_a_flush_covers_is_written_again_before_it_and_not_behind_it() {
    must_end(|| {
        let play = Play::new(|number, act| {
            if number < 2 {
                let write = act.expect(WRITE, 512);
                act.reply(&write, 0, 0);
                let flush = act.expect(FLUSH, 0);
                if number == 0 {
                    return true;
                }
                act.reply(&flush, 0, 0);
            }
            let read = act.expect(READ, 0);
            if number == 1 {
                return true;
            }
            act.reply(&read, 0, 9);
            act.goodbye();
            false
        });
        let client = options().connect(&play.uri()).unwrap();
        client.write_at(&[1; 512], 512).unwrap();
        client.flush().unwrap();
        client.read_at(&mut [0; 512], 0).unwrap();
        client.shutdown().unwrap();
        play.end();
    });
}

#[test]
fn a_server_that_shuts_down_is_left_for_the_one_that_comes_next() {
    must_end(|| {
        let play = Play::new(|number, act| {
            let read = act.expect(READ, 4096);
            act.reply(&read, if number == 0 { ESHUTDOWN } else { 0 }, 7);
            act.goodbye();
            number == 0
        });
        let client = options().connect(&play.uri()).unwrap();
        let mut buffer = [0; 512];
        client.read_at(&mut buffer, 4096).unwrap();
        assert_eq!(buffer, [7; 512]);
        client.shutdown().unwrap();
        play.end();
    });
}

#[test]
fn other_errors_are_the_callers_and_no_loss() {
    must_end(|| {
        let play = Play::new(|_, act| {
            let read = act.expect(READ, 0);
            act.reply(&read, 5, 0);
            let write = act.expect(WRITE, 0);
            act.reply(&write, 28, 0);
            act.goodbye();
            false
        });
        let client = options().connect(&play.uri()).unwrap();
        assert!(matches!(client.read_at(&mut [0; 512], 0), Err(Error::Command(_))));
        assert!(matches!(client.write_at(&[0; 512], 0), Err(Error::Command(_))));
        client.shutdown().unwrap();
        play.end();
    });
}

#[test]
fn what_was_answered_and_fails_when_it_is_written_again_ends_the_client() {
    must_end(|| {
        let play = Play::new(|number, act| {
            let write = act.expect(WRITE, 1024);
            act.reply(&write, if number == 0 { 0 } else { 28 }, 0);
            if number == 0 {
                act.expect(READ, 0);
            }
            number == 0
        });
        let client = options().connect(&play.uri()).unwrap();
        client.write_at(&[1; 512], 1024).unwrap();
        let error = client.read_at(&mut [0; 512], 0).unwrap_err();
        assert!(matches!(error, Error::Broken(_)), "{error}");
        assert!(error.to_string().contains("512 bytes at 1024 had succeeded, but fails now"), "{error}");
        assert!(matches!(client.flush(), Err(Error::Broken(_))));
        play.end();
    });
}

#[test]
fn a_server_that_breaks_the_protocol_is_not_asked_again() {
    must_end(|| {
        let play = Play::new(|_, act| {
            act.expect(READ, 0);
            act.say(&[0x55; 16]);
            false
        });
        let client = options().connect(&play.uri()).unwrap();
        let error = client.read_at(&mut [0; 512], 0).unwrap_err();
        assert!(matches!(error, Error::Connection(_)), "{error}");
        assert_eq!(client.flush().unwrap_err().to_string(), error.to_string());
        play.end();
    });
}

#[test]
fn a_request_that_ends_each_connection_is_given_up_in_time() {
    must_end(|| {
        // Others get on, so each connection proves good.
        let play = Play::new(|_, act| {
            loop {
                let request = act.request();
                if request.offset == 666 {
                    return true;
                }
                act.reply(&request, 0, 1);
            }
        });
        let policy =
            Reconnect::new().first_delay(Duration::from_millis(1)).total_time(Some(Duration::from_millis(300)));
        let client = ConnectOptions::new().reconnect(Some(policy)).connect(&play.uri()).unwrap();
        let mut queue = client.queue();
        queue.read(vec![0; 512], 666).unwrap();
        loop {
            if queue.in_flight() < 2 && queue.read(vec![0; 512], 0).is_err() {
                break;
            }
            if queue.wait().unwrap().result.is_err() {
                break;
            }
        }
        assert!(matches!(client.flush(), Err(Error::NotRestored { .. })));
    });
}

#[test]
fn a_wait_can_be_interrupted_while_there_is_no_connection() {
    must_end(|| {
        let play = Play::new(|_, act| {
            act.expect(READ, 0);
            false
        });
        let policy = Reconnect::new().first_delay(Duration::from_secs(3600)).max_delay(Duration::from_secs(3600));
        let options = ConnectOptions::new().reconnect(Some(policy.total_time(None)));
        let client = options.connect(&play.uri()).unwrap();
        let mut queue = client.queue();
        queue.submit(Command::read(0, 512), vec![0; 512]).unwrap();
        queue.send();
        play.end();
        let interrupter = queue.interrupter();
        let waiter = std::thread::spawn(move || {
            let ended = queue.wait_or_interrupt();
            (ended.is_err_and(|Interrupted| true), queue.in_flight())
        });
        interrupter.interrupt();
        assert_eq!(waiter.join().unwrap(), (true, 1));
    });
}
