//! Ways to a server, and what is said where there is none.

use std::net::{Ipv6Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::thread;

use nbd_testkit::{Disk, Nbdkit, Script, oldstyle_greeting};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::net::sockopt::{socket_keepalive, tcp_nodelay};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::driver::{Client, ConnectOptions, Error};
use crate::peer::{ALL, Peer};
use crate::support::{MIB, must_end};

/// Greets the first client of a listener that exists, and waits until it says goodbye.
fn serve_one<S: Into<OwnedFd>>(accept: impl FnOnce() -> S + Send + 'static) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut peer = Peer(UnixStream::from(accept().into()));
        std::io::Write::write_all(&mut peer.0, &oldstyle_greeting(MIB, ALL.into())).unwrap();
        peer.serve(vec![7; 1 << 20]);
    })
}

fn works(uri: &str) {
    let client = Client::connect(uri).unwrap();
    let mut data = [0; 512];
    client.read_at(&mut data, 512).unwrap();
    assert_eq!(data, [7; 512]);
    client.shutdown().unwrap();
}

#[track_caller]
fn message(result: Result<Client, Error>) -> String {
    let message = result.expect_err("there is nothing to connect to").to_string();
    assert!(!message.contains('\n'), "{message}");
    message
}

#[test]
fn tcp_by_number_and_by_name() {
    must_end(|| {
        for host in ["127.0.0.1", "localhost"] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            let server = serve_one(move || listener.accept().unwrap().0);
            works(&format!("nbd://{host}:{port}"));
            server.join().unwrap();
        }
    });
}

#[test]
fn tcp_by_an_ipv6_number() {
    must_end(|| {
        // Not every machine has it.
        let Ok(listener) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) else { return };
        let port = listener.local_addr().unwrap().port();
        let server = serve_one(move || listener.accept().unwrap().0);
        works(&format!("nbd://[::1]:{port}"));
        server.join().unwrap();
    });
}

/// The name has one address for each version of IP on most machines; the server is at only one of them.
#[test]
fn every_address_of_a_name_is_tried() {
    must_end(|| {
        let addresses: [std::net::IpAddr; 2] = [std::net::Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        let known: Vec<_> =
            std::net::ToSocketAddrs::to_socket_addrs("localhost:1").unwrap().map(|at| at.ip()).collect();
        for address in addresses {
            if !known.contains(&address) {
                continue;
            }
            let Ok(listener) = TcpListener::bind((address, 0)) else { continue };
            let port = listener.local_addr().unwrap().port();
            let server = serve_one(move || listener.accept().unwrap().0);
            works(&format!("nbd://localhost:{port}"));
            server.join().unwrap();
        }
    });
}

#[test]
fn unix_sockets() {
    must_end(|| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("with space & ümlaut");
        let listener = UnixListener::bind(&path).unwrap();
        let server = serve_one(move || listener.accept().unwrap().0);
        let escaped: Vec<_> = path.to_str().unwrap().bytes().map(|byte| format!("%{byte:02X}")).collect();
        works(&format!("nbd+unix:///?socket={}", escaped.concat()));
        server.join().unwrap();
    });
}

#[test]
fn abstract_unix_sockets() {
    must_end(|| {
        let name = format!("nbd-driver-std-{}", std::process::id());
        let listener = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        bind(&listener, &SocketAddrUnix::new_abstract_name(name.as_bytes()).unwrap()).unwrap();
        listen(&listener, 1).unwrap();
        let listener = UnixListener::from(listener);
        let server = serve_one(move || listener.accept().unwrap().0);
        works(&format!("nbd+unix:///?socket=%00{name}"));
        server.join().unwrap();
        assert!(message(Client::connect(&format!("nbd+unix:///?socket=%00{name}"))).contains(&name));
    });
}

#[test]
fn a_given_socket_is_used_as_it_is() {
    must_end(|| {
        for nonblocking in [false, true] {
            let (client, server) = UnixStream::pair().unwrap();
            client.set_nonblocking(nonblocking).unwrap();
            // Shares its flags with the one that is given away.
            let witness = client.try_clone().unwrap();
            let server = serve_one(move || server);
            let client = ConnectOptions::new().connect_fd(client, "").unwrap();
            let mut data = vec![0; 1 << 20];
            client.read_at(&mut data, 0).unwrap();
            client.write_at(&data, 0).unwrap();
            assert_eq!(fcntl_getfl(&witness).unwrap().contains(OFlags::NONBLOCK), nonblocking);
            client.shutdown().unwrap();
            server.join().unwrap();
        }
    });
}

#[test]
fn a_given_socket_may_lead_to_a_real_server_and_a_named_export() {
    must_end(|| {
        let disk = Disk::patterned(1 << 20, 1);
        let Some(server) = Nbdkit::disk(disk.clone()).start() else { return };
        let socket = UnixStream::connect(server.socket()).unwrap();
        let client = ConnectOptions::new().connect_fd(socket, "any name").unwrap();
        assert_eq!(client.negotiated().export, "any name");
        let mut data = vec![0; 1 << 20];
        client.read_at(&mut data, 0).unwrap();
        assert!(data == disk.contents());
    });
}

#[test]
fn what_is_no_stream_socket_is_refused() {
    let (pipe, _writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let (datagram, _other) = UnixDatagram::pair().unwrap();
    let file = tempfile::tempfile().unwrap();
    for fd in [pipe, datagram.into(), file.into()] {
        let message = message(ConnectOptions::new().connect_fd(fd, ""));
        assert!(message.contains("file descriptor") && message.to_lowercase().contains("socket"), "{message}");
    }
}

#[test]
fn a_socket_that_is_not_connected_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let unconnected = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
    for fd in [OwnedFd::from(listener), unconnected] {
        let message = message(ConnectOptions::new().connect_fd(fd, ""));
        assert!(message.contains("not connected"), "{message}");
    }
}

#[test]
fn tls_is_refused_before_anything_is_sent() {
    must_end(|| {
        for uri in ["nbds://localhost:1/", "nbds+unix:///?socket=/nonexistent"] {
            let message = message(Client::connect(uri));
            assert!(message.contains("TLS") && message.contains("nbds"), "{message}");
            assert!(ConnectOptions::new().list(uri).unwrap_err().to_string().contains("TLS"));
        }
    });
}

#[test]
fn errors_say_where_they_tried() {
    let dir = tempfile::tempdir().unwrap();
    let missing = format!("{}/missing", dir.path().display());
    let text = message(Client::connect(&format!("nbd+unix:///?socket={missing}")));
    assert!(text.contains(&missing) && text.contains("No such file"), "{text}");

    let long = format!("/{}", "x".repeat(200));
    let text = message(Client::connect(&format!("nbd+unix:///?socket={long}")));
    assert!(text.contains("connecting to the Unix socket"), "{text}");

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let text = message(Client::connect(&format!("nbd://{address}")));
    assert!(text.contains(&address.port().to_string()) && text.contains("refused"), "{text}");

    let text = message(Client::connect("nbd://no-such-host.invalid"));
    assert!(text.contains("looking up no-such-host.invalid"), "{text}");
    let text = message(Client::connect("nbd+vsock://2/"));
    assert!(text.contains("vsock"), "{text}");
    assert!(matches!(Client::connect("http://localhost/"), Err(Error::Uri(_))));
}

#[test]
fn what_is_no_nbd_server_is_named() {
    must_end(|| {
        let peer = Script::new().send(*b"HTTP/1.1 400 Bad Request\r\n\r\n").hold().listen();
        let text = message(Client::connect(&peer.uri()));
        assert!(text.contains("NBD"), "{text}");
        peer.join().unwrap();
        let peer = Script::new().close().listen();
        let text = message(Client::connect(&peer.uri()));
        assert!(text.contains("closed the connection"), "{text}");
        peer.join().unwrap();
    });
}

#[test]
fn tcp_sockets_are_made_prompt_and_watched() {
    must_end(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let witness = client.try_clone().unwrap();
        let server = serve_one(move || listener.accept().unwrap().0);
        let set = |fd: &dyn AsFd| (tcp_nodelay(fd.as_fd()).unwrap(), socket_keepalive(fd.as_fd()).unwrap());
        assert_eq!(set(&witness), (false, false));
        let client = ConnectOptions::new().connect_fd(client, "").unwrap();
        assert_eq!(set(&witness), (true, true));
        client.shutdown().unwrap();
        server.join().unwrap();
    });
}

#[test]
fn descriptors_do_not_leak_into_programs_that_are_started() {
    must_end(|| {
        let peer = Script::new().send(oldstyle_greeting(MIB, ALL.into())).hold().listen();
        let before = open_descriptors_of_a_child();
        let client = Client::connect(&peer.uri()).unwrap();
        assert_eq!(open_descriptors_of_a_child(), before);
        drop(client);
        peer.join().unwrap();
    });
}

fn open_descriptors_of_a_child() -> usize {
    let output = std::process::Command::new("ls").arg("/proc/self/fd").output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().count()
}
