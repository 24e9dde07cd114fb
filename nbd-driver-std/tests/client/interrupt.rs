//! A thread that waits for a queue can be called away by another one.

use std::thread;

use nbd_testkit::{Disk, Nbdkit, Playing, Script, oldstyle_greeting};

use crate::driver::{Client, ConnectOptions, Interrupted};
use crate::support::must_end;

/// A server that answers nothing.
fn silent() -> (Playing, Client) {
    let script = Script::new().send(oldstyle_greeting(4096, 1)).hold().listen();
    let client = ConnectOptions::new().connect(&script.uri()).unwrap();
    (script, client)
}

#[test]
fn a_wait_that_goes_on_ends() {
    let (_script, client) = silent();
    let mut queue = client.queue();
    queue.read(vec![0; 512], 0).unwrap();
    let interrupter = queue.interrupter();
    must_end(move || {
        let waiting = thread::spawn(move || (queue.wait_or_interrupt().map(drop), queue.in_flight()));
        // Whether it waits by now or not makes no difference.
        thread::yield_now();
        interrupter.interrupt();
        assert_eq!(waiting.join().unwrap(), (Err(Interrupted), 1));
    });
}

#[test]
fn so_does_the_next_one_and_none_behind_it() {
    let (_script, client) = silent();
    let mut queue = client.queue();
    queue.read(vec![0; 512], 0).unwrap();
    queue.interrupter().interrupt();
    queue.interrupter().interrupt();
    must_end(move || {
        assert!(matches!(queue.wait_or_interrupt(), Err(Interrupted)));
        // The second wait lasts: only this ends it.
        let interrupter = queue.interrupter();
        let waiting = thread::spawn(move || queue.wait_or_interrupt().map(drop));
        interrupter.interrupt();
        assert_eq!(waiting.join().unwrap(), Err(Interrupted));
    });
}

#[test]
fn nobodys_work_is_disturbed() {
    let disk = Disk::patterned(1 << 20, 5);
    let Some(server) = Nbdkit::disk(disk.clone()).start() else { return };
    let client = ConnectOptions::new().connect(&server.uri()).unwrap();
    let contents = disk.contents();
    must_end(move || {
        let mut queue = client.queue();
        let interrupter = queue.interrupter();
        thread::scope(|scope| {
            scope.spawn(|| {
                for at in (0..contents.len()).step_by(4096) {
                    let mut block = vec![0; 4096];
                    client.read_at(&mut block, at as u64).unwrap();
                    assert!(block == contents[at..at + 4096]);
                }
            });
            scope.spawn(|| (0..1000).for_each(|_| interrupter.interrupt()));
            let mut left = 64;
            for block in 0..left {
                queue.read(vec![0; 16384], block * 16384).unwrap();
            }
            while left > 0 {
                if let Ok(Some(completion)) = queue.wait_or_interrupt() {
                    let at = usize::try_from(completion.command.offset).unwrap();
                    assert!(completion.result.is_ok() && completion.buffer == contents[at..at + 16384]);
                    left -= 1;
                }
            }
            while queue.wait_or_interrupt().is_err() {}
        });
    });
}
