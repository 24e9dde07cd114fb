//! From text to [`NbdUri`].

use alloc::{
    borrow::ToOwned as _,
    format,
    string::{String, ToString as _},
    vec::Vec,
};
use core::str::FromStr;

use super::{
    Host, NbdUri, TlsType, TlsUse, Transport, UriError, UriPart,
    error::{invalid_tcp_port, invalid_vsock_port},
    escape::Piece,
};

/// What a scheme says about the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Tcp,
    Unix,
    Vsock,
}

impl Kind {
    pub(super) fn scheme(self, tls: TlsUse) -> &'static str {
        match (self, tls) {
            (Self::Tcp, TlsUse::Allowed) => "nbd",
            (Self::Tcp, TlsUse::Required) => "nbds",
            (Self::Unix, TlsUse::Allowed) => "nbd+unix",
            (Self::Unix, TlsUse::Required) => "nbds+unix",
            (Self::Vsock, TlsUse::Allowed) => "nbd+vsock",
            (Self::Vsock, TlsUse::Required) => "nbds+vsock",
        }
    }
}

/// RFC 3986, section 3.1: schemes are the same in upper and lower case.
pub(super) fn scheme(text: &str) -> Option<(Kind, TlsUse)> {
    let kinds = [Kind::Tcp, Kind::Unix, Kind::Vsock].into_iter();
    kinds
        .flat_map(|kind| [(kind, TlsUse::Allowed), (kind, TlsUse::Required)])
        .find(|(kind, tls)| text.eq_ignore_ascii_case(kind.scheme(*tls)))
}

pub(super) fn parse(text: &str) -> Result<NbdUri, UriError> {
    let (name, rest) = text
        .split_once(':')
        .filter(|(name, _)| has_form_of_scheme(name))
        .ok_or_else(|| UriError::MissingScheme { found: text.to_owned() })?;
    let (kind, tls) = scheme(name).ok_or_else(|| UriError::UnknownScheme { scheme: name.to_owned() })?;
    let Some(rest) = rest.strip_prefix("//") else {
        return Err(UriError::MissingSlashes { instead: instead(kind, tls, rest) });
    };
    let rest = Piece { text: rest, at: name.len() + "://".len() };
    if let Some(offset) = rest.text.find('#') {
        return Err(UriError::Fragment { position: rest.at + offset });
    }

    let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
    // The path is the export name but for its first '/'; `nbd://h` is the same as `nbd://h/`.
    let (authority, path) = rest.split_once('/').map_or((rest, None), |(authority, path)| (authority, Some(path)));
    let (user, authority) = user(authority)?;
    let address = Address::parse(kind, authority)?;
    let export_name = path.map_or(Ok(String::new()), |path| path.decode_text(UriPart::ExportName))?;
    let uri = Parameters::parse(query)?.build(address)?;
    uri.with_tls(tls).with_user(user)?.with_export_name(export_name)
}

/// RFC 3986, section 3.1: a letter, then letters, digits, `+`, `-` and `.`.
fn has_form_of_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// Splits `user@` from the authority. Without it the user is empty.
fn user(authority: Piece<'_>) -> Result<(String, Piece<'_>), UriError> {
    let Some((user, rest)) = authority.rsplit_once('@') else {
        return Ok((String::new(), authority));
    };
    if let Some(offset) = user.text.find('@') {
        return Err(UriError::InvalidCharacter { found: '@', position: user.at + offset });
    }
    if user.text.contains(':') {
        return Err(UriError::Password);
    }
    Ok((user.decode_text(UriPart::User)?, rest))
}

/// What the authority says: for a Unix socket, nothing.
enum Address {
    Tcp { host: Host, port: u16 },
    Unix,
    Vsock { cid: u32, port: u32 },
}

impl Address {
    fn parse(kind: Kind, authority: Piece<'_>) -> Result<Self, UriError> {
        match kind {
            Kind::Tcp => {
                let (host, port) = host_and_port(authority);
                let host =
                    if host.text.is_empty() { Host::Name("localhost".into()) } else { Host::parse_in_uri(host)? };
                let port = match port {
                    Some(text) => decimal(text).filter(|&port| port != 0).ok_or_else(|| invalid_tcp_port(text))?,
                    None => NbdUri::DEFAULT_PORT,
                };
                Ok(Self::Tcp { host, port })
            }
            Kind::Unix if authority.text.is_empty() => Ok(Self::Unix),
            Kind::Unix => Err(UriError::UnexpectedHost { found: authority.text.to_owned() }),
            Kind::Vsock => {
                let (cid, port) = host_and_port(authority);
                let cid = decimal(cid.text).ok_or_else(|| UriError::InvalidCid { found: cid.text.to_owned() })?;
                let port = match port {
                    Some(text) => decimal(text).ok_or_else(|| invalid_vsock_port(text))?,
                    None => NbdUri::DEFAULT_PORT.into(),
                };
                Ok(Self::Vsock { cid, port })
            }
        }
    }
}

/// Splits `:port` from `host:port`, but not at a colon that belongs to an IPv6 address. An empty
/// port (`host:`) is the same as none (RFC 3986, section 3.2.3).
fn host_and_port(authority: Piece<'_>) -> (Piece<'_>, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if host.text.ends_with(']') || !host.text.contains([':', '[']) => {
            (host, Some(port.text).filter(|text| !text.is_empty()))
        }
        // Several colons and no brackets are an error, which then shows the whole.
        _ => (authority, None),
    }
}

/// A number without sign, and without the percent-encoding that the grammar does not allow there.
fn decimal<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// What the query says.
#[derive(Default)]
struct Parameters {
    socket: Option<Vec<u8>>,
    tls_type: Option<TlsType>,
    tls_hostname: Option<String>,
    tls_verify_peer: Option<bool>,
    tls_certificates: Option<Vec<u8>>,
    tls_psk_file: Option<Vec<u8>>,
    experimental: Vec<(String, Vec<u8>)>,
}

impl Parameters {
    fn parse(query: Option<Piece<'_>>) -> Result<Self, UriError> {
        let mut parameters = Self::default();
        let mut rest = query;
        while let Some(piece) = rest {
            let (parameter, behind) =
                piece.split_once('&').map_or((piece, None), |(first, behind)| (first, Some(behind)));
            // `?`, `&&` and a trailing `&` say nothing.
            if !parameter.text.is_empty() {
                parameters.take(parameter)?;
            }
            rest = behind;
        }
        Ok(parameters)
    }

    fn take(&mut self, parameter: Piece<'_>) -> Result<(), UriError> {
        let (name, value) = parameter.split_once('=').map_or((parameter, None), |(name, value)| (name, Some(value)));
        let name = name.decode_text(UriPart::ParameterName)?;
        let value = value.map_or(Ok(Vec::new()), Piece::decode)?;
        match name.as_str() {
            "socket" => once(&mut self.socket, "socket", value),
            "tls-type" => {
                let tls_type = match value.as_slice() {
                    b"anon" => TlsType::Anonymous,
                    b"x509" => TlsType::X509,
                    b"psk" => TlsType::Psk,
                    _ => return Err(invalid_value("tls-type", &value, "anon, x509 or psk")),
                };
                once(&mut self.tls_type, "tls-type", tls_type)
            }
            "tls-hostname" => {
                let hostname =
                    String::from_utf8(value).map_err(|_| UriError::NotUtf8 { part: UriPart::TlsHostname })?;
                once(&mut self.tls_hostname, "tls-hostname", hostname)
            }
            "tls-verify-peer" => {
                let verify = match value.as_slice() {
                    b"0" => false,
                    b"1" => true,
                    _ => return Err(invalid_value("tls-verify-peer", &value, "0 or 1")),
                };
                once(&mut self.tls_verify_peer, "tls-verify-peer", verify)
            }
            "tls-certificates" => once(&mut self.tls_certificates, "tls-certificates", value),
            "tls-psk-file" => once(&mut self.tls_psk_file, "tls-psk-file", value),
            experimental if experimental.starts_with("x-") => {
                self.experimental.push((name, value));
                Ok(())
            }
            _ => Err(UriError::UnknownParameter { name }),
        }
    }

    /// `socket` must be there for a Unix socket and must not for anything else.
    fn build(mut self, address: Address) -> Result<NbdUri, UriError> {
        let uri = match (address, self.socket.take()) {
            (Address::Unix, Some(socket)) => match socket.strip_prefix(&[0]) {
                Some(name) => NbdUri::unix_abstract(name),
                None => NbdUri::unix(socket),
            },
            (Address::Unix, None) => Err(UriError::MissingSocket),
            (Address::Tcp { .. } | Address::Vsock { .. }, Some(_)) => Err(UriError::UnexpectedSocket),
            (Address::Tcp { host, port }, None) => Ok(NbdUri::new(Transport::Tcp { host, port })),
            (Address::Vsock { cid, port }, None) => Ok(NbdUri::vsock(cid, port)),
        };
        self.apply(uri?)
    }

    /// Through the public setters, so that what a URI may say and what can be built by hand never
    /// come apart.
    fn apply(self, mut uri: NbdUri) -> Result<NbdUri, UriError> {
        if let Some(tls_type) = self.tls_type {
            uri = uri.with_tls_type(tls_type);
        }
        if let Some(hostname) = self.tls_hostname {
            uri = uri.with_tls_hostname(hostname)?;
        }
        if let Some(verify) = self.tls_verify_peer {
            uri = uri.with_tls_verify_peer(verify);
        }
        if let Some(dir) = self.tls_certificates {
            uri = uri.with_tls_certificates(dir)?;
        }
        if let Some(file) = self.tls_psk_file {
            uri = uri.with_tls_psk_file(file)?;
        }
        for (name, value) in self.experimental {
            uri = uri.with_experimental(name, value)?;
        }
        Ok(uri)
    }
}

fn once<T>(slot: &mut Option<T>, name: &'static str, value: T) -> Result<(), UriError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(UriError::DuplicateParameter { name }),
    }
}

fn invalid_value(name: &'static str, value: &[u8], expected: &'static str) -> UriError {
    let found = String::from_utf8_lossy(value).into_owned();
    UriError::InvalidValue { name, found, expected }
}

/// What to write for a URI without `//`: mostly QEMU's old `nbd:unix:PATH[:exportname=NAME]` and
/// `nbd:HOST:PORT[:exportname=NAME]`, where nothing is percent-encoded. `rest` is what stands
/// behind the first colon.
fn instead(kind: Kind, tls: TlsUse, rest: &str) -> String {
    let (address, export_name) = rest.split_once(":exportname=").unwrap_or((rest, ""));
    let socket = match kind {
        Kind::Tcp => address.strip_prefix("unix:"),
        // `nbd+unix:/run/nbd.sock` can only mean the socket.
        Kind::Unix if !rest.contains('?') => Some(address),
        Kind::Unix | Kind::Vsock => None,
    };
    let uri = match socket {
        Some(path) => NbdUri::unix(path),
        None => parse(&format!("{}://{address}", kind.scheme(tls))),
    };
    let uri = uri.map(|uri| uri.with_tls(tls)).and_then(|uri| match export_name {
        "" => Ok(uri),
        name => uri.with_export_name(name),
    });
    match (uri, kind) {
        (Ok(uri), _) => uri.to_string(),
        (Err(_), Kind::Tcp) => format!("{}://HOST/EXPORT", kind.scheme(tls)),
        (Err(_), Kind::Unix) => format!("{}:///EXPORT?socket=PATH", kind.scheme(tls)),
        (Err(_), Kind::Vsock) => format!("{}://CID/EXPORT", kind.scheme(tls)),
    }
}
