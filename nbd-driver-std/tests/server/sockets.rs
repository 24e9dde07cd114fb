//! Sockets to listen on: whose file they may take, what their address is, and what they leave behind.

use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};

use crate::disk::TestDisk;
use crate::driver::{Client, ConnectOptions, Export, Listener, Server, ServerOptions};
use crate::support::{KIB, message, must_end, serve};

fn server() -> Server {
    Server::new(ServerOptions::new()).export(Export::shared("disk", TestDisk::empty(KIB).share()))
}

#[test]
fn a_live_socket_is_not_taken() {
    must_end(|| {
        let first = serve(TestDisk::empty(KIB).share());
        let text = message(Listener::unix(first.socket()));
        assert!(text.contains("a server is at work there"), "{text}");
        first.connect().shutdown().unwrap();
        first.end();
    });
}

#[test]
fn a_file_that_is_no_socket_is_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    std::fs::write(&path, "precious").unwrap();
    let text = message(Listener::unix(&path));
    assert!(text.contains("no socket"), "{text}");
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
}

#[test]
fn a_socket_that_nobody_listens_on_is_replaced() {
    must_end(|| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let listener = Listener::unix(&path).unwrap();
        let uri = listener.uri("disk").unwrap();
        let running = server().start([listener]).unwrap();
        Client::connect(&uri).unwrap().shutdown().unwrap();
        drop(running);
        assert!(!path.exists());
    });
}

#[test]
fn a_file_that_took_its_place_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let listener = Listener::unix(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let newer = UnixListener::bind(&path).unwrap();
    drop(listener);
    assert!(path.exists());
    drop(newer);
}

#[test]
fn paths_that_no_socket_can_have_are_told() {
    let text = message(Listener::unix(format!("/tmp/{}", "x".repeat(103))));
    assert!(text.contains("108 bytes, and the system takes 1 to 107"), "{text}");
    let text = message(Listener::unix(""));
    assert!(text.contains("0 bytes"), "{text}");
    let text = message(Listener::unix("/nonexistent/socket"));
    assert!(text.contains("/nonexistent/socket"), "{text}");
    let text = message(Listener::unix_abstract(""));
    assert!(text.contains("empty"), "{text}");
}

#[test]
fn addresses_are_told_as_uris() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a socket");
    let listener = Listener::unix(&path).unwrap();
    let shown = path.to_str().unwrap().replace(' ', "%20");
    assert_eq!(listener.uri("a/ü").unwrap(), format!("nbd+unix:///a/%C3%BC?socket={shown}"));
    assert_eq!((listener.unix_path(), listener.port()), (Some(&*path), None));
    listener.uri("\0").unwrap_err();
    for (address, host) in [("127.0.0.1:0", "127.0.0.1"), ("0.0.0.0:0", "127.0.0.1"), ("[::]:0", "[::1]")] {
        let listener = Listener::tcp(address).unwrap();
        let port = listener.port().unwrap();
        assert_eq!(listener.uri("").unwrap(), format!("nbd://{host}:{port}/"));
        assert_eq!(listener.unix_path(), None);
    }
}

#[test]
fn several_sockets_are_served_by_one_server() {
    must_end(|| {
        let dir = tempfile::tempdir().unwrap();
        let listeners = [
            Listener::tcp("0.0.0.0:0").unwrap(),
            Listener::unix(dir.path().join("socket")).unwrap(),
            Listener::unix_abstract(format!("nbd-test-{}-several", std::process::id())).unwrap(),
        ];
        let uris = listeners.each_ref().map(|listener| listener.uri("disk").unwrap());
        let running = server().start(listeners).unwrap();
        let clients = uris.map(|uri| Client::connect(&uri).unwrap());
        for client in clients {
            client.shutdown().unwrap();
        }
        running.stop();
        assert_eq!(running.wait().unwrap().connections, 3);
    });
}

#[test]
fn a_given_socket_is_served_and_its_file_left() {
    must_end(|| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let listener = Listener::from_fd(UnixListener::bind(&path).unwrap().into()).unwrap();
        assert_eq!(listener.unix_path(), Some(&*path));
        let uri = listener.uri("disk").unwrap();
        let running = server().start([listener]).unwrap();
        Client::connect(&uri).unwrap().shutdown().unwrap();
        drop(running);
        assert!(path.exists());
    });
}

#[test]
fn what_does_not_listen_is_not_taken() {
    let (one, _other) = UnixStream::pair().unwrap();
    let text = message(Listener::from_fd(one.into()));
    assert!(text.contains("not a stream socket that listens"), "{text}");
    let file: OwnedFd = tempfile::tempfile().unwrap().into();
    Listener::from_fd(file).unwrap_err();
}

#[test]
fn one_connected_socket_is_served_in_the_callers_thread() {
    must_end(|| {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let thread = std::thread::spawn(move || {
            let client = ConnectOptions::new().connect_fd(theirs, "disk").unwrap();
            client.write_at(&[7; 10], 5).unwrap();
            client.shutdown().unwrap();
        });
        server().serve_fd(ours).unwrap();
        thread.join().unwrap();
        // What goes wrong is told.
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        std::io::Write::write_all(&mut theirs, &[0xff; 100]).unwrap();
        server().serve_fd(ours).unwrap_err();
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        server().serve_fd(ours).unwrap();
    });
}
