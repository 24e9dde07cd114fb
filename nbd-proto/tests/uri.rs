//! NBD URIs: what each one means, what is refused and as what, and that print and parse agree.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::net::{Ipv4Addr, Ipv6Addr};

use nbd_proto::uri::{Host, NbdUri, TlsType, TlsUse, Transport, UriError, UriPart};
use proptest::{collection::vec, option, prelude::*};

fn tcp(host: &str) -> NbdUri {
    NbdUri::tcp(host, 10809).unwrap()
}

fn unix(path: &[u8]) -> NbdUri {
    NbdUri::unix(path).unwrap()
}

fn export(uri: NbdUri, name: &str) -> NbdUri {
    uri.with_export_name(name).unwrap()
}

/// Each text parses to the value, and the value prints as the canonical form, which parses to it too.
#[track_caller]
fn good(table: impl IntoIterator<Item = (&'static str, &'static str, NbdUri)>) {
    for (text, canonical, value) in table {
        assert_eq!(NbdUri::parse(text).as_ref(), Ok(&value), "{text}");
        assert_eq!(value.to_string(), canonical, "{text}");
        assert_eq!(NbdUri::parse(canonical), Ok(value), "{canonical}");
        assert!(NbdUri::has_nbd_scheme(text), "{text}");
    }
}

#[test]
#[rustfmt::skip]
fn good_schemes() {
    let sock = || unix(b"/s");
    good([
        ("nbd://h/disk", "nbd://h/disk", export(tcp("h"), "disk")),
        ("NBD://h/disk", "nbd://h/disk", export(tcp("h"), "disk")),
        ("nbds://h/", "nbds://h/", tcp("h").with_tls(TlsUse::Required)),
        ("nbd+unix:///?socket=/s", "nbd+unix:///?socket=/s", sock()),
        ("nBdS+uNiX:///?socket=/s", "nbds+unix:///?socket=/s", sock().with_tls(TlsUse::Required)),
        ("nbd+vsock://2/", "nbd+vsock://2/", NbdUri::vsock(2, 10809)),
        ("nbds+vsock://2/", "nbds+vsock://2/", NbdUri::vsock(2, 10809).with_tls(TlsUse::Required)),
    ]);
}

/// The export name is the path without its first slash.
#[test]
#[rustfmt::skip]
fn good_export_names() {
    good([
        ("nbd://h", "nbd://h/", tcp("h")),
        ("nbd://h/", "nbd://h/", tcp("h")),
        ("nbd://h?", "nbd://h/", tcp("h")),
        ("nbd://h//disk", "nbd://h//disk", export(tcp("h"), "/disk")),
        ("nbd://h///", "nbd://h///", export(tcp("h"), "//")),
        ("nbd://h/a/b/../c", "nbd://h/a/b/../c", export(tcp("h"), "a/b/../c")),
        ("nbd://h/%2Fdisk", "nbd://h//disk", export(tcp("h"), "/disk")),
        ("nbd://h/hello%20world", "nbd://h/hello%20world", export(tcp("h"), "hello world")),
        ("nbd://h/%C3%a9", "nbd://h/%C3%A9", export(tcp("h"), "é")),
        ("nbd://h/a+b", "nbd://h/a%2Bb", export(tcp("h"), "a+b")),
        ("nbd://h/100%25", "nbd://h/100%25", export(tcp("h"), "100%")),
        ("nbd://h/a%2525", "nbd://h/a%2525", export(tcp("h"), "a%25")),
        ("nbd://h/%3Fx%23y", "nbd://h/%3Fx%23y", export(tcp("h"), "?x#y")),
        ("nbd://h/a:b@c", "nbd://h/a:b@c", export(tcp("h"), "a:b@c")),
        ("nbd://h/%0A", "nbd://h/%0A", export(tcp("h"), "\n")),
        ("nbd+unix:////d?socket=/s", "nbd+unix:////d?socket=/s", export(unix(b"/s"), "/d")),
    ]);
}

#[test]
#[rustfmt::skip]
fn good_authorities() {
    let at = |host, port| NbdUri::tcp(host, port).unwrap();
    let by = |uri: NbdUri, user: &str| uri.with_user(user).unwrap();
    good([
        // Without a host: localhost.
        ("nbd:///disk", "nbd://localhost/disk", export(tcp("localhost"), "disk")),
        ("nbd://", "nbd://localhost/", tcp("localhost")),
        ("nbd://:1/", "nbd://localhost:1/", at("localhost", 1)),
        // Ports.
        ("nbd://h:/", "nbd://h/", tcp("h")),
        ("nbd://h:10809/", "nbd://h/", tcp("h")),
        ("nbd://h:010810/", "nbd://h:10810/", at("h", 10810)),
        ("nbd://h:65535", "nbd://h:65535/", at("h", 65535)),
        ("nbd+vsock://2:/", "nbd+vsock://2/", NbdUri::vsock(2, 10809)),
        ("nbd+vsock://4294967295:4294967295", "nbd+vsock://4294967295:4294967295/", NbdUri::vsock(u32::MAX, u32::MAX)),
        // Names.
        ("nbd://Example.COM/", "nbd://example.com/", tcp("example.com")),
        ("nbd://%65xample.com/", "nbd://example.com/", tcp("example.com")),
        ("nbd://b%C3%BCcher.example/", "nbd://b%C3%BCcher.example/", tcp("bücher.example")),
        ("nbd://a_b/", "nbd://a_b/", tcp("a_b")),
        // Addresses.
        ("nbd://192.0.2.1:1/", "nbd://192.0.2.1:1/", at("192.0.2.1", 1)),
        ("nbd://[::1]", "nbd://[::1]/", tcp("::1")),
        ("nbd://[::1]:/", "nbd://[::1]/", tcp("[::1]")),
        ("nbd://[2001:DB8::0:1]:1/", "nbd://[2001:db8::1]:1/", at("2001:db8::1", 1)),
        ("nbd://[fe80::1%25eth0]:1/", "nbd://[fe80::1%25eth0]:1/", at("fe80::1%eth0", 1)),
        ("nbd://[fe80::1%25%65n%2B0]/", "nbd://[fe80::1%25en%2B0]/", tcp("[fe80::1%en+0]")),
        // Users.
        ("nbd://alice@h/", "nbd://alice@h/", by(tcp("h"), "alice")),
        ("nbd://@h/", "nbd://h/", tcp("h")),
        ("nbd://alice@", "nbd://alice@localhost/", by(tcp("localhost"), "alice")),
        ("nbd://a%40b%3Ac@[::1]/", "nbd://a%40b%3Ac@[::1]/", by(tcp("::1"), "a@b:c")),
        ("nbd+unix://alice@/?socket=/s", "nbd+unix://alice@/?socket=/s", by(unix(b"/s"), "alice")),
    ]);
}

#[test]
#[rustfmt::skip]
fn good_sockets() {
    good([
        ("nbd+unix://?socket=/s", "nbd+unix:///?socket=/s", unix(b"/s")),
        ("nbd+unix:///?socket=s", "nbd+unix:///?socket=s", unix(b"s")),
        ("nbd+unix:///?socket=a+b%20c=d?e", "nbd+unix:///?socket=a%2Bb%20c%3Dd%3Fe", unix(b"a+b c=d?e")),
        ("nbd+unix:///?%73ocket=%2Fs%ff", "nbd+unix:///?socket=/s%FF", unix(b"/s\xff")),
        ("nbd+unix:///?socket=a;b%26c", "nbd+unix:///?socket=a%3Bb%26c", unix(b"a;b&c")),
        ("nbd+unix:///?socket=%00n%00%FF", "nbd+unix:///?socket=%00n%00%FF", NbdUri::unix_abstract(*b"n\0\xff").unwrap()),
    ]);
}

#[test]
#[rustfmt::skip]
fn good_parameters() {
    let experiments = [("x-b", &b"\0"[..]), ("x-a", b""), ("x-b", b"2")]
        .into_iter()
        .fold(tcp("h"), |uri, (name, value)| uri.with_experimental(name, value).unwrap());
    good([
        ("nbd://h/?tls-type=anon", "nbd://h/?tls-type=anon", tcp("h").with_tls_type(TlsType::Anonymous)),
        ("nbd://h/?tls-type=x509", "nbd://h/?tls-type=x509", tcp("h").with_tls_type(TlsType::X509)),
        ("nbd://h/?tls-type=psk", "nbd://h/?tls-type=psk", tcp("h").with_tls_type(TlsType::Psk)),
        ("nbd://h?tls-verify-peer=0", "nbd://h/?tls-verify-peer=0", tcp("h").with_tls_verify_peer(false)),
        ("nbd://h?tls-verify-peer=1", "nbd://h/", tcp("h")),
        ("nbd://h?tls-hostname=b%C3%BC", "nbd://h/?tls-hostname=b%C3%BC", tcp("h").with_tls_hostname("bü").unwrap()),
        ("nbd://h?tls-certificates=c%ff", "nbd://h/?tls-certificates=c%FF", tcp("h").with_tls_certificates(*b"c\xff").unwrap()),
        ("nbd://h?tls-psk-file=/k", "nbd://h/?tls-psk-file=/k", tcp("h").with_tls_psk_file("/k").unwrap()),
        ("nbd://h?&x-b=%00&&x-a&x-b=2&", "nbd://h/?x-b=%00&x-a=&x-b=2", experiments),
    ]);
}

#[test]
fn every_part_is_readable() {
    let uri = NbdUri::parse(
        "nbds+unix://alice@/disk?tls-hostname=h&tls-verify-peer=0&tls-certificates=/c&x-one=1&tls-type=psk\
         &socket=/s&tls-psk-file=/k",
    )
    .unwrap();
    assert_eq!(uri.scheme(), "nbds+unix");
    assert_eq!(uri.transport(), &Transport::Unix { path: b"/s".to_vec() });
    assert_eq!(uri.tls(), TlsUse::Required);
    assert_eq!(uri.user(), Some("alice"));
    assert_eq!(uri.export_name(), "disk");
    assert_eq!(uri.tls_type(), Some(TlsType::Psk));
    assert_eq!(uri.tls_hostname(), Some("h"));
    assert!(!uri.tls_verify_peer());
    assert_eq!(uri.tls_certificates(), Some(&b"/c"[..]));
    assert_eq!(uri.tls_psk_file(), Some(&b"/k"[..]));
    assert_eq!(uri.experimental().collect::<Vec<_>>(), [("x-one", &b"1"[..])]);

    let plain = NbdUri::parse("nbd://[fe80::1%25eth0]/").unwrap();
    let host = Host::Ipv6 { addr: "fe80::1".parse().unwrap(), zone: Some("eth0".into()) };
    assert_eq!(host.to_string(), "fe80::1%eth0");
    assert_eq!(plain.transport(), &Transport::Tcp { host, port: NbdUri::DEFAULT_PORT });
    assert_eq!((plain.tls(), plain.user(), plain.export_name()), (TlsUse::Allowed, None, ""));
    assert_eq!((plain.tls_type(), plain.tls_hostname(), plain.tls_verify_peer()), (None, None, true));
    assert_eq!((plain.tls_certificates(), plain.tls_psk_file()), (None, None));
    assert_eq!(plain.experimental().count(), 0);
}

#[track_caller]
fn bad(table: impl IntoIterator<Item = (&'static str, UriError)>) {
    for (text, error) in table {
        assert_eq!(NbdUri::parse(text), Err(error), "{text}");
    }
}

#[test]
#[rustfmt::skip]
fn bad_schemes() {
    let missing = |found: &str| UriError::MissingScheme { found: found.into() };
    let unknown = |scheme: &str| UriError::UnknownScheme { scheme: scheme.into() };
    bad([
        ("", missing("")),
        ("/dev/sda", missing("/dev/sda")),
        ("://h/", missing("://h/")),
        ("/a:b", missing("/a:b")),
        ("http://h/", unknown("http")),
        ("nbd+tcp://h/", unknown("nbd+tcp")),
        ("localhost:10809", unknown("localhost")),
    ]);
}

#[test]
#[rustfmt::skip]
fn bad_characters() {
    let character = |found, position| UriError::InvalidCharacter { found, position };
    let percent = |position, found: &str| UriError::InvalidPercentEncoding { position, found: found.into() };
    bad([
        ("nbd://h/#", UriError::Fragment { position: 8 }),
        ("nbd://h/x?x-a=1#y", UriError::Fragment { position: 15 }),
        ("nbd://h/a b", character(' ', 9)),
        ("nbd://h/é", character('é', 8)),
        ("nbd://h/[", character('[', 8)),
        ("nbd://h/a\n", character('\n', 9)),
        ("nbd://h\\x/", character('\\', 7)),
        ("nbd://a@b@h/", character('@', 7)),
        ("nbd+unix:///?socket=/a b", character(' ', 22)),
        ("nbd+unix:///?sock et=/a", character(' ', 17)),
        ("nbd://h/%", percent(8, "%")),
        ("nbd://h/a%4", percent(9, "%4")),
        ("nbd://h/%zz/", percent(8, "%zz")),
        ("nbd://h/%+1/", percent(8, "%+1")),
        ("nbd://h/%éé", percent(8, "%éé")),
        ("nbd://h/?x-a=%4", percent(13, "%4")),
        ("nbd://%h/", percent(6, "%h")),
        ("nbd://[fe80::1%25%4]/", percent(17, "%4")),
    ]);
}

#[test]
#[rustfmt::skip]
fn bad_text() {
    let not_utf8 = |part| UriError::NotUtf8 { part };
    let nul = |part| UriError::Nul { part };
    let empty = |part| UriError::Empty { part };
    bad([
        ("nbd://h/%FF", not_utf8(UriPart::ExportName)),
        ("nbd://%FF/", not_utf8(UriPart::Host)),
        ("nbd://%FF@h/", not_utf8(UriPart::User)),
        ("nbd://h/?%FF", not_utf8(UriPart::ParameterName)),
        ("nbd://h/?tls-hostname=%FF", not_utf8(UriPart::TlsHostname)),
        ("nbd://h/a%00b", nul(UriPart::ExportName)),
        ("nbd://a%00@h/", nul(UriPart::User)),
        ("nbd://%00/", nul(UriPart::Host)),
        ("nbd+unix:///?socket=a%00", nul(UriPart::Socket)),
        ("nbd://h/?tls-hostname=a%00", nul(UriPart::TlsHostname)),
        ("nbd://h/?tls-certificates=%00", nul(UriPart::TlsCertificates)),
        ("nbd://h/?tls-psk-file=%00", nul(UriPart::TlsPskFile)),
        ("nbd+unix:///?socket=", empty(UriPart::Socket)),
        ("nbd+unix:///?socket", empty(UriPart::Socket)),
        ("nbd+unix:///?socket=%00", empty(UriPart::Socket)),
        ("nbd://h/?tls-hostname=", empty(UriPart::TlsHostname)),
        ("nbd://h/?tls-certificates", empty(UriPart::TlsCertificates)),
        ("nbd://h/?tls-psk-file=", empty(UriPart::TlsPskFile)),
    ]);
}

#[test]
#[rustfmt::skip]
fn bad_authorities() {
    let cid = |found: &str| UriError::InvalidCid { found: found.into() };
    let host_in_unix = |found: &str| UriError::UnexpectedHost { found: found.into() };
    bad([
        ("nbd://alice:secret@h/", UriError::Password),
        ("nbd://alice:@h/", UriError::Password),
        ("nbd+vsock:///", cid("")),
        ("nbd+vsock://:1/", cid("")),
        ("nbd+vsock://host/", cid("host")),
        ("nbd+vsock://4294967296/", cid("4294967296")),
        ("nbd+vsock://1:2:3/", cid("1:2:3")),
        ("nbd+unix://tmp/s?socket=/s", host_in_unix("tmp")),
        ("nbd+unix://alice@h/?socket=/s", host_in_unix("h")),
        ("nbd+unix://:1/?socket=/s", host_in_unix(":1")),
    ]);
}

#[test]
#[rustfmt::skip]
fn bad_parameters() {
    let unknown = |name: &str| UriError::UnknownParameter { name: name.into() };
    let duplicate = |name| UriError::DuplicateParameter { name };
    bad([
        ("nbd+unix:///tmp/s", UriError::MissingSocket),
        ("nbd+unix:///?x-a=1", UriError::MissingSocket),
        ("nbd://h/?socket=/s", UriError::UnexpectedSocket),
        ("nbd://h/?socket=", UriError::UnexpectedSocket),
        ("nbd+vsock://2/?socket=/s", UriError::UnexpectedSocket),
        ("nbd://h/?tls-typ=psk", unknown("tls-typ")),
        ("nbd://h/?TLS-TYPE=psk", unknown("TLS-TYPE")),
        ("nbd://h/?X-a=1", unknown("X-a")),
        ("nbd://h/?=1", unknown("")),
        ("nbd://h/?a%0Ab=1", unknown("a\nb")),
        ("nbd+unix:///?socket=a&socket=a", duplicate("socket")),
        ("nbd://h/?tls-type=psk&tls-type=psk", duplicate("tls-type")),
        ("nbd://h/?tls-hostname=a&tls-hostname=b", duplicate("tls-hostname")),
        ("nbd://h/?tls-verify-peer=1&tls-verify-peer=1", duplicate("tls-verify-peer")),
        ("nbd://h/?tls-certificates=a&tls-certificates=b", duplicate("tls-certificates")),
        ("nbd://h/?tls-psk-file=a&tls-psk-file=b", duplicate("tls-psk-file")),
    ]);
}

#[test]
fn bad_hosts_ports_and_values_show_what_came() {
    for (text, shown) in [
        ("nbd://::1/", "::1"),
        ("nbd://h:1:2/", "h:1:2"),
        ("nbd://[::1/", "[::1"),
        ("nbd://[::1]x/", "[::1]x"),
        ("nbd://[::1]x:1/", "[::1]x:1"),
        ("nbd://[[::1]]:1/", "[[::1]]"),
        ("nbd://[]/", "[]"),
        ("nbd://[127.0.0.1]/", "[127.0.0.1]"),
        ("nbd://[v1.x]/", "[v1.x]"),
        ("nbd://[fe80::1%eth0]/", "[fe80::1%eth0]"),
        ("nbd://[fe80::1%25]/", "[fe80::1%25]"),
        ("nbd://[fe80::1%25a%2Fb]/", "[fe80::1%25a%2Fb]"),
        ("nbd://a%20b/", "a b"),
        ("nbd://a%2Fb/", "a/b"),
        ("nbd://%3A%3A1/", "::1"),
        ("nbd://%0A/", "\n"),
    ] {
        assert!(
            matches!(NbdUri::parse(text), Err(UriError::InvalidHost { found, .. }) if found == shown),
            "{text}: {:?}",
            NbdUri::parse(text)
        );
    }
    for (text, shown) in [
        ("nbd://h:0/", "0"),
        ("nbd://h:65536/", "65536"),
        ("nbd://h:99999999999999999999/", "99999999999999999999"),
        ("nbd://h:+1/", "+1"),
        ("nbd://h:-1/", "-1"),
        ("nbd://h:nbd/", "nbd"),
        ("nbd://h:%31/", "%31"),
        ("nbd://[::1]:x/", "x"),
        ("nbd+vsock://2:4294967296/", "4294967296"),
        ("nbd+vsock://2:+1/", "+1"),
    ] {
        assert!(
            matches!(NbdUri::parse(text), Err(UriError::InvalidPort { found, .. }) if found == shown),
            "{text}: {:?}",
            NbdUri::parse(text)
        );
    }
    for (text, parameter, shown) in [
        ("nbd://h/?tls-type=PSK", "tls-type", "PSK"),
        ("nbd://h/?tls-type", "tls-type", ""),
        ("nbd://h/?tls-type=%FF", "tls-type", "\u{fffd}"),
        ("nbd://h/?tls-verify-peer=true", "tls-verify-peer", "true"),
        ("nbd://h/?tls-verify-peer=", "tls-verify-peer", ""),
    ] {
        assert!(
            matches!(
                NbdUri::parse(text),
                Err(UriError::InvalidValue { name, found, .. }) if name == parameter && found == shown
            ),
            "{text}: {:?}",
            NbdUri::parse(text)
        );
    }
}

/// What is written without `//` is mostly QEMU's old syntax, where nothing is percent-encoded.
#[test]
fn old_syntax_is_answered_with_what_to_write() {
    for (text, better) in [
        ("nbd:unix:/run/my disk.sock", "nbd+unix:///?socket=/run/my%20disk.sock"),
        ("nbd:unix:/s:exportname=a:b c", "nbd+unix:///a:b%20c?socket=/s"),
        ("nbd:localhost:10809", "nbd://localhost/"),
        ("nbd:h:1:exportname=my disk", "nbd://h:1/my%20disk"),
        ("nbd:[::1]:1:exportname=d", "nbd://[::1]:1/d"),
        ("nbd:/disk", "nbd://localhost/disk"),
        ("nbds:h/disk", "nbds://h/disk"),
        ("nbds+unix:/run/nbd.sock", "nbds+unix:///?socket=/run/nbd.sock"),
        ("nbd+unix:/d?socket=/s", "nbd+unix:///d?socket=/s"),
        ("nbd+vsock:2:1", "nbd+vsock://2:1/"),
        // Nothing better to be said than the form.
        ("nbd:unix:", "nbd://HOST/EXPORT"),
        ("nbd:a b", "nbd://HOST/EXPORT"),
        ("nbds+unix:", "nbds+unix:///EXPORT?socket=PATH"),
        ("nbd+vsock:x", "nbd+vsock://CID/EXPORT"),
    ] {
        assert_eq!(NbdUri::parse(text), Err(UriError::MissingSlashes { instead: better.into() }), "{text}");
        assert!(NbdUri::has_nbd_scheme(text), "{text}");
    }
}

#[test]
fn export_names_end_at_4096_bytes() {
    // Two bytes each, six characters each once encoded: it is the decoded name that counts.
    let longest = format!("nbd://h/{}", "%C3%A9".repeat(2048));
    assert_eq!(NbdUri::parse(&longest).unwrap().export_name().len(), 4096);
    assert_eq!(NbdUri::parse(&(longest + "x")), Err(UriError::ExportNameTooLong { length: 4097 }));
}

#[test]
fn constructors_keep_the_same_rules() {
    assert!(matches!(NbdUri::tcp("h", 0), Err(UriError::InvalidPort { .. })));
    for host in ["", "a b", "a/b", "[h]", "[127.0.0.1]", "[::1", "::1%", "::1%a b", "1:2"] {
        let refused = NbdUri::tcp(host, 1);
        assert!(matches!(refused, Err(UriError::InvalidHost { .. })), "{host}: {refused:?}");
    }
    assert_eq!(NbdUri::unix(""), Err(UriError::Empty { part: UriPart::Socket }));
    assert_eq!(NbdUri::unix("\0a"), Err(UriError::Nul { part: UriPart::Socket }));
    assert_eq!(NbdUri::unix_abstract(""), Err(UriError::Empty { part: UriPart::Socket }));
    assert_eq!(tcp("h").with_experimental("y-a", ""), Err(UriError::UnknownParameter { name: "y-a".into() }));
    assert_eq!(tcp("h").with_user("").unwrap().user(), None);
    assert!(!NbdUri::has_nbd_scheme("nbd"));
    assert!(!NbdUri::has_nbd_scheme("nbdx://h/"));
}

/// Messages are one line, escape what came, and do not repeat a password.
#[test]
fn messages_say_what_to_write() {
    for (text, message) in [
        ("nbd://h/a b", "the character ' ' at byte 9 cannot stand there in a URI: write %20 instead"),
        ("nbd://h/é", "the character 'é' at byte 8 cannot stand there in a URI: write %C3%A9 instead"),
        (
            "nbd://h/?a%0Ab=1",
            "unknown parameter \"a\\nb\": there are socket, tls-type, tls-hostname, tls-verify-peer, \
             tls-certificates, tls-psk-file, and experimental ones that begin with x-",
        ),
        ("nbd:unix:/s", "an NBD URI has // behind the scheme: write \"nbd+unix:///?socket=/s\" instead"),
        ("nbd://h:0/", "\"0\" is not a port: expected a number from 1 to 65535"),
    ] {
        assert_eq!(NbdUri::parse(text).unwrap_err().to_string(), message);
    }
    let password = NbdUri::parse("nbd://alice:secret@h/").unwrap_err();
    assert!(!format!("{password} {password:?}").contains("secret"));
}

fn any_host() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9._~!$&'()*+,;=\u{e0}-\u{ff}-]{1,20}",
        any::<Ipv4Addr>().prop_map(|addr| addr.to_string()),
        any::<Ipv6Addr>().prop_map(|addr| addr.to_string()),
        (any::<Ipv6Addr>(), "[a-zA-Z0-9._~!+&=-]{1,15}").prop_map(|(addr, zone)| format!("{addr}%{zone}")),
    ]
}

/// Any text without NUL.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof!["[^\0]{0,30}", r"[/?#%&=+@: a\[\];.\\]{0,12}"]
}

/// Any path: not empty, without NUL, mostly not UTF-8.
fn any_path() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(1..=u8::MAX, 1..30), "[/a-z%&=?+ ]{1,20}".prop_map(String::into_bytes)]
}

fn any_address() -> impl Strategy<Value = NbdUri> {
    prop_oneof![
        (any_host(), 1..=u16::MAX).prop_map(|(host, port)| NbdUri::tcp(&host, port).unwrap()),
        any_path().prop_map(|path| NbdUri::unix(path).unwrap()),
        vec(any::<u8>(), 1..30).prop_map(|name| NbdUri::unix_abstract(name).unwrap()),
        (any::<u32>(), any::<u32>()).prop_map(|(cid, port)| NbdUri::vsock(cid, port)),
    ]
}

prop_compose! {
    fn any_uri()(
        address in any_address(),
        tls in prop_oneof![Just(TlsUse::Allowed), Just(TlsUse::Required)],
        user in any_text(),
        name in any_text(),
        tls_type in option::of(prop_oneof![Just(TlsType::Anonymous), Just(TlsType::X509), Just(TlsType::Psk)]),
        hostname in option::of(any_text().prop_filter("not empty", |text| !text.is_empty())),
        verify in any::<bool>(),
        certificates in option::of(any_path()),
        psk_file in option::of(any_path()),
        experimental in vec((any_text(), vec(any::<u8>(), 0..10)), 0..3),
    ) -> NbdUri {
        let mut uri = address.with_tls(tls).with_tls_verify_peer(verify);
        uri = uri.with_user(user).unwrap().with_export_name(name).unwrap();
        if let Some(tls_type) = tls_type {
            uri = uri.with_tls_type(tls_type);
        }
        if let Some(hostname) = hostname {
            uri = uri.with_tls_hostname(hostname).unwrap();
        }
        if let Some(dir) = certificates {
            uri = uri.with_tls_certificates(dir).unwrap();
        }
        if let Some(file) = psk_file {
            uri = uri.with_tls_psk_file(file).unwrap();
        }
        for (name, value) in experimental {
            uri = uri.with_experimental(format!("x-{name}"), value).unwrap();
        }
        uri
    }
}

/// Whatever parses prints as something that parses to the same; whatever does not has a message of
/// one line.
fn check(text: &str) {
    match NbdUri::parse(text) {
        Ok(uri) => {
            let printed = uri.to_string();
            assert_eq!(NbdUri::parse(&printed).as_ref(), Ok(&uri), "{text:?} printed {printed:?}");
            if let Transport::Tcp { host, .. } = uri.transport() {
                assert_eq!(host.to_string().parse().as_ref(), Ok(host), "{text:?}");
            }
        }
        Err(error) => {
            let message = error.to_string();
            assert!(!message.contains(char::is_control), "{text:?}: {message:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn printed_values_parse_back(uri in any_uri()) {
        let printed = uri.to_string();
        prop_assert!(printed.bytes().all(|byte| byte.is_ascii_graphic()), "{}", printed);
        prop_assert_eq!(NbdUri::parse(&printed), Ok(uri));
    }

    #[test]
    fn any_text_at_all_is_survived(text in any::<String>()) {
        check(&text);
    }

    #[test]
    fn any_text_behind_a_scheme_is_survived(
        scheme in "(nbd|NBDS)(\\+unix|\\+vsock)?",
        rest in prop_oneof![any::<String>(), r"[/?#%&=+@: a\[\]0-9.]{0,30}"],
    ) {
        check(&format!("{scheme}:{rest}"));
        check(&format!("{scheme}://{rest}"));
        check(&format!("{scheme}:///{rest}?socket={rest}"));
    }

    #[test]
    fn a_changed_character_is_survived(uri in any_uri(), at in any::<prop::sample::Index>(), to in any::<char>()) {
        let mut changed: Vec<char> = uri.to_string().chars().collect();
        let at = at.index(changed.len());
        changed[at] = to;
        check(&changed.iter().collect::<String>());
    }
}

#[test]
fn a_uri_is_read_from_text_like_other_values() {
    assert_eq!("nbds://h/disk".parse(), NbdUri::parse("nbds://h/disk"));
    assert_eq!("nbd:".parse::<NbdUri>(), NbdUri::parse("nbd:"));
}

/// As a resolver takes them: without the brackets and escapes of a URI.
#[test]
fn hosts_are_shown_bare() {
    for text in ["example.com", "127.0.0.1", "::1", "fe80::1%eth0"] {
        assert_eq!(text.parse::<Host>().unwrap().to_string(), text);
    }
}

#[test]
fn kinds_of_tls_are_shown_as_they_are_written() {
    for kind in [TlsType::Anonymous, TlsType::X509, TlsType::Psk] {
        let uri = NbdUri::parse(&format!("nbds://h/?tls-type={kind}")).unwrap();
        assert_eq!(uri.tls_type(), Some(kind));
    }
}

#[test]
fn a_part_that_is_empty_or_no_text_is_named() {
    for (text, part) in [
        ("nbd://%ff@h/", "the user must be UTF-8"),
        ("nbd://h%00/", "the host has a NUL"),
        ("nbd://h/a%00", "the export name has a NUL"),
        ("nbd://h/?x-%ff=1", "the name of a parameter must be UTF-8"),
        ("nbd+unix:///?socket=", "the value of socket is empty"),
        ("nbds://h/?tls-hostname=%ff", "the value of tls-hostname must be UTF-8"),
        ("nbds://h/?tls-certificates=", "the value of tls-certificates is empty"),
        ("nbds://h/?tls-psk-file=a%00", "the value of tls-psk-file has a NUL"),
    ] {
        let message = NbdUri::parse(text).unwrap_err().to_string();
        assert!(message.starts_with(part), "{text}: {message}");
    }
}
