//! Numbers of the protocol. Unknown values survive and print in hexadecimal; they are rejected only where the
//! specification says so.

use core::fmt;

macro_rules! wire_number {
    (
        $(#[$meta:meta])*
        $name:ident($int:ty), $kind:literal;
        $($(#[$vmeta:meta])* $value:expr => $constant:ident, $text:literal;)*
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $int);

        impl $name {
            $($(#[$vmeta])* #[doc = concat!("`", $text, "`")] pub const $constant: Self = Self($value);)*

            /// The specification's name, where the value is known.
            pub const fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$constant => Some($text),)*
                    _ => None,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, concat!($kind, " {:#x}"), self.0),
                }
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({}, {:#x})"), self, self.0)
            }
        }
    };
}

wire_number! {
    /// What a client asks for while options are haggled (spec, *Option types*).
    OptionCode(u32), "option";
    1 => EXPORT_NAME, "NBD_OPT_EXPORT_NAME";
    2 => ABORT, "NBD_OPT_ABORT";
    3 => LIST, "NBD_OPT_LIST";
    4 => PEEK_EXPORT, "NBD_OPT_PEEK_EXPORT";
    5 => STARTTLS, "NBD_OPT_STARTTLS";
    6 => INFO, "NBD_OPT_INFO";
    7 => GO, "NBD_OPT_GO";
    8 => STRUCTURED_REPLY, "NBD_OPT_STRUCTURED_REPLY";
    9 => LIST_META_CONTEXT, "NBD_OPT_LIST_META_CONTEXT";
    10 => SET_META_CONTEXT, "NBD_OPT_SET_META_CONTEXT";
    11 => EXTENDED_HEADERS, "NBD_OPT_EXTENDED_HEADERS";
}

wire_number! {
    /// What a server answers to an option (spec, *Option reply types*). Bit 31 marks errors.
    ReplyType(u32), "option reply";
    1 => ACK, "NBD_REP_ACK";
    2 => SERVER, "NBD_REP_SERVER";
    3 => INFO, "NBD_REP_INFO";
    4 => META_CONTEXT, "NBD_REP_META_CONTEXT";
    0x8000_0001 => ERR_UNSUP, "NBD_REP_ERR_UNSUP";
    0x8000_0002 => ERR_POLICY, "NBD_REP_ERR_POLICY";
    0x8000_0003 => ERR_INVALID, "NBD_REP_ERR_INVALID";
    0x8000_0004 => ERR_PLATFORM, "NBD_REP_ERR_PLATFORM";
    0x8000_0005 => ERR_TLS_REQD, "NBD_REP_ERR_TLS_REQD";
    0x8000_0006 => ERR_UNKNOWN, "NBD_REP_ERR_UNKNOWN";
    0x8000_0007 => ERR_SHUTDOWN, "NBD_REP_ERR_SHUTDOWN";
    0x8000_0008 => ERR_BLOCK_SIZE_REQD, "NBD_REP_ERR_BLOCK_SIZE_REQD";
    0x8000_0009 => ERR_TOO_BIG, "NBD_REP_ERR_TOO_BIG";
    0x8000_000a => ERR_EXT_HEADER_REQD, "NBD_REP_ERR_EXT_HEADER_REQD";
}

impl ReplyType {
    /// Whether bit 31 is set: the option failed.
    pub const fn is_error(self) -> bool {
        self.0 & (1 << 31) != 0
    }
}

wire_number! {
    /// A kind of `NBD_REP_INFO` (spec, `NBD_REP_INFO`).
    InfoType(u16), "information type";
    0 => EXPORT, "NBD_INFO_EXPORT";
    1 => NAME, "NBD_INFO_NAME";
    2 => DESCRIPTION, "NBD_INFO_DESCRIPTION";
    3 => BLOCK_SIZE, "NBD_INFO_BLOCK_SIZE";
}

wire_number! {
    /// A command of the transmission phase (spec, *Request types*).
    CommandType(u16), "command";
    0 => READ, "NBD_CMD_READ";
    1 => WRITE, "NBD_CMD_WRITE";
    2 => DISC, "NBD_CMD_DISC";
    3 => FLUSH, "NBD_CMD_FLUSH";
    4 => TRIM, "NBD_CMD_TRIM";
    5 => CACHE, "NBD_CMD_CACHE";
    6 => WRITE_ZEROES, "NBD_CMD_WRITE_ZEROES";
    7 => BLOCK_STATUS, "NBD_CMD_BLOCK_STATUS";
    8 => RESIZE, "NBD_CMD_RESIZE";
}

wire_number! {
    /// A kind of structured or extended reply chunk (spec, *Structured reply types*). Bit 15 marks errors.
    ChunkType(u16), "chunk type";
    0 => NONE, "NBD_REPLY_TYPE_NONE";
    1 => OFFSET_DATA, "NBD_REPLY_TYPE_OFFSET_DATA";
    2 => OFFSET_HOLE, "NBD_REPLY_TYPE_OFFSET_HOLE";
    5 => BLOCK_STATUS, "NBD_REPLY_TYPE_BLOCK_STATUS";
    6 => BLOCK_STATUS_EXT, "NBD_REPLY_TYPE_BLOCK_STATUS_EXT";
    0x8001 => ERROR, "NBD_REPLY_TYPE_ERROR";
    0x8002 => ERROR_OFFSET, "NBD_REPLY_TYPE_ERROR_OFFSET";
}

impl ChunkType {
    /// Whether bit 15 is set: the command failed.
    pub const fn is_error(self) -> bool {
        self.0 & (1 << 15) != 0
    }
}

wire_number! {
    /// Why a command failed (spec, *Error values*). [`known`](Self::known) folds strangers into `NBD_EINVAL`.
    ErrorValue(u32), "error";
    1 => EPERM, "NBD_EPERM";
    5 => EIO, "NBD_EIO";
    12 => ENOMEM, "NBD_ENOMEM";
    22 => EINVAL, "NBD_EINVAL";
    28 => ENOSPC, "NBD_ENOSPC";
    75 => EOVERFLOW, "NBD_EOVERFLOW";
    95 => ENOTSUP, "NBD_ENOTSUP";
    108 => ESHUTDOWN, "NBD_ESHUTDOWN";
}

impl ErrorValue {
    /// The value to act on: "The client SHOULD treat an unexpected error value as if it had been `NBD_EINVAL`"
    /// (spec, *Error values*). Ask only where there is an error: 0 means success and is no error value either.
    #[must_use]
    pub const fn known(self) -> Self {
        if self.name().is_some() { self } else { Self::EINVAL }
    }

    /// What the value means, for people.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::EPERM => "operation not permitted",
            Self::EIO => "input/output error",
            Self::ENOMEM => "the server is out of memory",
            Self::EINVAL => "invalid argument",
            Self::ENOSPC => "no space left on the server's device",
            Self::EOVERFLOW => "value too large",
            Self::ENOTSUP => "operation not supported",
            Self::ESHUTDOWN => "the server is shutting down",
            _ => "an error number the protocol does not define, counted as invalid argument",
        }
    }
}

/// The client's name for a request in flight, echoed by every reply (spec, *Transmission*; once "handle").
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cookie(pub u64);

/// The server's name for a selected metadata context, valid for one connection
/// (spec, `NBD_OPT_SET_META_CONTEXT`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContextId(pub u32);

impl Cookie {
    /// The dense half of a cookie that [`transmission::Client`](crate::transmission::Client) gave out: below its
    /// limit of requests in flight, and unlike that of any other request in flight. An index for side tables.
    pub const fn slot(self) -> usize {
        (self.0 & 0xffff_ffff) as usize
    }
}

macro_rules! opaque {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:#x})"), self.0)
            }
        }
    };
}

opaque!(Cookie);
opaque!(ContextId);

#[cfg(test)]
mod tests {
    use super::{ChunkType, ErrorValue, OptionCode, ReplyType};
    use alloc::{format, string::ToString};

    #[test]
    fn known_numbers_print_their_name_and_unknown_ones_their_hex() {
        assert_eq!(OptionCode::GO.to_string(), "NBD_OPT_GO");
        assert_eq!(OptionCode(0x2a).to_string(), "option 0x2a");
        assert_eq!(format!("{:?}", ReplyType(0x8000_0001)), "ReplyType(NBD_REP_ERR_UNSUP, 0x80000001)");
    }

    #[test]
    fn the_top_bit_marks_errors() {
        assert!(ReplyType(0x8000_7777).is_error() && !ReplyType(0x7777).is_error());
        assert!(ChunkType(0x8777).is_error() && !ChunkType(0x777).is_error());
    }

    #[test]
    fn unknown_errors_count_as_einval() {
        assert_eq!(ErrorValue(111).known(), ErrorValue::EINVAL);
        assert_eq!(ErrorValue::ENOSPC.known(), ErrorValue::ENOSPC);
    }

    #[test]
    fn each_error_that_is_known_has_a_meaning_of_its_own() {
        let known = [1, 5, 12, 22, 28, 75, 95, 108].map(|number| ErrorValue(number).meaning());
        for (at, meaning) in known.iter().enumerate() {
            assert!(!known[..at].contains(meaning) && *meaning != ErrorValue(2).meaning(), "{meaning}");
        }
        assert_eq!(ErrorValue::EPERM.meaning(), "operation not permitted");
    }
}
