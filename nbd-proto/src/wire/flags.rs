//! Flag fields. Bits nobody knows are kept (`bits()` gives them all), never acted on.

use bitflags::bitflags;

/// The metadata context that tells what is allocated, in [`AllocationFlags`] (spec, *`base:allocation` metadata
/// context*).
pub const BASE_ALLOCATION: &str = "base:allocation";

bitflags! {
    /// What a newstyle server offers in its greeting (spec, *Handshake flags*).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct HandshakeFlags: u16 {
        /// `NBD_FLAG_FIXED_NEWSTYLE`: options other than `EXPORT_NAME` may be sent.
        const FIXED_NEWSTYLE = 1 << 0;
        /// `NBD_FLAG_NO_ZEROES`: the 124 zero bytes after `EXPORT_NAME` can be left out.
        const NO_ZEROES = 1 << 1;
        const _ = !0;
    }

    /// What a client answers to [`HandshakeFlags`] (spec, *Client flags*).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct ClientFlags: u32 {
        /// `NBD_FLAG_C_FIXED_NEWSTYLE`
        const FIXED_NEWSTYLE = 1 << 0;
        /// `NBD_FLAG_C_NO_ZEROES`
        const NO_ZEROES = 1 << 1;
        const _ = !0;
    }

    /// What an export can do (spec, *Transmission flags*).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct TransmissionFlags: u16 {
        /// `NBD_FLAG_HAS_FLAGS`: always set.
        const HAS_FLAGS = 1 << 0;
        /// `NBD_FLAG_READ_ONLY`: writes will fail.
        const READ_ONLY = 1 << 1;
        /// `NBD_FLAG_SEND_FLUSH`: `FLUSH` may be sent.
        const SEND_FLUSH = 1 << 2;
        /// `NBD_FLAG_SEND_FUA`: the FUA command flag may be set.
        const SEND_FUA = 1 << 3;
        /// `NBD_FLAG_ROTATIONAL`: seeks are slow.
        const ROTATIONAL = 1 << 4;
        /// `NBD_FLAG_SEND_TRIM`: `TRIM` may be sent.
        const SEND_TRIM = 1 << 5;
        /// `NBD_FLAG_SEND_WRITE_ZEROES`: `WRITE_ZEROES` and the `NO_HOLE` command flag may be sent.
        const SEND_WRITE_ZEROES = 1 << 6;
        /// `NBD_FLAG_SEND_DF`: the DF command flag may be set.
        const SEND_DF = 1 << 7;
        /// `NBD_FLAG_CAN_MULTI_CONN`: a flush on one connection covers them all.
        const CAN_MULTI_CONN = 1 << 8;
        /// `NBD_FLAG_SEND_RESIZE`: of an experimental extension that this crate does not speak.
        const SEND_RESIZE = 1 << 9;
        /// `NBD_FLAG_SEND_CACHE`: `CACHE` may be sent.
        const SEND_CACHE = 1 << 10;
        /// `NBD_FLAG_SEND_FAST_ZERO`: the `FAST_ZERO` command flag may be set.
        const SEND_FAST_ZERO = 1 << 11;
        /// `NBD_FLAG_BLOCK_STATUS_PAYLOAD`: `BLOCK_STATUS` may carry a list of contexts (extended headers).
        const BLOCK_STATUS_PAYLOAD = 1 << 12;
        const _ = !0;
    }

    /// How a command is to be carried out (spec, *Command flags*).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct CommandFlags: u16 {
        /// `NBD_CMD_FLAG_FUA`: reply only when the data is on non-volatile storage.
        const FUA = 1 << 0;
        /// `NBD_CMD_FLAG_NO_HOLE`: zeroes stay allocated.
        const NO_HOLE = 1 << 1;
        /// `NBD_CMD_FLAG_DF`: one content chunk at most.
        const DF = 1 << 2;
        /// `NBD_CMD_FLAG_REQ_ONE`: one extent per context.
        const REQ_ONE = 1 << 3;
        /// `NBD_CMD_FLAG_FAST_ZERO`: fail rather than be slower than a write.
        const FAST_ZERO = 1 << 4;
        /// `NBD_CMD_FLAG_PAYLOAD_LEN`: the length field is a payload length (extended headers).
        const PAYLOAD_LEN = 1 << 5;
        const _ = !0;
    }

    /// Flags of a structured or extended reply (spec, *Structured reply flags*).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct ReplyFlags: u16 {
        /// `NBD_REPLY_FLAG_DONE`: the last chunk of this reply.
        const DONE = 1 << 0;
        const _ = !0;
    }

    /// Flags of an extent in the context `base:allocation` (spec, *`base:allocation` metadata context*).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct AllocationFlags: u64 {
        /// `NBD_STATE_HOLE`: not allocated; writing may meet ENOSPC.
        const HOLE = 1 << 0;
        /// `NBD_STATE_ZERO`: reads as zeroes.
        const ZERO = 1 << 1;
        const _ = !0;
    }
}
