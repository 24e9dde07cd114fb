//! What is set on a socket before the kernel gets it.

use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::net::sockopt::{self, Timeout};

use crate::connection::Connection;
use crate::recorded::negotiated;

/// A connection on the given socket, whose other end lives.
fn tcp(address: &str) -> Option<(TcpStream, TcpStream)> {
    // A machine may be without one of the families.
    let listener = TcpListener::bind(address).ok()?;
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    Some((ours, listener.accept().unwrap().0))
}

#[test]
fn tcp_sockets_send_at_once_and_notice_a_peer_that_has_vanished() {
    assert!(tcp("127.0.0.1:0").is_some());
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let Some((ours, _server)) = tcp(address) else { continue };
        let ours = Connection::new(negotiated(), ours, &[]).unwrap();
        assert!(sockopt::tcp_nodelay(&ours).unwrap());
        assert!(sockopt::socket_keepalive(&ours).unwrap());
        assert_eq!(sockopt::tcp_keepidle(&ours).unwrap(), Duration::from_secs(60));
        assert_eq!(sockopt::tcp_keepintvl(&ours).unwrap(), Duration::from_secs(10));
        assert_eq!(sockopt::tcp_keepcnt(&ours).unwrap(), 6);
        assert_eq!(sockopt::tcp_user_timeout(&ours).unwrap(), 120_000);
    }
}

#[test]
fn times_that_would_end_an_idle_connection_are_cleared() {
    let set = Some(Duration::from_secs(1));
    let (unix, _server) = UnixStream::pair().unwrap();
    unix.set_read_timeout(set).unwrap();
    unix.set_write_timeout(set).unwrap();
    let (tcp, _other) = tcp("127.0.0.1:0").unwrap();
    tcp.set_read_timeout(set).unwrap();
    tcp.set_write_timeout(set).unwrap();
    for ours in [Connection::new(negotiated(), unix, &[]).unwrap(), Connection::new(negotiated(), tcp, &[]).unwrap()] {
        assert_eq!(sockopt::socket_timeout(&ours, Timeout::Recv).unwrap(), None);
        assert_eq!(sockopt::socket_timeout(&ours, Timeout::Send).unwrap(), None);
    }
}

#[test]
fn sockets_that_do_not_block_are_taken_as_they_are() {
    let (unix, _server) = UnixStream::pair().unwrap();
    unix.set_nonblocking(true).unwrap();
    let (tcp, _other) = tcp("127.0.0.1:0").unwrap();
    tcp.set_nonblocking(true).unwrap();
    Connection::new(negotiated(), unix, &[]).unwrap();
    Connection::new(negotiated(), tcp, &[]).unwrap();
}
