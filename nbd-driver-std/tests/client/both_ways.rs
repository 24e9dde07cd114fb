//! Both directions full at once, with buffers so small that they always are. A client that stops reading because it
//! wants to write, or the other way round, hangs here.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::thread;

use nbd_testkit::{PATIENCE, oldstyle_greeting, pattern};
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};

use crate::driver::{Client, ConnectOptions};
use crate::peer::{ALL, DISC, Peer};
use crate::support::{assert_same, must_end};

/// How many requests go in each direction at once.
pub(crate) const EACH_WAY: u64 = 16;
pub(crate) const LENGTH: usize = 128 << 10;
pub(crate) const BLOCKS: u64 = 128;

/// Any pair of connected sockets.
pub(crate) trait Pair: Sized + AsFd + Into<std::os::fd::OwnedFd> + Send + 'static {
    /// Much less than what is in flight, but not so little that TCP waits for its timers.
    const BUFFER: usize;

    fn pair() -> (Self, Self);
}

impl Pair for UnixStream {
    const BUFFER: usize = 4096;

    fn pair() -> (Self, Self) {
        Self::pair().unwrap()
    }
}

impl Pair for std::net::TcpStream {
    const BUFFER: usize = 64 << 10;

    fn pair() -> (Self, Self) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let client = Self::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }
}

/// A client of a server whose every byte waits for a byte to be taken.
pub(crate) fn narrow<S: Pair>(serve: impl FnOnce(&mut Peer) + Send + 'static) -> (Client, thread::JoinHandle<()>) {
    let (client, server) = S::pair();
    for socket in [&client, &server] {
        set_socket_send_buffer_size(socket, S::BUFFER).unwrap();
        set_socket_recv_buffer_size(socket, S::BUFFER).unwrap();
    }
    // It only reads and writes: which kind of socket it is does not matter.
    let server = UnixStream::from(server.into());
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    server.set_write_timeout(Some(PATIENCE)).unwrap();
    let server = thread::spawn(move || {
        let mut peer = Peer(server);
        std::io::Write::write_all(&mut peer.0, &oldstyle_greeting(place(BLOCKS), ALL.into())).unwrap();
        serve(&mut peer);
    });
    (ConnectOptions::new().connect_fd(client, "").unwrap(), server)
}

pub(crate) fn data(number: u64) -> Vec<u8> {
    pattern(LENGTH, number)
}

pub(crate) fn place(number: u64) -> u64 {
    number * LENGTH as u64
}

pub(crate) fn disk() -> Vec<u8> {
    (0..2 * EACH_WAY).map(data).collect::<Vec<_>>().concat()
}

/// Reads no request before the reply to the one before has been taken.
pub(crate) fn one_at_a_time(peer: &mut Peer) {
    peer.serve(disk());
}

/// Reads all requests before it replies to any.
pub(crate) fn all_at_once(peer: &mut Peer) {
    let mut disk = disk();
    loop {
        let mut requests = Vec::new();
        while requests.len() < 2 * EACH_WAY as usize {
            match peer.request() {
                Some(request) if request.kind != DISC => requests.push(request),
                _ => return,
            }
        }
        for request in requests {
            peer.perform(&request, &mut disk);
        }
    }
}

fn by_a_queue(client: &Client) {
    let mut queue = client.queue();
    for _ in 0..3 {
        for number in 0..EACH_WAY {
            queue.read(vec![0; LENGTH], place(number)).unwrap();
        }
        for number in EACH_WAY..2 * EACH_WAY {
            queue.write(data(number), place(number)).unwrap();
        }
        let mut ended = 0;
        while let Some(completion) = queue.wait() {
            completion.result.unwrap();
            assert_same(&completion.buffer, &data(completion.command.offset / LENGTH as u64));
            ended += 1;
        }
        assert_eq!(ended, 2 * EACH_WAY);
    }
}

pub(crate) fn finishes<S: Pair>(serve: fn(&mut Peer), run: fn(&Client)) {
    must_end(move || {
        let (client, server) = narrow::<S>(serve);
        run(&client);
        drop(client);
        server.join().unwrap();
    });
}

macro_rules! ways {
    ($($name:ident: $socket:ty, $serve:ident, $run:ident;)*) => {$(
        #[test]
        fn $name() {
            finishes::<$socket>($serve, $run);
        }
    )*};
}

ways! {
    a_server_that_reads_nothing_until_its_reply_is_taken_and_a_queue: UnixStream, one_at_a_time, by_a_queue;
    a_server_that_replies_to_nothing_until_it_has_read_all_and_a_queue: UnixStream, all_at_once, by_a_queue;
    the_same_over_tcp_and_a_queue: std::net::TcpStream, one_at_a_time, by_a_queue;
}
