//! NBD URIs: text to a typed address and back, without a look-up of any kind.
//!
//! The form is `scheme://authority/export?query`, on the ground rules of RFC 3986:
//!
//! | URI | means |
//! |---|---|
//! | `nbd://host/disk` | TCP port 10809; in clear, or TLS when both ends offer it |
//! | `nbds://alice@host:10810/disk` | TCP; TLS or fail; `alice` is the user for TLS-PSK |
//! | `nbd://[fe80::1%25eth0]/` | an IPv6 literal with its zone; the empty export name |
//! | `nbd:///disk` | `localhost` |
//! | `nbd+unix:///disk?socket=/run/nbd.sock` | a Unix socket (`nbds+unix` with TLS) |
//! | `nbd+unix:///?socket=%00name` | a Unix socket in the abstract name space |
//! | `nbd+vsock://2:1024/disk` | a vsock CID and port (`nbds+vsock` with TLS); not in the standard, but in use |
//!
//! The parser is strict: an unknown parameter, a parameter given twice, a fragment or a character
//! that RFC 3986 does not allow is an error that says what to write instead.
//!
//! ```
//! use nbd_proto::uri::{Host, NbdUri, TlsUse, Transport, UriError};
//!
//! let uri: NbdUri = "nbds://alice@example.com/hello%20world?tls-type=psk".parse()?;
//! assert_eq!(uri.tls(), TlsUse::Required);
//! assert_eq!(uri.user(), Some("alice"));
//! assert_eq!(uri.export_name(), "hello world");
//! assert_eq!(
//!     uri.transport(),
//!     &Transport::Tcp { host: Host::Name("example.com".into()), port: 10809 },
//! );
//!
//! let uri = NbdUri::unix("/run/my disk.sock")?.with_export_name("disk")?;
//! assert_eq!(uri.to_string(), "nbd+unix:///disk?socket=/run/my%20disk.sock");
//!
//! assert!(matches!("nbd+unix:///disk".parse::<NbdUri>(), Err(UriError::MissingSocket)));
//! # Ok::<(), UriError>(())
//! ```

mod error;
mod escape;
mod host;
mod parse;

use alloc::{string::String, vec::Vec};
use core::{fmt, str::FromStr};

use crate::limits::MAX_STRING;

pub use self::{
    error::{UriError, UriPart},
    host::Host,
};
use self::{
    escape::{Escaped, Keep},
    parse::Kind,
};

/// The address of an export: where the server listens, whether TLS is wanted and how, and the
/// export's name.
///
/// Every value of this type is valid: it comes from [`parse`](Self::parse) or from a constructor
/// that checks the same rules. Its [`Display`](fmt::Display) form is a canonical URI (default port
/// left out, parameters in a fixed order, as little percent-encoding as is safe) that parses back
/// to an equal value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NbdUri {
    transport: Transport,
    tls: TlsUse,
    user: Option<String>,
    export_name: String,
    tls_type: Option<TlsType>,
    tls_hostname: Option<String>,
    tls_verify_peer: bool,
    tls_certificates: Option<Vec<u8>>,
    tls_psk_file: Option<Vec<u8>>,
    experimental: Vec<(String, Vec<u8>)>,
}

/// Where the server listens.
///
/// Paths and abstract names are bytes, as the kernel has them: once percent-decoded they need not
/// be UTF-8.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// TCP: schemes `nbd` and `nbds`.
    Tcp {
        /// The host; `localhost` if the URI names none.
        host: Host,
        /// The port, never 0; [`NbdUri::DEFAULT_PORT`] if the URI names none.
        port: u16,
    },
    /// A Unix socket in the file system: schemes `nbd+unix` and `nbds+unix`.
    Unix {
        /// The path, absolute or relative; not empty, without NUL.
        path: Vec<u8>,
    },
    /// A Unix socket in Linux's abstract name space: as above, with `socket=%00NAME`.
    UnixAbstract {
        /// The name without its leading NUL; not empty. NULs inside it count as any other byte.
        name: Vec<u8>,
    },
    /// A socket between a virtual machine and its host: schemes `nbd+vsock` and `nbds+vsock`.
    Vsock {
        /// The context id; 2 is the host of a virtual machine.
        cid: u32,
        /// The port; [`NbdUri::DEFAULT_PORT`] if the URI names none.
        port: u32,
    },
}

/// What the scheme says about TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TlsUse {
    /// Schemes `nbd…`: TLS when both ends offer it, otherwise in clear.
    #[default]
    Allowed,
    /// Schemes `nbds…`: TLS or fail. A client without TLS must give an error.
    Required,
}

/// How the ends of a TLS connection prove who they are: the parameter `tls-type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TlsType {
    /// `anon`: encrypted, but neither end proves anything.
    Anonymous,
    /// `x509`: certificates.
    X509,
    /// `psk`: a pre-shared key that belongs to the URI's user.
    Psk,
}

impl NbdUri {
    /// The port of `nbd://host/` and of every other URI that names none.
    pub const DEFAULT_PORT: u16 = 10809;

    /// Parses a URI. The same as `text.parse()`.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        parse::parse(text)
    }

    /// Whether `text` begins with one of the NBD schemes and a colon, in whatever case.
    ///
    /// For telling a URI from a file name. It says nothing about the rest, so that [`parse`](Self::parse)
    /// can explain what is wrong with it.
    ///
    /// ```
    /// # use nbd_proto::uri::NbdUri;
    /// assert!(NbdUri::has_nbd_scheme("nbds+unix:///?socket=/run/nbd.sock"));
    /// assert!(!NbdUri::has_nbd_scheme("/var/lib/disk.img"));
    /// ```
    pub fn has_nbd_scheme(text: &str) -> bool {
        text.split_once(':').is_some_and(|(scheme, _)| parse::scheme(scheme).is_some())
    }

    /// The empty export name at a TCP host, TLS [allowed](TlsUse::Allowed).
    ///
    /// The host is as a person or a resolver has it (see [`Host`]'s `FromStr`), not percent-encoded:
    /// a name, an IPv4 address, or an IPv6 address with or without brackets and with an optional
    /// `%zone`. The port must not be 0.
    pub fn tcp(host: &str, port: u16) -> Result<Self, UriError> {
        if port == 0 {
            return Err(error::invalid_tcp_port("0"));
        }
        Ok(Self::new(Transport::Tcp { host: host.parse()?, port }))
    }

    /// The empty export name at a Unix socket in the file system, TLS [allowed](TlsUse::Allowed).
    ///
    /// The path must not be empty nor have a NUL in it.
    pub fn unix(path: impl Into<Vec<u8>>) -> Result<Self, UriError> {
        Ok(Self::new(Transport::Unix { path: checked_path(path.into(), UriPart::Socket)? }))
    }

    /// The empty export name at a Unix socket in the abstract name space, TLS [allowed](TlsUse::Allowed).
    ///
    /// The name comes without the leading NUL, and must not be empty.
    pub fn unix_abstract(name: impl Into<Vec<u8>>) -> Result<Self, UriError> {
        let name = name.into();
        if name.is_empty() {
            return Err(UriError::Empty { part: UriPart::Socket });
        }
        Ok(Self::new(Transport::UnixAbstract { name }))
    }

    /// The empty export name at a vsock address, TLS [allowed](TlsUse::Allowed).
    pub fn vsock(cid: u32, port: u32) -> Self {
        Self::new(Transport::Vsock { cid, port })
    }

    fn new(transport: Transport) -> Self {
        Self {
            transport,
            tls: TlsUse::Allowed,
            user: None,
            export_name: String::new(),
            tls_type: None,
            tls_hostname: None,
            tls_verify_peer: true,
            tls_certificates: None,
            tls_psk_file: None,
            experimental: Vec::new(),
        }
    }

    /// Replaces the export name: at most 4096 bytes, without NUL.
    pub fn with_export_name(mut self, name: impl Into<String>) -> Result<Self, UriError> {
        let name = checked_text(name.into(), UriPart::ExportName)?;
        if name.len() > MAX_STRING {
            return Err(UriError::ExportNameTooLong { length: name.len() });
        }
        self.export_name = name;
        Ok(self)
    }

    /// Replaces what is said about TLS, and with it the scheme.
    #[must_use]
    pub fn with_tls(mut self, tls: TlsUse) -> Self {
        self.tls = tls;
        self
    }

    /// Replaces the user for TLS-PSK: any text without NUL. An empty user is no user.
    pub fn with_user(mut self, user: impl Into<String>) -> Result<Self, UriError> {
        self.user = Some(checked_text(user.into(), UriPart::User)?).filter(|user| !user.is_empty());
        Ok(self)
    }

    /// Sets `tls-type`.
    #[must_use]
    pub fn with_tls_type(mut self, tls_type: TlsType) -> Self {
        self.tls_type = Some(tls_type);
        self
    }

    /// Sets `tls-hostname`: not empty, without NUL.
    pub fn with_tls_hostname(mut self, hostname: impl Into<String>) -> Result<Self, UriError> {
        let hostname = checked_text(hostname.into(), UriPart::TlsHostname)?;
        if hostname.is_empty() {
            return Err(UriError::Empty { part: UriPart::TlsHostname });
        }
        self.tls_hostname = Some(hostname);
        Ok(self)
    }

    /// Sets `tls-verify-peer`. Without it, the peer is verified.
    #[must_use]
    pub fn with_tls_verify_peer(mut self, verify: bool) -> Self {
        self.tls_verify_peer = verify;
        self
    }

    /// Sets `tls-certificates`, a directory: not empty, without NUL.
    pub fn with_tls_certificates(mut self, dir: impl Into<Vec<u8>>) -> Result<Self, UriError> {
        self.tls_certificates = Some(checked_path(dir.into(), UriPart::TlsCertificates)?);
        Ok(self)
    }

    /// Sets `tls-psk-file`: not empty, without NUL.
    pub fn with_tls_psk_file(mut self, file: impl Into<Vec<u8>>) -> Result<Self, UriError> {
        self.tls_psk_file = Some(checked_path(file.into(), UriPart::TlsPskFile)?);
        Ok(self)
    }

    /// Adds an experimental parameter behind those that are there. Its name must begin with `x-`;
    /// the same name may come again.
    pub fn with_experimental(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Result<Self, UriError> {
        let name = name.into();
        if !name.starts_with("x-") {
            return Err(UriError::UnknownParameter { name });
        }
        self.experimental.push((name, value.into()));
        Ok(self)
    }

    /// Where the server listens.
    pub fn transport(&self) -> &Transport {
        &self.transport
    }

    /// Whether TLS may or must be used.
    pub fn tls(&self) -> TlsUse {
        self.tls
    }

    /// The user for TLS-PSK. Where one is needed and this is `None`, it is the local user's name.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The export name: the path without its first `/`, percent-decoded. Empty means the server's
    /// default export.
    pub fn export_name(&self) -> &str {
        &self.export_name
    }

    /// `tls-type`: how the ends prove who they are.
    pub fn tls_type(&self) -> Option<TlsType> {
        self.tls_type
    }

    /// `tls-hostname`: the name to check the server's certificate against. Where this is `None`,
    /// it is the host.
    pub fn tls_hostname(&self) -> Option<&str> {
        self.tls_hostname.as_deref()
    }

    /// `tls-verify-peer`: whether to check the server's certificate; true unless the URI says `0`.
    pub fn tls_verify_peer(&self) -> bool {
        self.tls_verify_peer
    }

    /// `tls-certificates`: the directory with the certificates, as bytes of a path.
    pub fn tls_certificates(&self) -> Option<&[u8]> {
        self.tls_certificates.as_deref()
    }

    /// `tls-psk-file`: the file with the pre-shared keys, as bytes of a path.
    pub fn tls_psk_file(&self) -> Option<&[u8]> {
        self.tls_psk_file.as_deref()
    }

    /// The experimental parameters (`x-…`), in the order they came in, repeated ones too.
    pub fn experimental(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.experimental.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// The scheme, in lower case: `nbd`, `nbds+unix` and so on.
    pub fn scheme(&self) -> &'static str {
        let kind = match self.transport {
            Transport::Tcp { .. } => Kind::Tcp,
            Transport::Unix { .. } | Transport::UnixAbstract { .. } => Kind::Unix,
            Transport::Vsock { .. } => Kind::Vsock,
        };
        kind.scheme(self.tls)
    }
}

impl FromStr for NbdUri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        Self::parse(text)
    }
}

impl fmt::Display for NbdUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme())?;
        if let Some(user) = &self.user {
            write!(f, "{}@", Escaped(user.as_bytes(), Keep::Unreserved))?;
        }
        match &self.transport {
            Transport::Tcp { host, port } => {
                host.fmt_in_uri(f)?;
                if *port != Self::DEFAULT_PORT {
                    write!(f, ":{port}")?;
                }
            }
            Transport::Vsock { cid, port } => {
                write!(f, "{cid}")?;
                if *port != u32::from(Self::DEFAULT_PORT) {
                    write!(f, ":{port}")?;
                }
            }
            Transport::Unix { .. } | Transport::UnixAbstract { .. } => {}
        }
        write!(f, "/{}", Escaped(self.export_name.as_bytes(), Keep::PathLike))?;
        self.fmt_query(f)
    }
}

impl NbdUri {
    fn fmt_query(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = '?';
        let mut put = |name: &str, nul: &str, value: &[u8]| {
            let before = core::mem::replace(&mut separator, '&');
            let name = Escaped(name.as_bytes(), Keep::Unreserved);
            write!(f, "{before}{name}={nul}{}", Escaped(value, Keep::PathLike))
        };
        match &self.transport {
            Transport::Unix { path } => put("socket", "", path)?,
            Transport::UnixAbstract { name } => put("socket", "%00", name)?,
            Transport::Tcp { .. } | Transport::Vsock { .. } => {}
        }
        if let Some(tls_type) = self.tls_type {
            put("tls-type", "", tls_type.as_str().as_bytes())?;
        }
        if let Some(hostname) = &self.tls_hostname {
            put("tls-hostname", "", hostname.as_bytes())?;
        }
        if !self.tls_verify_peer {
            put("tls-verify-peer", "", b"0")?;
        }
        if let Some(dir) = &self.tls_certificates {
            put("tls-certificates", "", dir)?;
        }
        if let Some(file) = &self.tls_psk_file {
            put("tls-psk-file", "", file)?;
        }
        for (name, value) in &self.experimental {
            put(name, "", value)?;
        }
        Ok(())
    }
}

impl TlsType {
    /// The value of `tls-type`: `anon`, `x509` or `psk`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Anonymous => "anon",
            Self::X509 => "x509",
            Self::Psk => "psk",
        }
    }
}

impl fmt::Display for TlsType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Text that will go over the wire, to TLS or to a resolver: none of them takes a NUL.
fn checked_text(text: String, part: UriPart) -> Result<String, UriError> {
    if text.contains('\0') { Err(UriError::Nul { part }) } else { Ok(text) }
}

/// A path that will go to the kernel: it ends at a NUL there, and an empty one names nothing.
fn checked_path(path: Vec<u8>, part: UriPart) -> Result<Vec<u8>, UriError> {
    if path.is_empty() {
        Err(UriError::Empty { part })
    } else if path.contains(&0) {
        Err(UriError::Nul { part })
    } else {
        Ok(path)
    }
}
