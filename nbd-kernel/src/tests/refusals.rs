//! What is refused before the kernel hears of it.

use std::io::Write as _;
use std::net::Shutdown;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixStream};

use nbd_driver_std::ConnectOptions;
use nbd_driver_std::backend::{Backend, Failure, Features};
use nbd_driver_std::server::{Export, Listener, Server, ServerOptions};
use nbd_proto::handshake::{MetaContext, Negotiated, ReplyStyle};
use nbd_proto::uri::NbdUri;
use nbd_proto::wire::flags::BASE_ALLOCATION;
use nbd_proto::wire::number::ContextId;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket, socketpair};

use crate::connection::{Connection, NotForKernel};
use crate::recorded::negotiated;

fn refused(negotiated: Negotiated, socket: impl Into<OwnedFd>, unread: &[u8]) -> NotForKernel {
    Connection::new(negotiated, socket, unread).unwrap_err()
}

fn stream() -> (UnixStream, UnixStream) {
    UnixStream::pair().unwrap()
}

// K5
#[test]
fn other_replies_than_simple_ones() {
    for style in [ReplyStyle::Structured, ReplyStyle::Extended] {
        let mut agreed = negotiated();
        agreed.reply_style = style;
        let error = refused(agreed, stream().0, &[]);
        assert!(matches!(error, NotForKernel::ReplyStyle(found) if found == style), "{error}");
        assert!(error.to_string().contains(&format!("{style} replies were negotiated")), "{error}");
    }
}

// K5
#[test]
fn metadata_contexts() {
    let mut agreed = negotiated();
    agreed.contexts = vec![MetaContext { id: ContextId(1), name: BASE_ALLOCATION.to_owned() }];
    assert!(matches!(refused(agreed, stream().0, &[]), NotForKernel::Contexts(1)));
}

#[test]
fn tls() {
    let mut agreed = negotiated();
    agreed.tls = true;
    assert!(matches!(refused(agreed, stream().0, &[]), NotForKernel::Tls));
}

#[test]
fn bytes_behind_the_handshake_whether_in_a_buffer_or_in_the_socket() {
    let (ours, mut server) = stream();
    assert!(matches!(refused(negotiated(), ours.try_clone().unwrap(), &[0; 3]), NotForKernel::Unread(3)));
    server.write_all(&[1]).unwrap();
    assert!(matches!(refused(negotiated(), ours, &[]), NotForKernel::Unread(1)));
}

#[test]
fn sockets_of_other_kinds() {
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.connect(udp.local_addr().unwrap()).unwrap();
    let seqpacket = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap().0;
    let netlink = socket(AddressFamily::NETLINK, SocketType::DGRAM, None).unwrap();
    let kinds: [(OwnedFd, &str); 4] = [
        (udp.into(), "a datagram socket"),
        (UnixDatagram::pair().unwrap().0.into(), "a datagram socket"),
        (seqpacket, "a seqpacket socket"),
        (netlink, "a datagram socket"),
    ];
    for (socket, expected) in kinds {
        let error = refused(negotiated(), socket, &[]);
        assert!(matches!(error, NotForKernel::SocketKind(kind) if kind == expected), "{error}");
    }
    // A kernel without such sockets has nothing that could be refused.
    if let Ok(vsock) = socket(AddressFamily::VSOCK, SocketType::STREAM, None) {
        let error = refused(negotiated(), vsock, &[]);
        assert!(matches!(error, NotForKernel::SocketKind("neither TCP nor Unix")), "{error}");
    }
}

#[test]
fn what_is_no_socket() {
    let error = refused(negotiated(), std::fs::File::open("/dev/null").unwrap(), &[]);
    let NotForKernel::Socket { source, .. } = error else { panic!("{error}") };
    assert_eq!(source.raw_os_error(), Some(rustix::io::Errno::NOTSOCK.raw_os_error()));
}

#[test]
fn sockets_that_are_not_connected() {
    let tcp = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let unix = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
    for socket in [tcp, listener.into(), unix] {
        let error = refused(negotiated(), socket, &[]);
        assert!(matches!(error, NotForKernel::NotConnected), "{error}");
    }
}

#[test]
fn sockets_whose_server_has_gone_in_whole_or_in_half() {
    let (ours, server) = stream();
    drop(server);
    assert!(matches!(refused(negotiated(), ours, &[]), NotForKernel::NotConnected));
    let (ours, server) = stream();
    server.shutdown(Shutdown::Write).unwrap();
    assert!(matches!(refused(negotiated(), ours, &[]), NotForKernel::NotConnected));

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    server.shutdown(Shutdown::Write).unwrap();
    // The end has arrived when it can be read.
    assert_eq!(ours.peek(&mut [0]).unwrap(), 0);
    assert!(matches!(refused(negotiated(), ours, &[]), NotForKernel::NotConnected));
}

struct Zeroes;

impl Backend for Zeroes {
    fn size(&self) -> u64 {
        1 << 20
    }

    fn features(&self) -> Features {
        Features::empty()
    }

    fn read(&self, buffer: &mut [u8], _: u64) -> Result<(), Failure> {
        buffer.fill(0);
        Ok(())
    }

    fn write(&self, _: &[u8], _: u64, _: bool) -> Result<(), Failure> {
        Ok(())
    }
}

// K5
#[test]
fn nothing_of_a_server_that_could_do_more_for_it_is_not_asked() {
    let listener = Listener::tcp("127.0.0.1:0").unwrap();
    let uri = NbdUri::parse(&listener.uri("").unwrap()).unwrap();
    let server = Server::new(ServerOptions::new()).export(Export::shared("", std::sync::Arc::new(Zeroes)));
    let running = server.start([listener]).unwrap();
    let eager = ConnectOptions::new().structured_replies(true).extended_headers(true);
    // It would have been given.
    assert_eq!(eager.negotiate_uri(&uri).unwrap().negotiated.reply_style, ReplyStyle::Extended);
    let connection = Connection::open(&uri, &eager).unwrap();
    assert_eq!(connection.export().size, 1 << 20);
    running.stop();
}
