//! Requests to the driver, one at a time.

use super::attributes::{self, Wanted};
use super::change::{Connect, Reconfigure};
use super::failure::{Failure, Malformed};
use super::family::{Family, Group};
use super::link::Link;
use super::request::{Request, u32};
use super::status::{self, DeviceState};
use super::uapi::{self, attribute, command};
use super::wire::Wire;

/// A socket that has found the driver.
#[derive(Debug)]
pub(crate) struct Session {
    link: Link,
    family: Family,
}

impl Session {
    /// Looks for the driver. Errors with [`Failure::NoFamily`] if it is not there.
    pub(crate) fn open(wire: Box<dyn Wire>) -> Result<Self, Failure> {
        Self::open_as(wire, uapi::FAMILY, uapi::GROUP)
    }

    /// With other names, so that a test finds a family that every kernel has.
    pub(super) fn open_as(wire: Box<dyn Wire>, family: &str, group: &str) -> Result<Self, Failure> {
        let mut link = Link::new(wire);
        let family = Family::resolve(&mut link, family, group)?;
        Ok(Self { link, family })
    }

    /// Makes a device, and returns its index. It runs when this returns.
    ///
    /// After [`Failure::Malformed`] or [`Failure::Io`] there may be a device all the same.
    pub(crate) fn connect(&mut self, request: &Connect<'_>) -> Result<u32, Failure> {
        let mut index = None;
        self.exchange(request.request()?, |attributes| match index.replace(parse_index(attributes)?) {
            None => Ok(()),
            Some(_) => Err(Malformed::Twice("the device's index")),
        })?;
        let index = index.ok_or(Malformed::Missing("the device's index"))?;
        match request.index {
            Some(asked) if asked != index => Err(Malformed::Index { asked, came: index }.into()),
            _ => Ok(index),
        }
    }

    /// Changes a device, or gives it new sockets for dead ones.
    pub(crate) fn reconfigure(&mut self, index: u32, change: &Reconfigure<'_>) -> Result<(), Failure> {
        self.exchange(change.request(index)?, |_| Ok(()))
    }

    /// Ends a device; a success too if nothing is attached to it.
    pub(crate) fn disconnect(&mut self, index: u32) -> Result<(), Failure> {
        self.exchange(about(command::DISCONNECT, Some(index)), |_| Ok(()))
    }

    /// Lists all devices, or the one of an index, or none if that does not exist.
    pub(crate) fn status(&mut self, index: Option<u32>) -> Result<Vec<DeviceState>, Failure> {
        let mut devices = None;
        self.exchange(about(command::STATUS, index), |attributes| {
            status::parse(attributes, devices.get_or_insert_with(Vec::new))
        })?;
        let devices = devices.ok_or(Malformed::Missing("the list of devices"))?;
        let other = devices.iter().find(|device| index.is_some_and(|asked| asked != device.index));
        match (index, other) {
            (Some(asked), Some(other)) => Err(Malformed::Index { asked, came: other.index }.into()),
            _ => Ok(devices),
        }
    }

    /// Where the driver tells of dead connections; `None` if it does not.
    pub(crate) fn events_group(&self) -> Option<Group> {
        self.family.group
    }

    /// The driver answers with the command that it was asked.
    fn exchange(&mut self, request: Request, take: impl FnMut(&[u8]) -> Result<(), Malformed>) -> Result<(), Failure> {
        let command = request.command;
        self.link.exchange(request, self.family.id, command, take)
    }
}

fn about(command: u8, index: Option<u32>) -> Request {
    Request { command, attributes: index.map(|index| u32(attribute::INDEX, index)).into_iter().collect() }
}

pub(super) fn parse_index(attributes: &[u8]) -> Result<u32, Malformed> {
    attributes::require_u32(attributes, Wanted(attribute::INDEX, "the device's index"))
}
