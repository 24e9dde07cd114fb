//! One thread that starts all servers, and lives as long as the process.
//!
//! nbdkit 1.32 asks the kernel for a signal when its parent dies, even without
//! `--exit-with-parent`. The kernel means the parent *thread*, and a test may start a server on a
//! thread that ends before the server should.

use std::io;
use std::process::{Child, Command};
use std::sync::{OnceLock, mpsc};
use std::thread;

type Job = (Command, mpsc::Sender<io::Result<Child>>);

pub(crate) fn spawn(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<mpsc::Sender<Job>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, jobs) = mpsc::channel::<Job>();
        thread::spawn(move || {
            for (mut command, answer) in jobs {
                answer.send(command.spawn()).ok();
            }
        });
        sender
    });
    let (sender, answer) = mpsc::channel();
    spawner.send((command, sender)).expect("the spawner never ends");
    answer.recv().expect("the spawner answers")
}
