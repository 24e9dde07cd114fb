//! Stands between a client and a server, and notes what they say.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use rustix::net::{Shutdown, shutdown};
use tempfile::TempDir;

use crate::hang::must_end;
use crate::listener::{Address, Listener, Transport, wait_readable};
use crate::recording::{Recording, Speaker};
use crate::server::Server;

/// Listens, forwards each connection to a server, and notes who said what in which order.
///
/// The order is that of cause and effect: what somebody said is noted before the other one gets it.
///
/// ```
/// use nbd_testkit::{Recorder, Script, Speaker};
/// use std::io::Read as _;
/// use std::os::unix::net::UnixStream;
///
/// let server = Script::new().send(*b"hello").wait_eof().listen();
/// let recorder = Recorder::before_unix(server.socket());
/// let mut client = UnixStream::connect(recorder.socket()).unwrap();
/// client.read_exact(&mut [0; 5]).unwrap();
/// drop(client);
/// assert_eq!(recorder.finish()[0].said(Speaker::Server), b"hello");
/// ```
#[derive(Debug)]
pub struct Recorder {
    address: Address,
    /// Its end is the recorder's.
    alive: UnixStream,
    connections: JoinHandle<Vec<Connection>>,
    _directory: TempDir,
}

impl Recorder {
    /// One in front of this server, with a socket of the same kind.
    pub fn before(server: &Server) -> Self {
        Self::start(server.address().clone())
    }

    /// One in front of a server on this Unix socket, with a Unix socket.
    pub fn before_unix(socket: &Path) -> Self {
        Self::start(Address::Unix(socket.to_owned()))
    }

    /// One in front of a server at this address, with a TCP socket.
    pub fn before_tcp(address: SocketAddr) -> Self {
        Self::start(Address::Tcp(address))
    }

    fn start(server: Address) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let transport = match server {
            Address::Unix(_) => Transport::Unix,
            Address::Tcp(_) => Transport::Tcp,
        };
        let listener = Listener::bind(transport, directory.path());
        let address = listener.address.clone();
        let (alive, over) = UnixStream::pair().expect("a socket pair");
        let connections = thread::spawn(move || {
            let mut connections = Vec::new();
            // A client that has connected and left is taken before the end.
            while wait_readable(&[listener.as_fd(), over.as_fd()], None) == Some(0) {
                connections.push(Connection::start(listener.accept().expect("accept a client"), &server));
            }
            connections
        });
        Self { address, alive, connections, _directory: directory }
    }

    /// The URI of the default export.
    pub fn uri(&self) -> String {
        self.uri_of("")
    }

    /// The URI of an export of this name.
    pub fn uri_of(&self, export: &str) -> String {
        self.address.uri(export)
    }

    /// The Unix socket.
    ///
    /// # Panics
    /// If it is a TCP socket.
    pub fn socket(&self) -> &Path {
        match &self.address {
            Address::Unix(path) => path,
            Address::Tcp(address) => panic!("the recorder listens on {address}"),
        }
    }

    /// Takes no more clients, waits until all have left, and returns what was said on each connection.
    pub fn finish(self) -> Vec<Recording> {
        drop(self.alive);
        must_end(move || {
            let connections = self.connections.join().expect("the recorder's thread does not panic");
            connections.into_iter().map(Connection::finish).collect()
        })
    }
}

#[derive(Debug)]
struct Connection {
    recording: Arc<Mutex<Recording>>,
    directions: [JoinHandle<()>; 2],
}

impl Connection {
    fn start(client: OwnedFd, server: &Address) -> Self {
        let server: OwnedFd = match server {
            Address::Unix(path) => UnixStream::connect(path).expect("connect to the server").into(),
            Address::Tcp(address) => TcpStream::connect(address).expect("connect to the server").into(),
        };
        let recording = Arc::new(Mutex::new(Recording::default()));
        let (client, server) = (File::from(client), File::from(server));
        let copies = [&client, &server].map(|socket| socket.try_clone().expect("duplicate a file descriptor"));
        let [to_client, to_server] = copies;
        let directions = [(Speaker::Client, client, to_server), (Speaker::Server, server, to_client)];
        let start = |(speaker, from, to)| {
            let recording = Arc::clone(&recording);
            // A peer that leaves with a reset has left all the same.
            thread::spawn(move || forward(speaker, from, to, &recording).unwrap_or(()))
        };
        let directions = directions.map(start);
        Self { recording, directions }
    }

    fn finish(self) -> Recording {
        for direction in self.directions {
            direction.join().expect("a direction's thread does not panic");
        }
        std::mem::take(&mut *self.recording.lock().expect("nobody panics with the lock"))
    }
}

/// Forwards what one of them says, and that it has ended.
fn forward(speaker: Speaker, mut from: File, mut to: File, recording: &Mutex<Recording>) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    let ended = loop {
        match from.read(&mut buffer) {
            Ok(0) => break Ok(()),
            Ok(count) => {
                recording.lock().expect("nobody panics with the lock").note(speaker, &buffer[..count]);
                if let Err(error) = to.write_all(&buffer[..count]) {
                    break Err(error);
                }
            }
            Err(error) => break Err(error),
        }
    };
    shutdown(&to, Shutdown::Write).ok();
    ended
}
