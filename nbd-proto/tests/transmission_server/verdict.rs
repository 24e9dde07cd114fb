//! What the engine makes of one request by itself.

use nbd_proto::wire::flags::CommandFlags;
use nbd_proto::wire::number::CommandType;

use super::client::request;
use super::harness::{Link, WAYS, patterns};
use super::setup::Setup;

/// A request that is looked at alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) command: CommandType,
    pub(crate) flags: CommandFlags,
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

pub(crate) const fn asked(command: CommandType, offset: u64, length: u64) -> Asked {
    Asked { command, flags: CommandFlags::empty(), offset, length }
}

impl Asked {
    pub(crate) const fn with_flags(self, flags: CommandFlags) -> Self {
        Self { flags, ..self }
    }

    /// The error with which the engine answers, or none if it leaves the answer to the caller. Whatever it is, the
    /// next request is understood.
    #[track_caller]
    pub(crate) fn verdict(self, setup: &Setup) -> Option<u32> {
        let Self { command, flags, offset, length } = self;
        let mut bytes = request(setup.style, 1, command, flags, offset, length);
        if command == CommandType::WRITE {
            bytes.extend(patterns(0, length));
        }
        bytes.extend(request(setup.style, 2, CommandType(0xfffe), CommandFlags::empty(), 0, 0));
        let verdicts = WAYS.map(|way| {
            let mut link = Link::new(setup, way);
            link.feed(&bytes);
            assert!(link.pending.is_empty(), "{self:?}: something was not read");
            let mut answers = link.answers();
            assert_eq!(answers.pop(), Some((2, 22)), "{self:?}: what follows was not understood");
            match (answers.as_slice(), link.requests.as_slice()) {
                ([(1, error)], []) => Some(*error),
                ([], [told]) => {
                    let shown = (told.command, told.flags, told.offset, told.length);
                    assert_eq!(shown, (command, flags - CommandFlags::PAYLOAD_LEN, offset, length));
                    None
                }
                other => panic!("{self:?}: {other:?}"),
            }
        });
        assert!(verdicts.iter().all(|verdict| *verdict == verdicts[0]), "{self:?}: {verdicts:?}");
        verdicts[0]
    }

    #[track_caller]
    pub(crate) fn expect(self, setup: &Setup, expected: Option<u32>) {
        assert_eq!(self.verdict(setup), expected, "{self:?} with {} replies", setup.style);
    }
}
