//! Choices to make before a connection.

use std::os::fd::OwnedFd;
use std::time::Duration;

use nbd_proto::handshake::{Connect, ConnectSettings, List, ListSettings, Listing, Negotiated};
use nbd_proto::limits::{DEFAULT_STATUS_MEMORY, HandshakeLimits};
use nbd_proto::observe::Observation;
use nbd_proto::transmission::{Checks, ClientSettings};
use nbd_proto::uri::{NbdUri, TlsUse};

use crate::address;
use crate::client::Client;
use crate::connected::Connected;
use crate::error::Error;
use crate::handshake::{self, Patience};
use crate::reconnect::Reconnect;
use crate::stream::Stream;
use crate::trace::{self, Watcher};

/// What happens to a request that is longer than the server takes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Oversize {
    /// It is sent in pieces, one after the other. If one fails, those before it have been done.
    #[default]
    Split,
    /// It is refused.
    Refuse,
}

/// What happens to a request that is not aligned to the server's minimum block size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Unaligned {
    /// It is refused.
    #[default]
    Refuse,
    /// It is made to fit: reads and `cache` reach further, `trim` reaches less far, and writes and `write_zeroes`
    /// read the blocks at their ends, change them and write them back. Such a write is not atomic: what
    /// others write to the same block meanwhile, over this connection or another, may be lost. Two unaligned
    /// writes through one [`Client`] do not do that to each other. Where the server asks for blocks above 32 MiB,
    /// nothing is padded: the memory for one would be the server's to choose.
    Pad,
}

/// How to connect. Every setting has a default that suits most.
///
/// ```no_run
/// use std::time::Duration;
/// use nbd_driver_std::ConnectOptions;
///
/// let client = ConnectOptions::new()
///     .meta_context("base:allocation")
///     .request_timeout(Some(Duration::from_secs(60)))
///     .connect("nbd+unix:///?socket=/run/nbd.sock")?;
/// # Ok::<(), nbd_driver_std::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    connect_timeout: Option<Duration>,
    pub(crate) patience: Patience,
    pub(crate) request_timeout: Option<Duration>,
    pub(crate) oversize: Oversize,
    pub(crate) unaligned: Unaligned,
    pub(crate) engine: ClientSettings,
    pub(crate) max_status_memory: usize,
    extended_headers: bool,
    structured_replies: bool,
    meta_contexts: Vec<String>,
    list_contexts: bool,
    limits: HandshakeLimits,
    reconnect: Option<Reconnect>,
    pub(crate) watcher: Option<Watcher>,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Some(Duration::from_secs(10)),
            patience: Patience { idle: Some(Duration::from_secs(5)), total: Some(Duration::from_secs(30)) },
            request_timeout: None,
            oversize: Oversize::default(),
            unaligned: Unaligned::default(),
            engine: ClientSettings::default(),
            max_status_memory: DEFAULT_STATUS_MEMORY,
            extended_headers: true,
            structured_replies: true,
            meta_contexts: Vec::new(),
            list_contexts: false,
            limits: HandshakeLimits::default(),
            reconnect: None,
            watcher: None,
        }
    }
}

impl ConnectOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long each address of the server may take to accept. Default 10 seconds. Looking up a name is the
    /// system's affair and not bounded by this.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long the handshake may go without a byte from the server. Default 5 seconds.
    #[must_use]
    pub fn handshake_idle_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.patience.idle = timeout;
        self
    }

    /// How long the whole handshake may take. Default 30 seconds.
    #[must_use]
    pub fn handshake_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.patience.total = timeout;
        self
    }

    /// How long a request may take from being handed in to its last reply. Default: for ever. The protocol
    /// cannot take a request back, so the connection is given up when one takes longer. Of a request in a
    /// [`Queue`](crate::Queue), only the time counts that its owner spends in [`wait`](crate::Queue::wait).
    #[must_use]
    pub fn request_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// What happens to requests longer than the server takes. Default: they are split.
    #[must_use]
    pub fn oversize(mut self, oversize: Oversize) -> Self {
        self.oversize = oversize;
        self
    }

    /// What happens to requests not aligned to the server's minimum block size. Default: they are refused.
    #[must_use]
    pub fn unaligned(mut self, unaligned: Unaligned) -> Self {
        self.unaligned = unaligned;
        self
    }

    /// How many requests may be in flight. From 1 to 65,536; default 128.
    #[must_use]
    pub fn max_in_flight(mut self, requests: usize) -> Self {
        self.engine = self.engine.with_max_in_flight(requests);
        self
    }

    /// How many bytes of memory the answers to block status may take together that are coming in, or that nobody has
    /// taken from a [`Queue`](crate::Queue). A request whose answer has no room ends with
    /// [`StatusTooLarge`](nbd_proto::error::CommandError::StatusTooLarge), and the connection goes on. Default
    /// [`DEFAULT_STATUS_MEMORY`]. A client that [reconnects](Self::reconnect) may take as much twice: for what comes in,
    /// and for what nobody has taken.
    #[must_use]
    pub fn max_status_memory(mut self, bytes: usize) -> Self {
        self.max_status_memory = bytes;
        self
    }

    /// Which rules our own requests are held against. Default: all.
    #[must_use]
    pub fn checks(mut self, checks: Checks) -> Self {
        self.engine = self.engine.with_checks(checks);
        self
    }

    /// Whether extended headers are asked for. Default: yes.
    #[must_use]
    pub fn extended_headers(mut self, ask: bool) -> Self {
        self.extended_headers = ask;
        self
    }

    /// Whether structured replies are asked for, where extended headers are not had. Default: yes.
    #[must_use]
    pub fn structured_replies(mut self, ask: bool) -> Self {
        self.structured_replies = ask;
        self
    }

    /// Adds a query for a metadata context to select, for example `base:allocation`. May be called again.
    /// A server without it is no error: see [`Client::negotiated`] for what was selected.
    #[must_use]
    pub fn meta_context(mut self, query: impl Into<String>) -> Self {
        self.meta_contexts.push(query.into());
        self
    }

    /// Whether to ask which metadata contexts there are. Default: no.
    #[must_use]
    pub fn list_contexts(mut self, ask: bool) -> Self {
        self.list_contexts = ask;
        self
    }

    /// Bounds on what the server may send in the handshake.
    #[must_use]
    pub fn limits(mut self, limits: HandshakeLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Has the client go on when its connection is lost: it connects anew, checks that the export is the same, and
    /// sends again what was in flight and what was not flushed yet ([`nbd_proto::resume`] tells in which order, and
    /// what holds). Default: no, and the loss is an error.
    ///
    /// What ends the client all the same: a server that breaks the protocol, an export that is not the same, one that is
    /// not there, and a server that does not come back in the time that the policy gives it. A time-out of a request is
    /// a loss: it is sent again. Unless the caller flushes, what the server still had in its memory is sent again only
    /// if the loss is noticed, which needs a further request or [`shutdown`](Client::shutdown).
    ///
    /// Only for clients that have an address to connect to: not for [`connect_fd`](Self::connect_fd), nor for
    /// [`negotiate`](Self::negotiate), whose connection is the caller's.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use nbd_driver_std::{ConnectOptions, Reconnect};
    ///
    /// let policy = Reconnect::new().total_time(Some(Duration::from_secs(300)));
    /// let client = ConnectOptions::new().reconnect(Some(policy)).connect("nbd://localhost/disk")?;
    /// # Ok::<(), nbd_driver_std::Error>(())
    /// ```
    #[must_use]
    pub fn reconnect(mut self, policy: Option<Reconnect>) -> Self {
        self.reconnect = policy;
        self
    }

    /// Sees each step that the protocol takes: messages of the handshake, then requests, reply headers and ends of
    /// commands. For tools that explain a connection; default: none, which costs nothing. It is called by whichever
    /// thread moves bytes, while the connection waits for it: it must be quick, and must not use the client.
    ///
    /// ```no_run
    /// use nbd_driver_std::ConnectOptions;
    ///
    /// let client = ConnectOptions::new().observer(|step| println!("{step:?}")).connect("nbd://localhost")?;
    /// # Ok::<(), nbd_driver_std::Error>(())
    /// ```
    #[must_use]
    pub fn observer(mut self, observer: impl Fn(&Observation<'_>) + Send + Sync + 'static) -> Self {
        self.watcher = Some(Watcher::new(observer));
        self
    }

    /// Connects to the export that an NBD URI names.
    pub fn connect(&self, uri: &str) -> Result<Client, Error> {
        self.connect_uri(&NbdUri::parse(uri)?)
    }

    /// Connects to the export that a parsed NBD URI names.
    pub fn connect_uri(&self, uri: &NbdUri) -> Result<Client, Error> {
        let client = self.connect_once(uri)?;
        Ok(match &self.reconnect {
            None => client,
            Some(policy) => client.survive(policy.clone(), self, uri),
        })
    }

    pub(crate) fn connect_once(&self, uri: &NbdUri) -> Result<Client, Error> {
        let stream = self.open(uri)?;
        self.handshake(stream, uri.export_name(), &uri.to_string())
    }

    /// The same options, where nothing before a request may take longer than `time`.
    pub(crate) fn within(mut self, time: Option<Duration>) -> Self {
        let shorter = |own: Option<Duration>| own.into_iter().chain(time).min();
        self.connect_timeout = shorter(self.connect_timeout);
        self.patience.idle = shorter(self.patience.idle);
        self.patience.total = shorter(self.patience.total);
        self
    }

    /// Connects over a stream socket that is connected already: TCP, Unix, or any other of that kind. The socket
    /// may be blocking or not; it is not changed, but shut down when the connection is over.
    pub fn connect_fd(&self, socket: impl Into<OwnedFd>, export: &str) -> Result<Client, Error> {
        if self.reconnect.is_some() {
            return Err(Error::Unsupported("a socket that was given cannot be connected anew: connect to an address"));
        }
        self.handshake(Stream::given(socket.into())?, export, "the given socket")
    }

    /// Connects to the export that an NBD URI names, and leaves it at the handshake: for those who drive the
    /// transmission phase themselves. Settings that concern requests mean nothing here.
    pub fn negotiate(&self, uri: &str) -> Result<Connected, Error> {
        self.negotiate_uri(&NbdUri::parse(uri)?)
    }

    /// The same for a parsed URI.
    pub fn negotiate_uri(&self, uri: &NbdUri) -> Result<Connected, Error> {
        self.negotiated(self.open(uri)?, uri.export_name(), &uri.to_string())
    }

    /// The same over a stream socket that is connected already.
    pub fn negotiate_fd(&self, socket: impl Into<OwnedFd>, export: &str) -> Result<Connected, Error> {
        self.negotiated(Stream::given(socket.into())?, export, "the given socket")
    }

    /// Asks the server that a URI names what it has. The export name in the URI means nothing here.
    pub fn list(&self, uri: &str) -> Result<Listing, Error> {
        self.list_uri(&NbdUri::parse(uri)?)
    }

    /// The same for a parsed URI.
    pub fn list_uri(&self, uri: &NbdUri) -> Result<Listing, Error> {
        let settings = ListSettings::default()
            .with_extended_headers(self.extended_headers)
            .with_structured_replies(self.structured_replies)
            .with_limits(self.limits);
        let stream = self.open(uri)?;
        let mut flow = List::new(settings);
        flow.set_observer(trace::observer_with(self.watcher.as_ref()));
        let (listing, _) = handshake::run(flow, &stream, self.patience, &uri.to_string())?;
        Ok(listing)
    }

    fn open(&self, uri: &NbdUri) -> Result<Stream, Error> {
        if uri.tls() == TlsUse::Required {
            return Err(Error::Unsupported("the address demands TLS (nbds), which this program cannot do yet"));
        }
        address::open(uri.transport(), self.connect_timeout)
    }

    fn handshake(&self, stream: Stream, export: &str, peer: &str) -> Result<Client, Error> {
        let (negotiated, rest) = self.haggle(&stream, export, peer)?;
        Ok(Client::start(stream, negotiated, &rest, self))
    }

    fn negotiated(&self, stream: Stream, export: &str, peer: &str) -> Result<Connected, Error> {
        let (negotiated, unread) = self.haggle(&stream, export, peer)?;
        Ok(Connected { negotiated, socket: stream.into_socket(), unread })
    }

    fn haggle(&self, stream: &Stream, export: &str, peer: &str) -> Result<(Negotiated, Vec<u8>), Error> {
        let mut settings = ConnectSettings::new(export)
            .with_extended_headers(self.extended_headers)
            .with_structured_replies(self.structured_replies)
            .with_list_contexts(self.list_contexts)
            .with_limits(self.limits);
        settings.meta_contexts.clone_from(&self.meta_contexts);
        let mut flow = Connect::new(settings);
        flow.set_observer(trace::observer_with(self.watcher.as_ref()));
        handshake::run(flow, stream, self.patience, peer)
    }
}
