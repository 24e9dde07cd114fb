//! The family's numbers, which the kernel gives out anew each time the module is loaded.

use netlink_packet_generic::constants::{
    CTRL_ATTR_FAMILY_ID, CTRL_ATTR_MCAST_GROUPS, CTRL_ATTR_MCAST_GRP_ID, CTRL_ATTR_MCAST_GRP_NAME, CTRL_CMD_NEWFAMILY,
    GENL_ID_CTRL,
};
use rustix::io::Errno;

use super::attributes::{self, Wanted};
use super::failure::{Failure, Malformed};
use super::link::Link;
use super::request;
use super::uapi::LOWEST_FAMILY_ID;

/// Where a family tells its news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// Of the messages that come.
    pub(super) family: u16,
    pub(super) id: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Family {
    pub(super) id: u16,
    pub(super) group: Option<Group>,
}

impl Family {
    /// Asks the kernel. Errors with `NoFamily` if there is none of that name.
    pub(super) fn resolve(link: &mut Link, name: &str, group: &str) -> Result<Self, Failure> {
        let mut found = None;
        let asked =
            link.exchange(request::get_family(name), GENL_ID_CTRL, CTRL_CMD_NEWFAMILY, |attributes| {
                match found.replace(Self::parse(attributes, group)?) {
                    None => Ok(()),
                    Some(_) => Err(Malformed::Twice("the family")),
                }
            });
        match asked {
            Err(Failure::Refused { errno: Errno::NOENT, .. }) => Err(Failure::NoFamily),
            asked => {
                asked?;
                Ok(found.ok_or(Malformed::Missing("the family"))?)
            }
        }
    }

    fn parse(attributes: &[u8], group: &str) -> Result<Self, Malformed> {
        let id = attributes::require_u16(attributes, Wanted(CTRL_ATTR_FAMILY_ID, "the family's number"))?;
        if id < LOWEST_FAMILY_ID {
            return Err(Malformed::FamilyId(id));
        }
        let groups = attributes::find(attributes, Wanted(CTRL_ATTR_MCAST_GROUPS, "the list of groups"))?;
        let group = find_group(groups.unwrap_or_default(), group)?;
        Ok(Self { id, group: group.map(|group| Group { family: id, id: group }) })
    }
}

/// The number of the group of this name, in a list whose items are numbered from 1.
fn find_group(list: &[u8], name: &str) -> Result<Option<u32>, Malformed> {
    let mut found = None;
    for item in attributes::all(list) {
        let (_, item) = item?;
        let its_name = attributes::require(item, Wanted(CTRL_ATTR_MCAST_GRP_NAME, "a group's name"))?;
        let id = attributes::require_u32(item, Wanted(CTRL_ATTR_MCAST_GRP_ID, "a group's number"))?;
        if attributes::text(its_name) == name.as_bytes() && found.replace(id).is_some() {
            return Err(Malformed::Twice("the group"));
        }
    }
    Ok(found)
}
