//! Texts that are no NBD URI.

use nbd_proto::uri::{NbdUri, UriError};

use crate::{Provoked, row};

fn parsing(text: &str) -> UriError {
    NbdUri::parse(text).unwrap_err()
}

pub(crate) fn table() -> Vec<Provoked> {
    [characters(), parts()].into_iter().flatten().collect()
}

/// What is wrong before any part has a meaning, or in any part.
fn characters() -> Vec<Provoked> {
    vec![
        row(
            "MissingScheme",
            &parsing("/run/nbd\n.sock"),
            "an NBD URI begins with a scheme, but \"/run/nbd\\n.sock\" has none: write nbd://HOST/EXPORT or \
            nbd+unix:///EXPORT?socket=PATH",
        ),
        row(
            "UnknownScheme",
            &parsing("http://h/disk"),
            "\"http\" is not an NBD scheme: write nbd, nbds, nbd+unix, nbds+unix, nbd+vsock or nbds+vsock",
        ),
        row(
            "MissingSlashes",
            &parsing("nbd:unix:/run/nbd.sock"),
            "an NBD URI has // behind the scheme: write \"nbd+unix:///?socket=/run/nbd.sock\" instead",
        ),
        row(
            "MissingSlashes",
            &parsing("nbd:host:10809"),
            "an NBD URI has // behind the scheme: write \"nbd://host/\" instead",
        ),
        row(
            "Fragment",
            &parsing("nbd://h/#"),
            "an NBD URI has no fragment, but there is a '#' at byte 8: write %23 for a '#' in a name",
        ),
        row(
            "InvalidCharacter",
            &parsing("nbd://h/a b"),
            "the character ' ' at byte 9 cannot stand there in a URI: write %20 instead",
        ),
        row(
            "InvalidPercentEncoding",
            &parsing("nbd://h/%4"),
            "the % at byte 8 needs two hexadecimal digits behind it, but \"%4\" came: write %25 for a %",
        ),
        row(
            "NotUtf8",
            &parsing("nbd://h/%ff"),
            "the export name must be UTF-8 once percent-decoded, but is not: percent-encode the bytes of its UTF-8 \
            form",
        ),
        row(
            "Nul",
            &parsing("nbd://h/a%00"),
            "the export name has a NUL in it, which no server can be asked for: leave out the %00",
        ),
        row("Empty", &parsing("nbd+unix:///?socket="), "the value of socket is empty: give it a value or leave it out"),
        row(
            "Password",
            &parsing("nbd://alice:secret@h/"),
            "an NBD URI has no place for a password: write only the user before the @ (keys for TLS-PSK come from \
            tls-psk-file; a ':' in a user's name is written %3A)",
        ),
    ]
}

/// What is wrong with one part, or with how parts go together.
fn parts() -> Vec<Provoked> {
    let long = format!("nbd://h/{}", "x".repeat(4097));
    vec![
        row(
            "InvalidHost",
            &parsing("nbd://[::g]/"),
            "\"[::g]\" is not a host: expected an IPv6 address in the brackets, as in nbd://[::1]/ or \
            nbd://[fe80::1%25eth0]/",
        ),
        row("InvalidPort", &parsing("nbd://h:0/"), "\"0\" is not a port: expected a number from 1 to 65535"),
        row("InvalidPort", &parsing("nbd+vsock://2:x/"), "\"x\" is not a port: expected a number from 0 to 4294967295"),
        row(
            "InvalidCid",
            &parsing("nbd+vsock://host/"),
            "\"host\" is not a vsock context id: expected a number of 32 bits (2 is the host of a virtual machine), \
            as in nbd+vsock://2:10809/EXPORT",
        ),
        row(
            "UnexpectedHost",
            &parsing("nbd+unix://h/?socket=/s"),
            "a URI for a Unix socket has no host, but \"h\" came: write nbd+unix:///EXPORT?socket=PATH, with three \
            slashes",
        ),
        row(
            "MissingSocket",
            &parsing("nbd+unix:///disk"),
            "a URI for a Unix socket needs the parameter socket: write nbd+unix:///EXPORT?socket=PATH",
        ),
        row(
            "UnexpectedSocket",
            &parsing("nbd://h/?socket=/s"),
            "only URIs for Unix sockets have the parameter socket: write nbd+unix:// or nbds+unix://, or leave it out",
        ),
        row(
            "ExportNameTooLong",
            &parsing(&long),
            "the export name is 4097 bytes long, but NBD allows 4096: use a shorter one",
        ),
        row(
            "InvalidValue",
            &parsing("nbds://h/?tls-type=none"),
            "\"none\" is not a value of tls-type: write anon, x509 or psk",
        ),
        row(
            "UnknownParameter",
            &parsing("nbd://h/?sock=/s"),
            "unknown parameter \"sock\": there are socket, tls-type, tls-hostname, tls-verify-peer, tls-certificates, \
            tls-psk-file, and experimental ones that begin with x-",
        ),
        row(
            "DuplicateParameter",
            &parsing("nbd+unix:///?socket=/s&socket=/t"),
            "the parameter socket is there twice: keep one of them",
        ),
    ]
}
