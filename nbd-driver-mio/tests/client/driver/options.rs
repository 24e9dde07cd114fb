//! Choices to make before a connection, and the way to it.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nbd_driver_mio::nbd_proto::handshake::{Connect, ConnectSettings, Flow, List, ListSettings, Listing};
use nbd_driver_mio::nbd_proto::observe::{Observation, Observer};
use nbd_driver_mio::nbd_proto::transmission::Checks;
use nbd_driver_mio::nbd_proto::uri::{NbdUri, TlsUse, Transport};
use nbd_driver_mio::{ClientOptions, ConnectTimeouts, Connecting, Socket};

use super::Loop;
use super::client::Client;
use super::error::Error;
use super::motor::Motor;

type Watcher = Arc<dyn Fn(&Observation<'_>) + Send + Sync>;

#[derive(Clone)]
pub(crate) struct ConnectOptions {
    timeouts: ConnectTimeouts,
    client: ClientOptions,
    settings: ConnectSettings,
    watcher: Option<Watcher>,
}

impl ConnectOptions {
    pub(crate) fn new() -> Self {
        Self {
            timeouts: ConnectTimeouts::default(),
            client: ClientOptions::default(),
            settings: ConnectSettings::new(""),
            watcher: None,
        }
    }

    pub(crate) fn connect_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.timeouts.connect = timeout;
        self
    }

    pub(crate) fn handshake_idle_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.timeouts.idle = timeout;
        self
    }

    pub(crate) fn handshake_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.timeouts.handshake = timeout;
        self
    }

    pub(crate) fn request_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.client = self.client.with_request_timeout(timeout);
        self
    }

    pub(crate) fn max_in_flight(mut self, requests: usize) -> Self {
        self.client.engine = self.client.engine.with_max_in_flight(requests);
        self
    }

    pub(crate) fn max_status_memory(mut self, bytes: usize) -> Self {
        self.client = self.client.with_max_status_memory(bytes);
        self
    }

    pub(crate) fn checks(mut self, checks: Checks) -> Self {
        self.client.engine = self.client.engine.with_checks(checks);
        self
    }

    pub(crate) fn extended_headers(mut self, ask: bool) -> Self {
        self.settings = self.settings.with_extended_headers(ask);
        self
    }

    pub(crate) fn structured_replies(mut self, ask: bool) -> Self {
        self.settings = self.settings.with_structured_replies(ask);
        self
    }

    pub(crate) fn meta_context(mut self, query: &str) -> Self {
        self.settings.meta_contexts.push(query.to_owned());
        self
    }

    pub(crate) fn list_contexts(mut self, ask: bool) -> Self {
        self.settings = self.settings.with_list_contexts(ask);
        self
    }

    pub(crate) fn observer(mut self, observer: impl Fn(&Observation<'_>) + Send + Sync + 'static) -> Self {
        self.watcher = Some(Arc::new(observer));
        self
    }

    pub(crate) fn connect(&self, uri: &str) -> Result<Client, Error> {
        let uri = NbdUri::parse(uri)?;
        let (connecting, event_loop) = self.reach(&uri, || self.connect_flow(uri.export_name()))?;
        self.start(connecting, event_loop)
    }

    pub(crate) fn connect_fd(&self, socket: impl Into<OwnedFd>, export: &str) -> Result<Client, Error> {
        let step = || "looking at the given file descriptor, which should be a socket".to_owned();
        let socket = Socket::from_fd(socket).map_err(|source| Error::Io { step: step(), source })?;
        let (connecting, event_loop) = self
            .negotiate(socket, self.connect_flow(export))
            .map_err(|error| Error::reaching("the given socket", error))?;
        self.start(connecting, event_loop)
    }

    pub(crate) fn list(&self, uri: &str) -> Result<Listing, Error> {
        let uri = NbdUri::parse(uri)?;
        let settings = ListSettings::default()
            .with_extended_headers(self.settings.extended_headers)
            .with_structured_replies(self.settings.structured_replies);
        let flow = || {
            let mut flow = List::new(settings.clone());
            flow.set_observer(self.observe());
            flow
        };
        let (connecting, _event_loop) = self.reach(&uri, flow)?;
        connecting.finish().map_err(|error| Error::reaching("listing", error))
    }

    fn connect_flow(&self, export: &str) -> Connect {
        let mut settings = self.settings.clone();
        export.clone_into(&mut settings.export);
        let mut flow = Connect::new(settings);
        flow.set_observer(self.observe());
        flow
    }

    fn observe(&self) -> Option<Box<dyn Observer>> {
        let watch = self.watcher.clone()?;
        Some(Box::new(move |step: &Observation<'_>| watch(step)))
    }

    fn start(&self, connecting: Connecting, event_loop: Loop) -> Result<Client, Error> {
        let mut client =
            connecting.into_client(self.client).map_err(|error| Error::reaching("the negotiated export", error))?;
        client.set_observer(self.observe());
        Ok(Client::new(Motor::new(event_loop, client)))
    }

    /// To the end of the handshake with whom a URI names: names of hosts are looked up, and a full Unix socket is tried
    /// again, both as the driver's documentation says.
    fn reach<F: Flow>(&self, uri: &NbdUri, flow: impl Fn() -> F) -> Result<(Connecting<F>, Loop), Error> {
        if uri.tls() == TlsUse::Required {
            return Err(Error::Unsupported("TLS (nbds) is not here yet"));
        }
        let peer = uri.to_string();
        let Transport::Tcp { host, port } = uri.transport() else {
            let socket = self.open_local(uri.transport(), &peer)?;
            return self.negotiate(socket, flow()).map_err(|error| Error::reaching(&peer, error));
        };
        let addresses = nbd_driver_std::look_up(host, *port).map_err(|error| Error::Other(error.to_string()))?;
        let mut last = None;
        for address in addresses {
            let socket = Socket::connect(address)
                .map_err(|error| nbd_driver_mio::Error::Io { step: "connecting".to_owned(), source: error });
            match socket.and_then(|socket| self.negotiate(socket, flow())) {
                Ok(reached) => return Ok(reached),
                Err(error) => {
                    let goes_on = is_about_connecting(&error);
                    last = Some(Error::reaching(&format!("{peer} at {address}"), error));
                    if !goes_on {
                        break;
                    }
                }
            }
        }
        Err(last.expect("there is at least one address"))
    }

    /// A Unix socket whose queue of connections is full tells nobody when it has room, so it is tried again.
    fn open_local(&self, transport: &Transport, peer: &str) -> Result<Socket, Error> {
        let started = Instant::now();
        loop {
            let full = match Socket::open(transport) {
                Err(nbd_driver_mio::Error::Io { source, .. }) if source.kind() == ErrorKind::WouldBlock => source,
                result => return result.map_err(|error| Error::reaching(peer, error)),
            };
            match self.timeouts.connect {
                Some(after) if started.elapsed() < after => sleep(Duration::from_millis(10)),
                Some(after) => return Err(Error::Timeout { step: format!("connecting to {peer}"), after }),
                None => return Err(Error::Io { step: format!("connecting to {peer}"), source: full }),
            }
        }
    }

    fn negotiate<F: Flow>(&self, socket: Socket, flow: F) -> Result<(Connecting<F>, Loop), nbd_driver_mio::Error> {
        let mut event_loop = Loop::new();
        let mut connecting = Connecting::with_flow(socket, flow, self.timeouts, Instant::now());
        event_loop.negotiate(&mut connecting)?;
        Ok((connecting, event_loop))
    }
}

/// Whether another address may do better.
fn is_about_connecting(error: &nbd_driver_mio::Error) -> bool {
    match error {
        nbd_driver_mio::Error::Io { step, .. } => step == "connecting",
        nbd_driver_mio::Error::Timeout { step, .. } => *step == "connecting",
        _ => false,
    }
}
