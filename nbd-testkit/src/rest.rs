//! Whether threads rest, as the system tells of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::PATIENCE;

/// How often a thread is looked at that seems to rest, and how long between.
const LOOKS: u32 = 20;
const BETWEEN: Duration = Duration::from_millis(5);

/// Where the system tells about the calling thread.
pub fn this_thread() -> PathBuf {
    Path::new("/proc").join(fs::read_link("/proc/thread-self").unwrap())
}

/// Waits until a thread sleeps, and nothing wakes it: it waits for an event, and does not ask for one again and again.
///
/// A thread in a busy loop is not asleep, and one that wakes now and then is told by how often it had the processor; so
/// only a long look by a lucky chance takes it for one that rests.
///
/// # Panics
/// If it does not come to rest.
pub fn await_rest(thread: &Path) {
    let deadline = Instant::now() + PATIENCE;
    while !rests(thread) {
        assert!(Instant::now() < deadline, "a thread does not come to rest: {:?}", look(thread));
    }
}

fn rests(thread: &Path) -> bool {
    let first = look(thread);
    first.is_some()
        && (0..LOOKS).all(|_| {
            thread::sleep(BETWEEN);
            look(thread) == first
        })
}

/// How much a thread has done so far. None if it is not asleep.
fn look(thread: &Path) -> Option<Vec<String>> {
    let stat = fs::read_to_string(thread.join("stat")).unwrap();
    // The name stands in brackets, and may have some of its own.
    let mut fields = stat.rsplit_once(") ").unwrap().1.split(' ');
    let asleep = fields.next() == Some("S");
    let status = fs::read_to_string(thread.join("status")).unwrap();
    let switches = status.lines().filter(|line| line.contains("ctxt_switches")).map(str::to_owned);
    // Times in user and system mode.
    asleep.then(|| fields.skip(10).take(2).map(str::to_owned).chain(switches).collect())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::net::UnixStream;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc::channel;
    use std::thread;
    use std::time::Duration;

    use super::{await_rest, rests, this_thread};

    /// Where a thread is that does this, over and over.
    fn told_of(work: impl Fn() + Send + Sync, check: impl FnOnce(&std::path::Path)) {
        let (over, (sender, receiver)) = (AtomicBool::new(false), channel());
        thread::scope(|scope| {
            scope.spawn(|| {
                sender.send(this_thread()).unwrap();
                while !over.load(Ordering::Relaxed) {
                    work();
                }
            });
            check(&receiver.recv().unwrap());
            over.store(true, Ordering::Relaxed);
        });
    }

    #[test]
    fn a_busy_loop_is_no_rest() {
        told_of(std::hint::spin_loop, |thread| assert!(!rests(thread)));
        told_of(|| thread::sleep(Duration::from_millis(1)), |thread| assert!(!rests(thread)));
    }

    #[test]
    fn to_wait_for_bytes_is_a_rest() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        thread::scope(|scope| {
            let (sender, receiver) = channel();
            scope.spawn(move || {
                sender.send(this_thread()).unwrap();
                theirs.read_to_end(&mut Vec::new()).unwrap();
            });
            await_rest(&receiver.recv().unwrap());
            drop(ours);
        });
    }
}
