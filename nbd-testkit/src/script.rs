//! A peer that plays given bytes, for tests with exactly one fault.

mod player;

use std::fmt;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::guard::Guard;
use crate::listener::{Address, Listener, Transport};
use player::Player;

/// What a newstyle server says first.
pub fn newstyle_greeting(flags: u16) -> Vec<u8> {
    [b"NBDMAGICIHAVEOPT".as_slice(), &flags.to_be_bytes()].concat()
}

/// All that an oldstyle server says before the first request.
pub fn oldstyle_greeting(size: u64, flags: u32) -> Vec<u8> {
    let cliserv = 0x0000_4202_8186_1253_u64.to_be_bytes();
    [b"NBDMAGIC".as_slice(), &cliserv, &size.to_be_bytes(), &flags.to_be_bytes(), &[0; 124]].concat()
}

#[derive(Debug, Clone)]
enum Step {
    Send(Vec<u8>),
    Expect(Vec<u8>),
    ExpectLen(usize),
    Close,
    WaitEof,
    Hold,
    NextClient,
}

/// What a peer does, step by step.
///
/// ```
/// use std::io::{Read, Write};
/// use nbd_testkit::Script;
///
/// let (mut client, peer) = Script::new().send(*b"hello").expect(*b"hi").close().pair();
/// let mut hello = [0; 5];
/// client.read_exact(&mut hello).unwrap();
/// client.write_all(b"hi").unwrap();
/// assert!(peer.join().is_ok());
/// ```
#[derive(Debug, Clone, Default)]
pub struct Script(Vec<Step>);

impl Script {
    /// An empty script: the peer closes the connection at once.
    pub fn new() -> Self {
        Self::default()
    }

    fn then(mut self, step: Step) -> Self {
        self.0.push(step);
        self
    }

    /// Sends these bytes.
    #[must_use]
    pub fn send(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.then(Step::Send(bytes.into()))
    }

    /// Reads as many bytes, which must be these.
    #[must_use]
    pub fn expect(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.then(Step::Expect(bytes.into()))
    }

    /// Reads so many bytes, whatever they are. [`Playing::join`] returns them.
    #[must_use]
    pub fn expect_len(self, len: usize) -> Self {
        self.then(Step::ExpectLen(len))
    }

    /// Closes the connection. (The end of the script does so too.)
    ///
    /// As on any Unix socket, closing while bytes of the client are unread may show as
    /// `ECONNRESET` at its end: expect them first if it must be a clean end of file.
    #[must_use]
    pub fn close(self) -> Self {
        self.then(Step::Close)
    }

    /// Waits until the client closes; nothing more may come from it.
    #[must_use]
    pub fn wait_eof(self) -> Self {
        self.then(Step::WaitEof)
    }

    /// Keeps silent, with the connection open, until the client closes. What it sends is ignored.
    #[must_use]
    pub fn hold(self) -> Self {
        self.then(Step::Hold)
    }

    /// Closes the connection, and goes on with the next client. Only with [`listen`](Self::listen).
    #[must_use]
    pub fn next_client(self) -> Self {
        self.then(Step::NextClient)
    }

    /// Plays to the first client of a new Unix socket.
    pub fn listen(self) -> Playing {
        self.listen_on(Transport::Unix)
    }

    /// Plays to the first client of a free TCP port.
    pub fn listen_tcp(self) -> Playing {
        self.listen_on(Transport::Tcp)
    }

    fn listen_on(self, transport: Transport) -> Playing {
        let guard = Guard::new();
        let listener = Listener::bind(transport, guard.dir());
        let address = listener.address.clone();
        let player = Player::new(move || player::accept(&listener));
        Playing::start(Some((address, guard)), move || player.play(&self.0))
    }

    /// Plays to one end of a socket pair; the other end comes back.
    pub fn pair(self) -> (UnixStream, Playing) {
        let (client, peer) = UnixStream::pair().expect("a socket pair");
        let mut peer = Some(peer);
        let player = Player::new(move || {
            let peer = peer.take().ok_or_else(|| io::Error::other("a pair has no next client"))?;
            player::connection(peer.into())
        });
        (client, Playing::start(None, move || player.play(&self.0)))
    }
}

/// A script that is being played.
///
/// If it is dropped in a panic, and the script has failed, it prints how.
#[derive(Debug)]
#[must_use = "join it to learn what the peer saw"]
pub struct Playing {
    place: Option<(Address, Guard)>,
    outcome: mpsc::Receiver<Outcome>,
}

type Outcome = Result<Vec<Vec<u8>>, ScriptError>;

impl Playing {
    fn start(place: Option<(Address, Guard)>, play: impl FnOnce() -> Outcome + Send + 'static) -> Self {
        let (sender, outcome) = mpsc::channel();
        thread::spawn(move || sender.send(play()));
        Self { place, outcome }
    }

    fn address(&self) -> &Address {
        &self.place.as_ref().expect("a socket pair has no address").0
    }

    /// The URI of the default export.
    ///
    /// # Panics
    /// If it was started with [`Script::pair`].
    pub fn uri(&self) -> String {
        self.uri_of("")
    }

    /// The URI of an export of this name.
    ///
    /// # Panics
    /// If it was started with [`Script::pair`].
    pub fn uri_of(&self, export: &str) -> String {
        self.address().uri(export)
    }

    /// The Unix socket.
    ///
    /// # Panics
    /// If it was not started with [`Script::listen`].
    pub fn socket(&self) -> &Path {
        match self.address() {
            Address::Unix(path) => path,
            Address::Tcp(address) => panic!("the script listens on {address}"),
        }
    }

    /// Waits for the end of the script. Returns what the steps
    /// [`expect_len`](Script::expect_len) read, one item for each.
    pub fn join(self) -> Result<Vec<Vec<u8>>, ScriptError> {
        self.outcome.recv().expect("the script's thread does not panic")
    }
}

impl Drop for Playing {
    fn drop(&mut self) {
        if thread::panicking() {
            // The client may have noticed the end of the connection just before the outcome is there.
            if let Ok(Err(error)) = self.outcome.recv_timeout(Duration::from_millis(50)) {
                eprintln!("{error}");
            }
        }
    }
}

/// How a script went wrong: most often what the client sent is not what was expected.
#[derive(Debug)]
pub struct ScriptError {
    /// The step that failed; the first one is 0.
    pub step: usize,
    /// What happened.
    pub what: String,
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {} of the script failed: {}", self.step, self.what)
    }
}

impl std::error::Error for ScriptError {}
