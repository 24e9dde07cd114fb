//! One request at a time, each waited for.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::rc::Rc;

use nbd_driver_mio::nbd_proto::error::{Ended, Error as Over};
use nbd_driver_mio::nbd_proto::handshake::Negotiated;
use nbd_driver_mio::nbd_proto::transmission::{Command, ContextExtents};
use nbd_driver_mio::nbd_proto::wire::flags::{CommandFlags, TransmissionFlags};
use nbd_driver_mio::nbd_proto::wire::number::{CommandType, ContextId, Cookie};

use super::error::Error;
use super::motor::Motor;
use super::options::ConnectOptions;
use super::queue::{Completion, Queue};
use super::status::BlockStatus;

pub(crate) struct Client {
    motor: Rc<RefCell<Motor>>,
    negotiated: Negotiated,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

impl Client {
    pub(super) fn new(motor: Motor) -> Self {
        let negotiated = motor.client.negotiated().clone();
        Self { motor: Rc::new(RefCell::new(motor)), negotiated }
    }

    pub(crate) fn connect(uri: &str) -> Result<Self, Error> {
        ConnectOptions::new().connect(uri)
    }

    pub(crate) const fn negotiated(&self) -> &Negotiated {
        &self.negotiated
    }

    pub(crate) const fn size(&self) -> u64 {
        self.negotiated.info.size
    }

    pub(crate) const fn is_read_only(&self) -> bool {
        self.offers(TransmissionFlags::READ_ONLY)
    }

    pub(crate) const fn offers(&self, flags: TransmissionFlags) -> bool {
        self.negotiated.info.flags.contains(flags)
    }

    pub(crate) fn queue(&self) -> Queue {
        Queue::new(&self.motor)
    }

    pub(crate) fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), Error> {
        self.read_at_with(buffer, offset, CommandFlags::empty())
    }

    pub(crate) fn read_at_with(&self, buffer: &mut [u8], offset: u64, flags: CommandFlags) -> Result<(), Error> {
        let command = Command::read(offset, buffer.len() as u64).with_flags(flags);
        let done = self.execute(command, None, buffer.to_vec())?;
        buffer.copy_from_slice(&done.buffer);
        Ok(())
    }

    pub(crate) fn write_at(&self, data: &[u8], offset: u64) -> Result<(), Error> {
        self.write_at_with(data, offset, CommandFlags::empty())
    }

    pub(crate) fn write_at_with(&self, data: &[u8], offset: u64, flags: CommandFlags) -> Result<(), Error> {
        let command = Command::write(offset, data.len() as u64).with_flags(flags);
        self.execute(command, None, data.to_vec()).map(drop)
    }

    pub(crate) fn flush(&self) -> Result<(), Error> {
        self.bare(Command::flush())
    }

    pub(crate) fn trim(&self, offset: u64, length: u64) -> Result<(), Error> {
        self.bare(Command::trim(offset, length))
    }

    pub(crate) fn trim_with(&self, offset: u64, length: u64, flags: CommandFlags) -> Result<(), Error> {
        self.bare(Command::trim(offset, length).with_flags(flags))
    }

    pub(crate) fn cache(&self, offset: u64, length: u64) -> Result<(), Error> {
        self.bare(Command::cache(offset, length))
    }

    pub(crate) fn write_zeroes(&self, offset: u64, length: u64) -> Result<(), Error> {
        self.bare(Command::write_zeroes(offset, length))
    }

    pub(crate) fn write_zeroes_with(&self, offset: u64, length: u64, flags: CommandFlags) -> Result<(), Error> {
        self.bare(Command::write_zeroes(offset, length).with_flags(flags))
    }

    pub(crate) fn block_status(&self, context: &str, range: Range<u64>) -> Result<BlockStatus<'_>, Error> {
        match self.negotiated.context(context) {
            Some(context) => Ok(BlockStatus::new(self, context.id, range)),
            None => Err(Error::NoSuchContext { name: context.to_owned() }),
        }
    }

    pub(crate) fn block_status_once(
        &self,
        offset: u64,
        length: u64,
        flags: CommandFlags,
    ) -> Result<Vec<ContextExtents>, Error> {
        Ok(self.execute(Command::block_status(offset, length).with_flags(flags), None, Vec::new())?.contexts)
    }

    /// One request about one context: of that one alone where the server can tell it apart.
    pub(super) fn context_status(&self, context: ContextId, command: Command) -> Result<Vec<ContextExtents>, Error> {
        let several = self.negotiated.contexts.len() > 1;
        let filter = several && self.offers(TransmissionFlags::BLOCK_STATUS_PAYLOAD);
        Ok(self.execute(command, filter.then_some(context), Vec::new())?.contexts)
    }

    /// Ends the connection, and tells how it ended.
    pub(crate) fn shutdown(&self) -> Result<(), Error> {
        let mut motor = self.motor.borrow_mut();
        motor.disconnect();
        motor.run_until(|motor| motor.client.end().is_some());
        motor.run();
        match motor.client.end() {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(error.clone().into()),
            None => Err(Over::from(Ended::GivenUp { reason: "it did not end".to_owned() }).into()),
        }
    }

    fn bare(&self, command: Command) -> Result<(), Error> {
        self.execute(command, None, Vec::new()).map(drop)
    }

    fn execute(&self, command: Command, context: Option<ContextId>, buffer: Vec<u8>) -> Result<Completion, Error> {
        let mut queue = self.queue();
        let mut buffer = buffer;
        let nothing = matches!(command.command, CommandType::READ | CommandType::WRITE) && command.length == 0;
        if nothing {
            // A caller's call about no bytes; no request can be.
            let (ticket, contexts) = (Cookie(0), Vec::new());
            return Ok(Completion { ticket, command, buffer, contexts, result: Ok(()) });
        }
        loop {
            let submitted = match context {
                None => queue.submit(command, buffer),
                Some(context) => queue.submit_for(command, context),
            };
            match submitted {
                Ok(_) => break,
                Err(rejected) if rejected.is_full() => {
                    buffer = rejected.buffer;
                    queue.wait_for_room();
                }
                Err(rejected) => return Err(rejected.error),
            }
        }
        let mut done = queue.wait().expect("one is in flight");
        std::mem::replace(&mut done.result, Ok(()))?;
        Ok(done)
    }
}
