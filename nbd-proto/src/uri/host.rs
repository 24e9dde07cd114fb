//! The host of a TCP address.

use alloc::{borrow::ToOwned as _, string::String};
use core::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use super::{
    error::{UriError, UriPart},
    escape::{Escaped, Keep, Piece},
};

/// A host, by name or by address.
///
/// [`Display`](fmt::Display) and [`FromStr`] use the form that resolvers take: no percent-encoding,
/// no brackets (though they are accepted), the zone behind a `%`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name for the resolver, percent-decoded, ASCII letters in lower case. Not empty; without
    /// white space, control characters and the delimiters of a URI.
    Name(String),
    /// An IPv4 address.
    Ipv4(Ipv4Addr),
    /// An IPv6 address: in brackets in a URI.
    Ipv6 {
        /// The address.
        addr: Ipv6Addr,
        /// The zone of a link-local address, a network interface: `%25eth0` in a URI (RFC 6874).
        zone: Option<String>,
    },
}

const NAME_OR_ADDRESS: &str = "a name or an IP address";
const BRACKETS: &str = "a name or an IP address; an IPv6 address stands in brackets, as in nbd://[::1]:10809/EXPORT";
const LITERAL: &str = "an IPv6 address in the brackets, as in nbd://[::1]/ or nbd://[fe80::1%25eth0]/";

impl Host {
    /// The host as it stands in a URI: a literal in brackets or a percent-encoded name.
    pub(super) fn parse_in_uri(piece: Piece<'_>) -> Result<Self, UriError> {
        let text = piece.text;
        let Some(literal) = text.strip_prefix('[') else {
            if text.contains(':') {
                return Err(invalid(text, BRACKETS));
            }
            return Self::name_or_ipv4(&piece.decode_text(UriPart::Host)?);
        };
        let literal = literal.strip_suffix(']').ok_or_else(|| invalid(text, LITERAL))?;
        // RFC 6874: the '%' before the zone is itself percent-encoded.
        let (addr, zone) = match literal.split_once("%25") {
            Some((addr, zone)) => {
                // A piece of its own position, so that an error points into the zone.
                let at = piece.at + text.len() - 1 - zone.len();
                (addr, Some(Piece { text: zone, at }.decode_text(UriPart::Host)?))
            }
            None => (literal, None),
        };
        ipv6(addr, zone.as_deref()).ok_or_else(|| invalid(text, LITERAL))
    }

    fn name_or_ipv4(text: &str) -> Result<Self, UriError> {
        if let Ok(addr) = text.parse() {
            Ok(Self::Ipv4(addr))
        } else if text.contains('\0') {
            Err(UriError::Nul { part: UriPart::Host })
        } else if is_name(text) {
            Ok(Self::Name(text.to_ascii_lowercase()))
        } else {
            Err(invalid(text, NAME_OR_ADDRESS))
        }
    }

    pub(super) fn fmt_in_uri(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "{}", Escaped(name.as_bytes(), Keep::Unreserved)),
            Self::Ipv4(addr) => write!(f, "{addr}"),
            Self::Ipv6 { addr, zone: None } => write!(f, "[{addr}]"),
            Self::Ipv6 { addr, zone: Some(zone) } => {
                write!(f, "[{addr}%25{}]", Escaped(zone.as_bytes(), Keep::Unreserved))
            }
        }
    }
}

impl FromStr for Host {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let inner = text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
        let literal = inner.unwrap_or(text);
        if !literal.contains(':') {
            return Self::name_or_ipv4(text);
        }
        let (addr, zone) = match literal.split_once('%') {
            Some((addr, zone)) => (addr, Some(zone)),
            None => (literal, None),
        };
        ipv6(addr, zone).ok_or_else(|| invalid(text, NAME_OR_ADDRESS))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ipv4(addr) => write!(f, "{addr}"),
            Self::Ipv6 { addr, zone: None } => write!(f, "{addr}"),
            Self::Ipv6 { addr, zone: Some(zone) } => write!(f, "{addr}%{zone}"),
        }
    }
}

fn invalid(found: &str, expected: &'static str) -> UriError {
    UriError::InvalidHost { found: found.into(), expected }
}

fn ipv6(addr: &str, zone: Option<&str>) -> Option<Host> {
    let addr = addr.parse().ok()?;
    zone.is_none_or(is_name).then(|| Host::Ipv6 { addr, zone: zone.map(str::to_owned) })
}

/// Whether a resolver can be asked for this, and whether a person who reads it sees where it ends.
fn is_name(text: &str) -> bool {
    let bad = |c: char| c.is_control() || c.is_whitespace() || "#%/:<>?@[\\]^|".contains(c);
    !text.is_empty() && !text.contains(bad)
}
