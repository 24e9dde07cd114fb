//! Whether a new connection is to the same export.

use alloc::collections::BTreeSet;
use alloc::string::String;
use core::fmt;
use thiserror::Error as ThisError;

use crate::handshake::{Negotiated, ReplyStyle};
use crate::text::{Escaped, flag_names};
use crate::wire::flags::TransmissionFlags;
use crate::wire::info::BlockSizes;

/// What is not as it was on the connection before. Whatever was computed from it would be wrong now, so there is no
/// going on.
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum Differs {
    /// The size.
    #[error("the export had {was} bytes, and now has {now}")]
    Size {
        /// Before, in bytes.
        was: u64,
        /// Now, in bytes.
        now: u64,
    },
    /// What the export can do.
    #[error("the export had the flags {}, and now has {}", flag_names(.was), flag_names(.now))]
    Flags {
        /// Before.
        was: TransmissionFlags,
        /// Now.
        now: TransmissionFlags,
    },
    /// The size constraints.
    #[error("the export had {}, and now has {}", Blocks(.was.as_ref()), Blocks(.now.as_ref()))]
    BlockSizes {
        /// Before.
        was: Option<BlockSizes>,
        /// Now.
        now: Option<BlockSizes>,
    },
    /// How replies look, and with it what can be asked for.
    #[error("the server sent {was} replies, and now sends {now} ones")]
    ReplyStyle {
        /// Before.
        was: ReplyStyle,
        /// Now.
        now: ReplyStyle,
    },
    /// The selected metadata contexts.
    #[error("the metadata context \"{}\" was selected on one of the two connections only", Escaped(.name))]
    Contexts {
        /// The first that is missing on one of them.
        name: String,
    },
    /// One connection is inside TLS, the other is not.
    #[error("the connection was {}", if *.was { "inside TLS, and now is not" } else { "not inside TLS, and now is" })]
    Tls {
        /// Whether it was, before.
        was: bool,
    },
}

struct Blocks<'a>(Option<&'a BlockSizes>);

impl fmt::Display for Blocks<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("no block sizes"),
            Some(BlockSizes { minimum, preferred, maximum }) => {
                write!(f, "block sizes {minimum}/{preferred}/{maximum}")
            }
        }
    }
}

/// Compares what a new connection has agreed on with what the one before it did: size, flags, block sizes, reply
/// style, the names of the selected contexts, and TLS. The ids of contexts may differ: they mean something on one
/// connection only.
pub fn same_export(was: &Negotiated, now: &Negotiated) -> Result<(), Differs> {
    if was.tls != now.tls {
        return Err(Differs::Tls { was: was.tls });
    }
    if was.info.size != now.info.size {
        return Err(Differs::Size { was: was.info.size, now: now.info.size });
    }
    if was.info.flags != now.info.flags {
        return Err(Differs::Flags { was: was.info.flags, now: now.info.flags });
    }
    if was.info.block_sizes != now.info.block_sizes {
        return Err(Differs::BlockSizes { was: was.info.block_sizes, now: now.info.block_sizes });
    }
    if was.reply_style != now.reply_style {
        return Err(Differs::ReplyStyle { was: was.reply_style, now: now.reply_style });
    }
    let names = |of: &Negotiated| of.contexts.iter().map(|context| context.name.clone()).collect::<BTreeSet<_>>();
    let (was, now) = (names(was), names(now));
    match was.symmetric_difference(&now).next() {
        Some(name) => Err(Differs::Contexts { name: name.clone() }),
        None => Ok(()),
    }
}
