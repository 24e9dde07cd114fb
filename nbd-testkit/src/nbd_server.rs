//! `nbd-server`, the reference server.
//!
//! It knows no socket activation and stays in the foreground only for a single client (or under
//! `inetd`, where it computes for up to seconds before each greeting). So it runs as a daemon.

use std::fmt::Write as _;
use std::fs;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use crate::disk::Disk;
use crate::guard::Guard;
use crate::listener::{Address, Transport};
use crate::server::Server;
use crate::tool::{Tool, require};

/// Describes an `nbd-server` to start.
#[derive(Debug, Clone, Default)]
pub struct NbdServer {
    transport: Transport,
    generic: String,
    exports: Vec<Export>,
}

#[derive(Debug, Clone)]
struct Export {
    name: String,
    disk: Disk,
    settings: String,
}

impl NbdServer {
    /// One without exports, that allows clients to list them.
    pub fn new() -> Self {
        Self { generic: "allowlist = true\n".to_owned(), ..Self::default() }
    }

    /// Adds an export that can be flushed, FUA-written and trimmed. The first one is in the URI.
    /// There is no default export.
    #[must_use]
    pub fn export(mut self, name: &str, disk: Disk) -> Self {
        let settings = "flush = true\nfua = true\ntrim = true\n".to_owned();
        self.exports.push(Export { name: name.to_owned(), disk, settings });
        self
    }

    /// Allows no writes to the export added last.
    #[must_use]
    pub fn readonly(self) -> Self {
        self.set("readonly", "true")
    }

    /// Sets a key of the export added last, or of the server if there is none yet.
    #[must_use]
    pub fn set(mut self, key: &str, value: &str) -> Self {
        let settings = match self.exports.last_mut() {
            Some(export) => &mut export.settings,
            None => &mut self.generic,
        };
        writeln!(settings, "{key} = {value}").expect("a String takes everything");
        self
    }

    /// Listens on a free TCP port, not on a Unix socket.
    #[must_use]
    pub fn tcp(mut self) -> Self {
        self.transport = Transport::Tcp;
        self
    }

    /// Starts it, or says that it is not installed.
    pub fn start(self) -> Option<Server> {
        if !require(&[Tool::NbdServer]) {
            return None;
        }
        let program = Tool::NbdServer.path().expect("the program was there a moment ago");
        let guard = Guard::with_daemon(&program);
        let (address, listen) = match self.transport {
            Transport::Unix => {
                let path = guard.dir().join("socket");
                let listen = format!("unixsock = {}", path.display());
                (Address::Unix(path), listen)
            }
            Transport::Tcp => {
                let address = private_tcp_address();
                let listen = format!("listenaddr = {}\nport = {}", address.ip(), address.port());
                (Address::Tcp(address), listen)
            }
        };
        let mut config = format!("[generic]\n{listen}\n{}", self.generic);
        let mut first = None;
        for (index, Export { name, disk, settings }) in self.exports.iter().enumerate() {
            let path = disk.raw(&guard.dir().join(format!("disk{index}.raw")));
            write!(config, "[{name}]\nexportname = {}\n{settings}", path.display()).expect("a String takes everything");
            first = first.or(Some(path));
        }
        fs::write(guard.dir().join("config"), config).expect("write the configuration");
        let export = self.exports.first().map(|export| export.name.clone()).unwrap_or_default();
        Some(Server::daemon(Tool::NbdServer, address, export, guard, first))
    }
}

/// A free port on a loopback address of our own. The server has to bind it by its number: on an
/// address that nobody else uses, nobody else takes it in between.
fn private_tcp_address() -> SocketAddr {
    let [a, b, c, ..] = RandomState::new().build_hasher().finish().to_ne_bytes();
    // Not the network's own address, nor the one for broadcasts.
    let address = Ipv4Addr::new(127, a, b, c.clamp(1, 254));
    let listener = TcpListener::bind((address, 0)).expect("listen on a loopback address");
    listener.local_addr().expect("the listener's port")
}
