//! What can be wrong with a URI.

use alloc::string::String;
use core::fmt;

use super::escape::{Escaped, Keep};

/// Why a text is no NBD URI, or why a constructor refused a value.
///
/// Each message is one line that says what was expected, what came and what to write instead; text
/// from the URI is escaped in it. Positions count bytes from the start of the URI, from 0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UriError {
    /// The text does not begin with a scheme and a colon.
    #[error(
        "an NBD URI begins with a scheme, but \"{}\" has none: \
         write nbd://HOST/EXPORT or nbd+unix:///EXPORT?socket=PATH",
        .found.escape_debug()
    )]
    MissingScheme {
        /// The whole text.
        found: String,
    },

    /// The scheme is not an NBD one.
    #[error(
        "\"{}\" is not an NBD scheme: write nbd, nbds, nbd+unix, nbds+unix, nbd+vsock or nbds+vsock",
        .scheme.escape_debug()
    )]
    UnknownScheme {
        /// What stands before the first colon.
        scheme: String,
    },

    /// No `//` follows the scheme: for one, QEMU's old `nbd:unix:PATH` and `nbd:HOST:PORT`.
    #[error("an NBD URI has // behind the scheme: write \"{}\" instead", .instead.escape_debug())]
    MissingSlashes {
        /// A URI that says the same, as far as it can be guessed; otherwise the general form.
        instead: String,
    },

    /// A `#`: NBD URIs have no fragments.
    #[error("an NBD URI has no fragment, but there is a '#' at byte {position}: write %23 for a '#' in a name")]
    Fragment {
        /// Where the `#` stands.
        position: usize,
    },

    /// A character that RFC 3986 does not allow where it stands.
    #[error(
        "the character '{}' at byte {position} cannot stand there in a URI: write {} instead",
        .found.escape_debug(),
        Escaped(.found.encode_utf8(&mut [0; 4]).as_bytes(), Keep::Unreserved)
    )]
    InvalidCharacter {
        /// The character.
        found: char,
        /// Where it stands.
        position: usize,
    },

    /// A `%` without two hexadecimal digits behind it.
    #[error(
        "the % at byte {position} needs two hexadecimal digits behind it, but \"{}\" came: write %25 for a %",
        .found.escape_debug()
    )]
    InvalidPercentEncoding {
        /// Where the `%` stands.
        position: usize,
        /// The `%` and the up to two characters behind it.
        found: String,
    },

    /// What percent-decoding gave is not UTF-8, but should be.
    #[error("the {part} must be UTF-8 once percent-decoded, but is not: percent-encode the bytes of its UTF-8 form")]
    NotUtf8 {
        /// Where it stands.
        part: UriPart,
    },

    /// A NUL (`%00`) where there must not be one.
    #[error("the {part} has a NUL in it, which no server can be asked for: leave out the %00")]
    Nul {
        /// Where it stands.
        part: UriPart,
    },

    /// Nothing where there must be something.
    #[error("the {part} is empty: give it a value or leave it out")]
    Empty {
        /// What is empty.
        part: UriPart,
    },

    /// `user:password@`. The message does not repeat it.
    #[error(
        "an NBD URI has no place for a password: write only the user before the @ \
         (keys for TLS-PSK come from tls-psk-file; a ':' in a user's name is written %3A)"
    )]
    Password,

    /// The host is neither a name nor an IP address.
    #[error("\"{}\" is not a host: expected {expected}", .found.escape_debug())]
    InvalidHost {
        /// The host as it stands in the URI.
        found: String,
        /// What would have been right.
        expected: &'static str,
    },

    /// The port is not a number or out of range.
    #[error("\"{}\" is not a port: expected {expected}", .found.escape_debug())]
    InvalidPort {
        /// The port as it stands in the URI.
        found: String,
        /// What would have been right.
        expected: &'static str,
    },

    /// The authority of a vsock URI does not begin with a context id.
    #[error(
        "\"{}\" is not a vsock context id: expected a number of 32 bits (2 is the host of a virtual machine), \
         as in nbd+vsock://2:10809/EXPORT",
        .found.escape_debug()
    )]
    InvalidCid {
        /// The context id as it stands in the URI, empty if there is none.
        found: String,
    },

    /// A host or port in a Unix URI.
    #[error(
        "a URI for a Unix socket has no host, but \"{}\" came: \
         write nbd+unix:///EXPORT?socket=PATH, with three slashes",
        .found.escape_debug()
    )]
    UnexpectedHost {
        /// The authority, without the user.
        found: String,
    },

    /// A Unix URI without the parameter `socket`.
    #[error("a URI for a Unix socket needs the parameter socket: write nbd+unix:///EXPORT?socket=PATH")]
    MissingSocket,

    /// The parameter `socket` in a URI that is not for a Unix socket.
    #[error("only URIs for Unix sockets have the parameter socket: write nbd+unix:// or nbds+unix://, or leave it out")]
    UnexpectedSocket,

    /// The export name is longer than a string in NBD may be.
    #[error("the export name is {length} bytes long, but NBD allows 4096: use a shorter one")]
    ExportNameTooLong {
        /// The length in bytes, once percent-decoded.
        length: usize,
    },

    /// The value of a parameter is not one of those it takes.
    #[error("\"{}\" is not a value of {name}: write {expected}", .found.escape_debug())]
    InvalidValue {
        /// The parameter.
        name: &'static str,
        /// Its value. Bytes that are not UTF-8 are shown as U+FFFD.
        found: String,
        /// What would have been right.
        expected: &'static str,
    },

    /// A parameter that the standard does not know and that is not experimental (`x-…`).
    #[error(
        "unknown parameter \"{}\": there are socket, tls-type, tls-hostname, tls-verify-peer, tls-certificates, \
         tls-psk-file, and experimental ones that begin with x-",
        .name.escape_debug()
    )]
    UnknownParameter {
        /// Its name, once percent-decoded.
        name: String,
    },

    /// A parameter that is there twice.
    #[error("the parameter {name} is there twice: keep one of them")]
    DuplicateParameter {
        /// The parameter.
        name: &'static str,
    },
}

/// A part of a URI, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UriPart {
    /// What stands before the `@`.
    User,
    /// The host.
    Host,
    /// The path without its first `/`.
    ExportName,
    /// The name of a parameter.
    ParameterName,
    /// The value of `socket`.
    Socket,
    /// The value of `tls-hostname`.
    TlsHostname,
    /// The value of `tls-certificates`.
    TlsCertificates,
    /// The value of `tls-psk-file`.
    TlsPskFile,
}

impl fmt::Display for UriPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::User => "user",
            Self::Host => "host",
            Self::ExportName => "export name",
            Self::ParameterName => "name of a parameter",
            Self::Socket => "value of socket",
            Self::TlsHostname => "value of tls-hostname",
            Self::TlsCertificates => "value of tls-certificates",
            Self::TlsPskFile => "value of tls-psk-file",
        })
    }
}

pub(super) fn invalid_tcp_port(found: &str) -> UriError {
    UriError::InvalidPort { found: found.into(), expected: "a number from 1 to 65535" }
}

pub(super) fn invalid_vsock_port(found: &str) -> UriError {
    UriError::InvalidPort { found: found.into(), expected: "a number from 0 to 4294967295" }
}
