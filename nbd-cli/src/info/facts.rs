//! What is shown of a server, whatever the format.

use nbd_proto::error::Refusal;
use nbd_proto::handshake::{ExportInfo, HandshakeStyle, ListedExport, Listing, Negotiated, ReplyStyle};
use nbd_proto::uri::NbdUri;
use nbd_proto::wire::flags::TransmissionFlags;

pub(crate) struct Report {
    pub(crate) handshake: HandshakeStyle,
    pub(crate) replies: ReplyStyle,
    pub(crate) tls: bool,
    pub(crate) exports: Vec<Export>,
}

pub(crate) struct Export {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) uri: String,
    /// `None` where the server knows no such thing.
    pub(crate) contexts: Option<Vec<String>>,
    pub(crate) details: Details,
}

pub(crate) enum Details {
    Known(ExportInfo),
    Refused(Refusal),
    /// The server was not asked, or does not know the question.
    Unknown,
}

/// The flags that are shown, by the names that they have there.
pub(crate) const FLAGS: [(&str, TransmissionFlags); 10] = [
    ("is_rotational", TransmissionFlags::ROTATIONAL),
    ("is_read_only", TransmissionFlags::READ_ONLY),
    ("can_cache", TransmissionFlags::SEND_CACHE),
    ("can_df", TransmissionFlags::SEND_DF),
    ("can_fast_zero", TransmissionFlags::SEND_FAST_ZERO),
    ("can_flush", TransmissionFlags::SEND_FLUSH),
    ("can_fua", TransmissionFlags::SEND_FUA),
    ("can_multi_conn", TransmissionFlags::CAN_MULTI_CONN),
    ("can_trim", TransmissionFlags::SEND_TRIM),
    ("can_zero", TransmissionFlags::SEND_WRITE_ZEROES),
];

impl Report {
    pub(crate) fn of_connection(negotiated: &Negotiated, uri: &NbdUri) -> Self {
        let info = negotiated.info.clone();
        let export = Export {
            name: info.canonical_name.clone().unwrap_or_else(|| negotiated.export.clone()),
            description: info.description.clone(),
            uri: uri.to_string(),
            contexts: negotiated.available_contexts.clone().filter(|names| !names.is_empty()),
            details: Details::Known(info),
        };
        Self {
            handshake: negotiated.handshake_style,
            replies: negotiated.reply_style,
            tls: negotiated.tls,
            exports: vec![export],
        }
    }

    pub(crate) fn of_listing(listing: Listing, uri: &NbdUri) -> Self {
        Self {
            handshake: listing.handshake_style,
            replies: listing.reply_style,
            tls: listing.tls,
            exports: listing.exports.into_iter().map(|export| Export::of_listing(export, uri)).collect(),
        }
    }

    /// As the JSON has it.
    pub(crate) fn protocol(&self) -> &'static str {
        match self.handshake {
            HandshakeStyle::Oldstyle => "oldstyle",
            HandshakeStyle::Newstyle => "newstyle",
            HandshakeStyle::FixedNewstyle => "newstyle-fixed",
        }
    }
}

impl Export {
    fn of_listing(listed: ListedExport, uri: &NbdUri) -> Self {
        let ListedExport { name, description, info, contexts, .. } = listed;
        let details = match info {
            Some(Ok(info)) => Details::Known(info),
            Some(Err(refusal)) => Details::Refused(refusal),
            None => Details::Unknown,
        };
        let (canonical, more) = match &details {
            Details::Known(info) => (info.canonical_name.clone(), info.description.clone()),
            Details::Refused(_) | Details::Unknown => (None, None),
        };
        Self {
            description: Some(description).filter(|text| !text.is_empty()).or(more),
            uri: with_name(uri, &name),
            name: canonical.unwrap_or(name),
            contexts: Some(contexts).filter(|names| !names.is_empty()),
            details,
        }
    }
}

/// The address of another export of the same server. A name that no URI can carry is left out.
fn with_name(uri: &NbdUri, name: &str) -> String {
    uri.clone().with_export_name(name).map_or_else(|_| uri.scheme().to_owned() + ":", |uri| uri.to_string())
}
