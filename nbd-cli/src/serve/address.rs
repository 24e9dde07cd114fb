//! `--unix` and `--tcp`.

use std::ffi::OsStr;
use std::fmt;
use std::net::Ipv6Addr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use nbd_proto::text::Escaped;
use nbd_proto::uri::NbdUri;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UnixAddress {
    Path(PathBuf),
    /// `@NAME`
    Abstract(Vec<u8>),
}

impl UnixAddress {
    pub(crate) fn parse(text: &OsStr) -> Result<Self, &'static str> {
        match text.as_bytes().strip_prefix(b"@") {
            _ if text.is_empty() => Err("expected a path, or @NAME"),
            Some(b"") => Err("expected a name behind @"),
            Some(name) => Ok(Self::Abstract(name.to_vec())),
            None => Ok(Self::Path(text.into())),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TcpAddress {
    /// A name or an address, without brackets.
    pub(crate) host: String,
    /// 0 lets the system choose.
    pub(crate) port: u16,
}

impl TcpAddress {
    /// `HOST:PORT`, `HOST`, `:PORT`; an IPv6 address stands in brackets, which it needs only before a port.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.parse::<Ipv6Addr>().is_ok() {
            return Ok(Self { host: text.to_owned(), ..Self::default() });
        }
        let (host, rest) = match text.strip_prefix('[') {
            Some(inner) => match inner.split_once(']') {
                // A scope may follow the address: fe80::1%eth0.
                Some((host, rest)) if is_ipv6(host) => (host, rest),
                _ => return Err("expected an IPv6 address in the brackets".to_owned()),
            },
            None => text.split_at(text.find(':').unwrap_or(text.len())),
        };
        let port = match rest.strip_prefix(':') {
            Some(port) if port.bytes().all(|digit| digit.is_ascii_digit()) => {
                port.parse().map_err(|_| "expected a port from 0 to 65535".to_owned())?
            }
            Some(more) if more.contains(':') => return Err("an IPv6 address with a port needs brackets".to_owned()),
            None if rest.is_empty() => NbdUri::DEFAULT_PORT,
            _ => return Err("expected HOST:PORT, HOST, or :PORT".to_owned()),
        };
        match host {
            "" if rest.is_empty() => Err("expected HOST:PORT, HOST, or :PORT".to_owned()),
            "" => Ok(Self { port, ..Self::default() }),
            number if number.bytes().all(|digit| digit.is_ascii_digit()) => {
                Err(format!("do you mean the port :{number}?"))
            }
            host => Ok(Self { host: host.to_owned(), port }),
        }
    }
}

/// Whoever does not say otherwise serves nobody but this machine.
impl Default for TcpAddress {
    fn default() -> Self {
        Self { host: "127.0.0.1".to_owned(), port: NbdUri::DEFAULT_PORT }
    }
}

impl fmt::Display for TcpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = Escaped(&self.host);
        if self.host.contains(':') { write!(f, "[{host}]:{}", self.port) } else { write!(f, "{host}:{}", self.port) }
    }
}

fn is_ipv6(host: &str) -> bool {
    host.split('%').next().is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::{TcpAddress, UnixAddress};

    #[test]
    fn host_and_port_may_each_be_left_out() {
        for (text, host, port) in [
            ("localhost:5", "localhost", 5),
            ("localhost", "localhost", 10809),
            (":5", "127.0.0.1", 5),
            (":0", "127.0.0.1", 0),
            ("0.0.0.0:65535", "0.0.0.0", 65535),
            ("[::1]:5", "::1", 5),
            ("[::1]", "::1", 10809),
            ("::1", "::1", 10809),
            ("::", "::", 10809),
            ("[fe80::1%eth0]:5", "fe80::1%eth0", 5),
        ] {
            assert_eq!(TcpAddress::parse(text), Ok(TcpAddress { host: host.into(), port }), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for (text, says) in [
            ("", "HOST:PORT"),
            (":", "a port"),
            ("localhost:", "a port"),
            ("localhost:65536", "a port"),
            ("localhost:nbd", "HOST:PORT"),
            ("localhost:+5", "HOST:PORT"),
            ("10809", "do you mean the port :10809?"),
            ("::1:2:3:4:5:6:7:8:9", "brackets"),
            ("[localhost]:5", "an IPv6 address"),
            ("[::1", "an IPv6 address"),
            ("[::1]5", "HOST:PORT"),
        ] {
            let error = TcpAddress::parse(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn an_address_prints_as_it_is_parsed() {
        for text in ["localhost:5", "[::1]:5"] {
            assert_eq!(TcpAddress::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn an_at_sign_makes_a_unix_socket_abstract() {
        assert_eq!(UnixAddress::parse("/run/s".as_ref()), Ok(UnixAddress::Path("/run/s".into())));
        assert_eq!(UnixAddress::parse("./@s".as_ref()), Ok(UnixAddress::Path("./@s".into())));
        assert_eq!(UnixAddress::parse("@s".as_ref()), Ok(UnixAddress::Abstract(b"s".to_vec())));
        assert!(UnixAddress::parse("@".as_ref()).is_err() && UnixAddress::parse("".as_ref()).is_err());
    }
}
