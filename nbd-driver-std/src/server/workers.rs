//! Threads of one connection that call its backend, so that neither the connection nor any other waits for it.
//!
//! To wake a thread costs more than many a job. So one at most is on its way at a time, and when it has come, it sends
//! for the next if there are still jobs: where jobs are short, few threads do them all, and where they are long, there
//! are soon as many as may be.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use super::jobs::{Ground, Job, Outcome};
use super::link::Link;

/// The threads. They are started when needed, and stay until the connection is over.
pub(super) struct Workers {
    desk: Arc<Desk>,
    /// Jobs whose outcome was not taken yet.
    running: usize,
}

/// Where jobs and outcomes lie.
struct Desk {
    ground: Arc<Ground>,
    link: Arc<Link>,
    /// How many threads there may be.
    most: usize,
    jobs: Mutex<Jobs>,
    /// There are jobs, or there will be none.
    news: Condvar,
    outcomes: Mutex<Vec<Outcome>>,
    /// Whether the connection's thread has to be woken for an outcome.
    asleep: AtomicBool,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    threads: Vec<JoinHandle<()>>,
    /// Threads with nothing to do.
    idle: usize,
    /// Whether a thread is on its way.
    coming: bool,
    closed: bool,
}

impl Workers {
    pub(super) fn new(ground: Arc<Ground>, link: Arc<Link>, most: usize) -> Self {
        let desk = Desk {
            ground,
            link,
            most,
            jobs: Mutex::default(),
            news: Condvar::new(),
            outcomes: Mutex::default(),
            asleep: AtomicBool::new(false),
        };
        Self { desk: Arc::new(desk), running: 0 }
    }

    /// How many jobs have not come back.
    pub(super) fn running(&self) -> usize {
        self.running
    }

    /// Hands in a job. Errors, and keeps nothing, if there is no thread and none can be started.
    pub(super) fn hand_in(&mut self, job: Job) -> Result<(), Job> {
        let mut jobs = lock(&self.desk.jobs);
        jobs.waiting.push_back(job);
        if let Err(error) = self.desk.send_for_one(&mut jobs) {
            if jobs.threads.is_empty() {
                tracing::warn!(peer = self.desk.link.peer, "starting a thread: {error}");
                return jobs.waiting.pop_back().map_or(Ok(()), Err);
            }
        }
        self.running += 1;
        Ok(())
    }

    /// Swaps the outcomes that have come in.
    pub(super) fn take(&mut self, outcomes: &mut Vec<Outcome>) {
        if self.running > 0 {
            std::mem::swap(&mut *lock(&self.desk.outcomes), outcomes);
            self.running -= outcomes.len();
        }
    }

    /// From now on, and until an outcome comes, the connection's thread may sleep. `false` if one has come already.
    pub(super) fn may_sleep(&self) -> bool {
        self.desk.asleep.store(true, Ordering::SeqCst);
        lock(&self.desk.outcomes).is_empty()
    }

    /// The connection's thread is awake again, and need not be woken.
    pub(super) fn is_awake(&self) {
        self.desk.asleep.store(false, Ordering::SeqCst);
    }

    /// Forgets the jobs that no thread has begun.
    pub(super) fn cancel(&mut self) {
        self.running -= std::mem::take(&mut lock(&self.desk.jobs).waiting).len();
    }

    /// Ends all threads, and waits for them.
    pub(super) fn end(self) {
        let mut jobs = lock(&self.desk.jobs);
        jobs.closed = true;
        let threads = std::mem::take(&mut jobs.threads);
        drop(jobs);
        self.desk.news.notify_all();
        for thread in threads {
            // Nothing in it can panic but a subscriber to the traces, and that was told.
            let _ = thread.join();
        }
    }
}

impl Desk {
    /// Sends for a thread, unless one is on its way or there are as many as may be. Errors if it cannot be started.
    fn send_for_one(self: &Arc<Self>, jobs: &mut Jobs) -> io::Result<()> {
        if jobs.coming || jobs.closed {
            return Ok(());
        }
        if jobs.idle > 0 {
            jobs.coming = true;
            self.news.notify_one();
        } else if jobs.threads.len() < self.most {
            let desk = self.clone();
            jobs.threads.push(thread::Builder::new().name("nbd-worker".into()).spawn(move || desk.work())?);
            jobs.coming = true;
        }
        Ok(())
    }

    fn work(self: &Arc<Self>) {
        lock(&self.jobs).coming = false;
        while let Some(job) = self.next() {
            let outcome = job.run(&self.ground);
            lock(&self.outcomes).push(outcome);
            if self.asleep.swap(false, Ordering::SeqCst) {
                self.link.stream.wake();
            }
        }
    }

    /// Waits for a job; `None` when there will be none.
    fn next(self: &Arc<Self>) -> Option<Job> {
        let mut jobs = lock(&self.jobs);
        loop {
            if let Some(job) = jobs.waiting.pop_front() {
                if !jobs.waiting.is_empty() {
                    // Without one more, those that there are do the work.
                    let _ = self.send_for_one(&mut jobs);
                }
                return Some(job);
            }
            if jobs.closed {
                return None;
            }
            jobs.idle += 1;
            jobs = self.news.wait(jobs).unwrap_or_else(PoisonError::into_inner);
            jobs.idle -= 1;
            // Whoever wakes for another reason, and finds nothing, was not sent for; that costs a wake at most.
            jobs.coming = false;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
