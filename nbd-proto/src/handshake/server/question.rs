//! What awaits the caller's answer.

use alloc::string::String;

use super::contexts::Queries;
use crate::wire::number::{InfoType, OptionCode};

/// An option that only the caller can answer.
#[derive(Debug)]
pub(super) enum Question {
    /// `LIST`
    List,
    /// Any option about an export.
    LookUp(Asked),
}

/// What is asked about an export.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) option: OptionCode,
    pub(super) name: String,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    /// `EXPORT_NAME`, or a client that is to be greeted oldstyle.
    Facts,
    /// `INFO` or `GO`
    Info(Wanted),
    /// `LIST_META_CONTEXT`
    ListContexts(Queries),
    /// `SET_META_CONTEXT`
    SetContexts(Queries),
}

impl Question {
    pub(super) const fn option(&self) -> OptionCode {
        match self {
            Self::List => OptionCode::LIST,
            Self::LookUp(asked) => asked.option,
        }
    }

    /// Whether the client asks for block sizes, and so promises to keep them.
    pub(super) const fn asks_block_sizes(&self) -> bool {
        matches!(self, Self::LookUp(Asked { what: What::Info(wanted), .. }) if wanted.block_size)
    }
}

/// Which information a client asks for, beside `NBD_INFO_EXPORT`, which comes always. What nobody knows is ignored,
/// and what is asked for twice is told once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) name: bool,
    pub(super) description: bool,
    pub(super) block_size: bool,
}

impl Wanted {
    pub(super) fn of(requests: &[InfoType]) -> Self {
        let has = |info| requests.contains(&info);
        Self {
            name: has(InfoType::NAME),
            description: has(InfoType::DESCRIPTION),
            block_size: has(InfoType::BLOCK_SIZE),
        }
    }
}
