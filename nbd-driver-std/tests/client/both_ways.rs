//! Both directions full at once, with buffers so small that they always are. A client that stops reading because it
//! wants to write, or the other way round, hangs here.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::thread;

use nbd_testkit::{PATIENCE, oldstyle_greeting, pattern};
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};

use crate::driver::{Client, ConnectOptions};
use crate::peer::{ALL, DISC, Peer, READ, WRITE};
use crate::support::{assert_same, must_end};

const THREADS: u64 = 16;
const LENGTH: usize = 128 << 10;
const BLOCKS: u64 = 128;

/// Any pair of connected sockets.
trait Pair: Sized + AsFd + Into<std::os::fd::OwnedFd> + Send + 'static {
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
fn narrow<S: Pair>(serve: impl FnOnce(&mut Peer) + Send + 'static) -> (Client, thread::JoinHandle<()>) {
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

fn data(number: u64) -> Vec<u8> {
    pattern(LENGTH, number)
}

fn place(number: u64) -> u64 {
    number * LENGTH as u64
}

fn disk() -> Vec<u8> {
    (0..2 * THREADS).map(data).collect::<Vec<_>>().concat()
}

/// Reads no request before the reply to the one before has been taken.
fn one_at_a_time(peer: &mut Peer) {
    peer.serve(disk());
}

/// Reads all requests before it replies to any.
fn all_at_once(peer: &mut Peer) {
    let mut disk = disk();
    loop {
        let mut requests = Vec::new();
        while requests.len() < 2 * THREADS as usize {
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

/// Half of the threads read, half of them write, several times each.
fn by_threads(client: &Client) {
    thread::scope(|scope| {
        for number in 0..2 * THREADS {
            scope.spawn(move || {
                for _ in 0..3 {
                    let mut mine = data(number);
                    if number % 2 == 0 {
                        client.write_at(&mine, place(number)).unwrap();
                    } else {
                        mine.fill(0);
                        client.read_at(&mut mine, place(number)).unwrap();
                        assert_same(&mine, &data(number));
                    }
                }
            });
        }
    });
}

fn by_a_queue(client: &Client) {
    let mut queue = client.queue();
    for _ in 0..3 {
        for number in 0..THREADS {
            queue.read(vec![0; LENGTH], place(number)).unwrap();
        }
        for number in THREADS..2 * THREADS {
            queue.write(data(number), place(number)).unwrap();
        }
        let mut ended = 0;
        while let Some(completion) = queue.wait() {
            completion.result.unwrap();
            assert_same(&completion.buffer, &data(completion.command.offset / LENGTH as u64));
            ended += 1;
        }
        assert_eq!(ended, 2 * THREADS);
    }
}

fn finishes<S: Pair>(serve: fn(&mut Peer), run: fn(&Client)) {
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
    a_server_that_reads_nothing_until_its_reply_is_taken_and_threads: UnixStream, one_at_a_time, by_threads;
    a_server_that_reads_nothing_until_its_reply_is_taken_and_a_queue: UnixStream, one_at_a_time, by_a_queue;
    a_server_that_replies_to_nothing_until_it_has_read_all_and_threads: UnixStream, all_at_once, by_threads;
    a_server_that_replies_to_nothing_until_it_has_read_all_and_a_queue: UnixStream, all_at_once, by_a_queue;
    the_same_over_tcp_and_threads: std::net::TcpStream, one_at_a_time, by_threads;
    the_same_over_tcp_and_a_queue: std::net::TcpStream, one_at_a_time, by_a_queue;
}

/// Threads and a queue together, where the server answers writes at once and reads only when it must.
#[test]
fn a_queue_of_writes_beside_threads_that_read() {
    must_end(|| {
        let (client, server) = narrow::<UnixStream>(|peer| {
            let mut disk = disk();
            disk.resize(LENGTH * BLOCKS as usize, 0);
            let mut reads = Vec::new();
            while let Some(request) = peer.request() {
                match request.kind {
                    READ => reads.push(request),
                    WRITE => {
                        peer.perform(&request, &mut disk);
                        if let Some(read) = reads.pop() {
                            peer.perform(&read, &mut disk);
                        }
                    }
                    _ => break,
                }
            }
        });
        thread::scope(|scope| {
            for number in 0..THREADS {
                let client = &client;
                scope.spawn(move || {
                    let mut mine = vec![0; LENGTH];
                    client.read_at(&mut mine, place(number)).unwrap();
                    assert_same(&mine, &data(number));
                });
            }
            // As many writes, one after the other, make the server answer every read.
            let mut queue = client.queue();
            let mut ended = 0;
            let mut number = THREADS;
            while ended < 4 * THREADS {
                while queue.in_flight() < 4 {
                    queue.write(data(number), place(number)).unwrap();
                    number += 1;
                }
                queue.wait().unwrap().result.unwrap();
                ended += 1;
            }
            while let Some(completion) = queue.wait() {
                completion.result.unwrap();
            }
        });
        drop(client);
        server.join().unwrap();
    });
}
