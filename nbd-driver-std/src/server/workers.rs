//! Threads of one connection that call its backend, so that neither the connection nor any other waits for it.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use super::jobs::{Ground, Job, Outcome};
use super::link::Link;

/// The threads. They are started when needed, and stay until the connection is over.
pub(super) struct Workers {
    desk: Arc<Desk>,
    threads: Vec<JoinHandle<()>>,
    most: usize,
    /// Jobs whose outcome was not taken yet.
    running: usize,
}

/// Where jobs and outcomes lie.
struct Desk {
    ground: Arc<Ground>,
    link: Arc<Link>,
    jobs: Mutex<Jobs>,
    /// There are jobs, or there will be none.
    news: Condvar,
    outcomes: Mutex<Vec<Outcome>>,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    /// Threads with nothing to do.
    idle: usize,
    closed: bool,
}

impl Workers {
    pub(super) fn new(ground: Arc<Ground>, link: Arc<Link>, most: usize) -> Self {
        let desk =
            Desk { ground, link, jobs: Mutex::default(), news: Condvar::new(), outcomes: Mutex::new(Vec::new()) };
        Self { desk: Arc::new(desk), threads: Vec::new(), most, running: 0 }
    }

    /// How many jobs have not come back.
    pub(super) fn running(&self) -> usize {
        self.running
    }

    /// Hands in a job. Errors, and keeps nothing, if there is no thread and none can be started.
    pub(super) fn hand_in(&mut self, job: Job) -> Result<(), Job> {
        let mut jobs = lock(&self.desk.jobs);
        jobs.waiting.push_back(job);
        if jobs.waiting.len() > jobs.idle && self.threads.len() < self.most {
            match start(&self.desk) {
                Ok(thread) => self.threads.push(thread),
                Err(error) if self.threads.is_empty() => {
                    tracing::warn!(peer = self.desk.link.peer, "starting a thread: {error}");
                    return jobs.waiting.pop_back().map_or(Ok(()), Err);
                }
                // Those that there are will come to it.
                Err(_) => {}
            }
        }
        drop(jobs);
        self.running += 1;
        self.desk.news.notify_one();
        Ok(())
    }

    /// Swaps the outcomes that have come in.
    pub(super) fn take(&mut self, outcomes: &mut Vec<Outcome>) {
        if self.running > 0 {
            std::mem::swap(&mut *lock(&self.desk.outcomes), outcomes);
            self.running -= outcomes.len();
        }
    }

    /// Forgets the jobs that no thread has begun.
    pub(super) fn cancel(&mut self) {
        self.running -= std::mem::take(&mut lock(&self.desk.jobs).waiting).len();
    }

    /// Ends all threads, and waits for them.
    pub(super) fn end(self) {
        lock(&self.desk.jobs).closed = true;
        self.desk.news.notify_all();
        for thread in self.threads {
            // Nothing in it can panic but a subscriber to the traces, and that was told.
            let _ = thread.join();
        }
    }
}

fn start(desk: &Arc<Desk>) -> io::Result<JoinHandle<()>> {
    let desk = desk.clone();
    thread::Builder::new().name("nbd-worker".into()).spawn(move || work(&desk))
}

fn work(desk: &Desk) {
    while let Some(job) = next(desk) {
        let outcome = job.run(&desk.ground);
        let mut outcomes = lock(&desk.outcomes);
        outcomes.push(outcome);
        let first = outcomes.len() == 1;
        drop(outcomes);
        if first {
            desk.link.stream.wake();
        }
    }
}

/// Waits for a job; `None` when there will be none.
fn next(desk: &Desk) -> Option<Job> {
    let mut jobs = lock(&desk.jobs);
    loop {
        if let Some(job) = jobs.waiting.pop_front() {
            return Some(job);
        }
        if jobs.closed {
            return None;
        }
        jobs.idle += 1;
        jobs = desk.news.wait(jobs).unwrap_or_else(PoisonError::into_inner);
        jobs.idle -= 1;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
