//! Addresses of hosts, without a connection.

use std::io::ErrorKind;
use std::net::{SocketAddr, ToSocketAddrs as _};

use nbd_driver_std::nbd_proto::uri::{Host, NbdUri, Transport};
use nbd_driver_std::{Error, look_up};

fn addresses(uri: &str) -> Result<Vec<SocketAddr>, Error> {
    match uri.parse::<NbdUri>().unwrap().transport() {
        Transport::Tcp { host, port } => look_up(host, *port),
        other => panic!("{other:?}"),
    }
}

#[test]
fn numbers_are_their_own_addresses() {
    for (uri, expected) in [
        ("nbd://127.0.0.1:1234", "127.0.0.1:1234"),
        ("nbd://192.0.2.7/disk", "192.0.2.7:10809"),
        ("nbds://[2001:db8::1]:5", "[2001:db8::1]:5"),
    ] {
        assert_eq!(addresses(uri).unwrap(), [expected.parse::<SocketAddr>().unwrap()]);
    }
}

/// A link-local address is none without its interface.
#[test]
fn a_zone_becomes_the_number_of_the_interface() {
    let index = std::fs::read_to_string("/sys/class/net/lo/ifindex").unwrap();
    let found = addresses("nbd://[fe80::1%25lo]:5").unwrap();
    let expected = std::net::SocketAddrV6::new("fe80::1".parse().unwrap(), 5, 0, index.trim().parse().unwrap());
    assert_eq!(found, [SocketAddr::V6(expected)]);
}

#[test]
fn a_name_has_all_its_addresses_in_the_systems_order() {
    let expected: Vec<_> = "localhost:7".to_socket_addrs().unwrap().collect();
    assert!(expected.iter().all(|address| address.ip().is_loopback() && address.port() == 7), "{expected:?}");
    assert_eq!(addresses("nbd://localhost:7").unwrap(), expected);
    assert!(!expected.is_empty());
}

#[test]
fn a_name_that_nobody_knows_is_an_error_that_names_it() {
    let error = addresses("nbd://no-such-host.invalid").unwrap_err();
    assert!(error.to_string().starts_with("looking up no-such-host.invalid: "), "{error}");
    assert!(matches!(error, Error::Io { .. }), "{error:?}");
}

/// Whoever makes a host by hand may make one that is no name at all.
#[test]
fn what_can_be_no_name_is_an_error_too() {
    let error = look_up(&Host::Name("a\0b".into()), 1).unwrap_err();
    assert!(matches!(&error, Error::Io { source, .. } if source.kind() == ErrorKind::InvalidInput), "{error:?}");
}
