//! Queues beside other threads, and in another thread than their client.

use std::sync::mpsc;
use std::thread;

use nbd_testkit::pattern;

use crate::driver::ConnectOptions;
use crate::peer::{ALL, READ, oldstyle};
use crate::queue::fill;
use crate::support::{MIB, assert_same, must_end};

#[test]
fn a_queue_works_while_another_thread_blocks() {
    must_end(|| {
        let (blocked, is_blocked) = mpsc::channel();
        let (client, server) = oldstyle(&ConnectOptions::new(), MIB, ALL, move |peer| {
            let mut disk = pattern(1 << 20, 1);
            let held = peer.expect(READ);
            blocked.send(()).unwrap();
            for _ in 0..100 {
                let request = peer.request().unwrap();
                peer.perform(&request, &mut disk);
            }
            peer.perform(&held, &mut disk);
            peer.expect_goodbye();
        });
        thread::scope(|scope| {
            let held = scope.spawn(|| {
                let mut data = vec![0; 100_000];
                client.read_at(&mut data, 0).unwrap();
                data
            });
            is_blocked.recv().unwrap();
            let mut queue = client.queue();
            for number in 0..100 {
                queue.read(vec![0; 512], number * 512).unwrap();
            }
            while let Some(completion) = queue.wait() {
                completion.result.unwrap();
            }
            assert_same(&held.join().unwrap(), &pattern(100_000, 1));
        });
        drop(client);
        server.join().unwrap();
    });
}

#[test]
fn a_queue_outlives_its_client_and_changes_threads() {
    must_end(|| {
        let (client, server) = oldstyle(&ConnectOptions::new(), MIB, ALL, |peer| peer.serve(pattern(1 << 20, 1)));
        let mut queue = client.queue();
        fill(&mut queue, 10);
        drop(client);
        let queue = thread::spawn(move || {
            queue.wait().unwrap().result.unwrap();
            queue
        });
        let mut queue = queue.join().unwrap();
        let mut ended = 1;
        while let Some(completion) = queue.wait() {
            completion.result.unwrap();
            ended += 1;
        }
        assert_eq!(ended, 10);
        drop(queue);
        server.join().unwrap();
    });
}
