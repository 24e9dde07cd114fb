//! Many requests in flight.

use std::cell::RefCell;
use std::rc::Rc;

use nbd_driver_mio::nbd_proto::transmission::{Command, ContextExtents};
use nbd_driver_mio::nbd_proto::wire::number::{ContextId, Cookie};

use super::error::Error;
use super::motor::{Id, Motor};

pub(crate) struct Queue {
    motor: Rc<RefCell<Motor>>,
    id: Id,
}

#[derive(Debug)]
pub(crate) struct Completion {
    pub(crate) ticket: Cookie,
    pub(crate) command: Command,
    pub(crate) buffer: Vec<u8>,
    pub(crate) contexts: Vec<ContextExtents>,
    pub(crate) result: Result<(), Error>,
}

#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub(crate) struct Rejected {
    pub(crate) error: Error,
    pub(crate) buffer: Vec<u8>,
    not_now: bool,
}

impl Rejected {
    pub(crate) const fn is_full(&self) -> bool {
        self.not_now
    }

    fn new(rejected: nbd_driver_mio::Rejected) -> Self {
        let not_now = rejected.is_not_now();
        Self { error: rejected.why.into(), buffer: rejected.buffer.into_vec(), not_now }
    }
}

impl Queue {
    pub(super) fn new(motor: &Rc<RefCell<Motor>>) -> Self {
        let id = motor.borrow_mut().new_queue();
        Self { motor: motor.clone(), id }
    }

    pub(crate) fn read(&mut self, buffer: Vec<u8>, offset: u64) -> Result<Cookie, Rejected> {
        let mut motor = self.motor.borrow_mut();
        let cookie = motor.client.read(buffer, offset).map_err(Rejected::new)?;
        motor.submitted(cookie, self.id);
        Ok(cookie)
    }

    pub(crate) fn write(&mut self, buffer: Vec<u8>, offset: u64) -> Result<Cookie, Rejected> {
        let mut motor = self.motor.borrow_mut();
        let cookie = motor.client.write(buffer, offset).map_err(Rejected::new)?;
        motor.submitted(cookie, self.id);
        Ok(cookie)
    }

    pub(crate) fn submit(&mut self, command: Command, buffer: Vec<u8>) -> Result<Cookie, Rejected> {
        let mut motor = self.motor.borrow_mut();
        let cookie = motor.client.submit(command, buffer).map_err(Rejected::new)?;
        motor.submitted(cookie, self.id);
        Ok(cookie)
    }

    pub(super) fn submit_for(&mut self, command: Command, context: ContextId) -> Result<Cookie, Rejected> {
        let mut motor = self.motor.borrow_mut();
        let cookie = motor.client.submit_for_contexts(command, &[context]).map_err(Rejected::new)?;
        motor.submitted(cookie, self.id);
        Ok(cookie)
    }

    pub(crate) fn send(&mut self) {
        self.motor.borrow_mut().run();
    }

    pub(crate) fn in_flight(&self) -> usize {
        let motor = self.motor.borrow();
        motor.in_flight(self.id) + motor.queues[&self.id].len()
    }

    pub(crate) fn wait_for_room(&mut self) {
        self.motor.borrow_mut().run_until(|motor| motor.client.room() > 0 || motor.client.end().is_some());
    }

    pub(crate) fn wait(&mut self) -> Option<Completion> {
        let mut motor = self.motor.borrow_mut();
        motor.run_until(|motor| !motor.queues[&self.id].is_empty() || motor.in_flight(self.id) == 0);
        let done = motor.queues.get_mut(&self.id)?.pop_front()?;
        Some(Completion {
            ticket: done.cookie,
            command: done.command,
            buffer: done.buffer.into_vec(),
            contexts: done.contexts,
            result: done.result.map_err(Error::from),
        })
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.motor.borrow_mut().queues.remove(&self.id);
    }
}
