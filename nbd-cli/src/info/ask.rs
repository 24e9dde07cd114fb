//! `--is` and `--can`: one question, answered by the exit code.

use std::str::FromStr;

use nbd_driver_std::Client;
use nbd_proto::handshake::ReplyStyle;
use nbd_proto::wire::flags::TransmissionFlags;

/// The exit code for *no*. 1 is a failure to find out.
pub(crate) const NO: u8 = 2;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Question {
    /// Always yes, once connected.
    Connect,
    Flag(TransmissionFlags),
    Write,
    StructuredReply,
    ExtendedHeaders,
    Tls,
}

impl FromStr for Question {
    type Err = String;

    /// Hyphens and underscores are optional.
    fn from_str(text: &str) -> Result<Self, String> {
        let plain: String = text.chars().filter(|c| !matches!(c, '-' | '_')).collect();
        Ok(match &plain[..] {
            "connect" | "read" => Self::Connect,
            "write" => Self::Write,
            "structured" | "structuredreply" | "structuredreplies" => Self::StructuredReply,
            "extendedheaders" => Self::ExtendedHeaders,
            "tls" => Self::Tls,
            "cache" => Self::Flag(TransmissionFlags::SEND_CACHE),
            "df" => Self::Flag(TransmissionFlags::SEND_DF),
            "fastzero" => Self::Flag(TransmissionFlags::SEND_FAST_ZERO),
            "flush" => Self::Flag(TransmissionFlags::SEND_FLUSH),
            "fua" => Self::Flag(TransmissionFlags::SEND_FUA),
            "multiconn" => Self::Flag(TransmissionFlags::CAN_MULTI_CONN),
            "trim" => Self::Flag(TransmissionFlags::SEND_TRIM),
            "zero" => Self::Flag(TransmissionFlags::SEND_WRITE_ZEROES),
            "readonly" => Self::Flag(TransmissionFlags::READ_ONLY),
            "rotational" => Self::Flag(TransmissionFlags::ROTATIONAL),
            _ => {
                return Err(
                    "expected one of cache, connect, df, extended-headers, fast-zero, flush, fua, multi-conn, \
                            read, read-only, rotational, structured-reply, tls, trim, write, zero"
                        .to_owned(),
                );
            }
        })
    }
}

impl Question {
    pub(crate) fn answer(self, client: &Client) -> bool {
        let negotiated = client.negotiated();
        match self {
            Self::Connect => true,
            Self::Flag(flag) => client.offers(flag),
            Self::Write => !client.is_read_only(),
            Self::StructuredReply => negotiated.reply_style != ReplyStyle::Simple,
            Self::ExtendedHeaders => negotiated.reply_style == ReplyStyle::Extended,
            Self::Tls => negotiated.tls,
        }
    }
}
