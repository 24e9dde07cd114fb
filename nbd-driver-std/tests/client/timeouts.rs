//! Servers that are late, or silent, or gone: everybody who waits hears of it, and nobody hangs.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nbd_testkit::{Disk, Nbdkit, Script, newstyle_greeting, oldstyle_greeting};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::listen;

use crate::driver::{Client, ConnectOptions, Error, Queue};
use crate::peer::{ALL, Peer, READ, WRITE, oldstyle};
use crate::support::{MIB, connection_error, must_end};

pub(crate) const SHORT: Duration = Duration::from_millis(300);

/// Runs something that is to run into a time-out of [`SHORT`].
fn timed<T>(run: impl FnOnce() -> Result<T, Error>) -> Error {
    let started = Instant::now();
    let error = run().err().expect("nobody can have answered");
    assert!(started.elapsed() >= SHORT, "too early, after {:?}: {error}", started.elapsed());
    error
}

#[track_caller]
fn assert_timeout(error: &Error, step: &str) {
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(step) && text.contains("300 ms"), "{text}");
}

#[test]
fn connecting_to_a_full_unix_socket() {
    must_end(|| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("full");
        let listener = UnixListener::bind(&path).unwrap();
        listen(&listener, 0).unwrap();
        let _first = UnixStream::connect(&path).unwrap();
        let uri = format!("nbd+unix:///?socket={}", path.display());
        let options = ConnectOptions::new().connect_timeout(Some(SHORT));
        assert_timeout(&timed(|| options.connect(&uri)), path.to_str().unwrap());
        assert_timeout(&timed(|| options.list(&uri)), path.to_str().unwrap());
    });
}

#[test]
fn connecting_to_a_full_tcp_port() {
    must_end(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listen(&listener, 0).unwrap();
        let address = listener.local_addr().unwrap();
        // However many the system takes beyond what it was told.
        let mut full = Vec::new();
        while let Ok(client) = TcpStream::connect_timeout(&address, SHORT) {
            full.push(client);
        }
        let options = ConnectOptions::new().connect_timeout(Some(SHORT));
        assert_timeout(&timed(|| options.connect(&format!("nbd://{address}"))), &address.port().to_string());
    });
}

#[test]
fn a_silent_server_in_the_handshake() {
    must_end(|| {
        for greeting in [vec![], b"NBDM".to_vec(), newstyle_greeting(3)] {
            let peer = Script::new().send(greeting).hold().listen();
            let options = ConnectOptions::new().handshake_idle_timeout(Some(SHORT));
            assert_timeout(&timed(|| options.connect(&peer.uri())), "handshake");
            peer.join().unwrap();
        }
        let peer = Script::new().send(newstyle_greeting(3)).hold().listen();
        let options = ConnectOptions::new().handshake_idle_timeout(Some(SHORT));
        assert_timeout(&timed(|| options.list(&peer.uri())), "handshake");
        peer.join().unwrap();
    });
}

#[test]
fn a_server_that_drips() {
    must_end(|| {
        let (client, mut server) = UnixStream::pair().unwrap();
        let drip = thread::spawn(move || {
            // Byte by byte, for as long as the client is there; nothing is ever late, but it never ends.
            server.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
            server.write_all(&newstyle_greeting(3)).unwrap();
            let reply = [&0x0003_e889_0455_65a9_u64.to_be_bytes()[..], &[0, 0, 0, 11, 0x80, 0, 0, 1, 0, 0, 15, 0]];
            for byte in reply.concat().into_iter().chain(std::iter::repeat(b'x')) {
                let _ = server.read(&mut [0; 1000]);
                if server.write_all(&[byte]).is_err() {
                    break;
                }
            }
        });
        let options = ConnectOptions::new().handshake_timeout(Some(SHORT)).handshake_idle_timeout(Some(SHORT * 100));
        assert_timeout(&timed(|| options.connect_fd(client, "")), "handshake");
        drip.join().unwrap();
    });
}

#[test]
fn a_queue_whose_requests_are_never_answered() {
    must_end(|| {
        let options = ConnectOptions::new().request_timeout(Some(SHORT));
        let (client, server) = oldstyle(&options, MIB, ALL, |peer| while peer.request().is_some() {});
        let mut queue = client.queue();
        for number in 0..10 {
            queue.read(vec![0; 512], number * 512).unwrap();
        }
        let started = Instant::now();
        let mut ended = 0;
        while let Some(completion) = queue.wait() {
            assert!(connection_error(completion.result).contains("300 ms"));
            ended += 1;
        }
        assert!(started.elapsed() >= SHORT);
        assert_eq!(ended, 10);
        server.join().unwrap();
    });
}

/// A request counted as late when its owner had been busy with other things, answered or not.
#[test]
fn the_owner_of_a_queue_may_take_its_time() {
    must_end(|| {
        let options = ConnectOptions::new().request_timeout(Some(SHORT));
        let (client, server) = oldstyle(&options, MIB, ALL, |peer| peer.serve(vec![1; 1 << 20]));
        let patient = ConnectOptions::new().request_timeout(Some(SHORT * 2));
        let mut queue = client.queue();
        for _ in 0..2 {
            queue.read(vec![0; 512], 0).unwrap();
            // Meanwhile the owner waits for somebody else, and for longer than the limit.
            let (other, silent) = oldstyle(&patient, MIB, ALL, |peer| while peer.request().is_some() {});
            assert!(connection_error(other.read_at(&mut [0; 512], 0)).contains("600 ms"));
            drop(other);
            silent.join().unwrap();
            queue.wait().unwrap().result.unwrap();
        }
        drop((queue, client));
        server.join().unwrap();
    });
}

#[test]
fn shutdown_does_not_wait_for_ever_for_a_dropped_queue() {
    must_end(|| {
        let options = ConnectOptions::new().request_timeout(Some(SHORT));
        let (client, server) = oldstyle(&options, MIB, ALL, |peer| while peer.request().is_some() {});
        let mut queue = client.queue();
        queue.read(vec![0; 512], 0).unwrap();
        drop(queue);
        assert!(connection_error(client.shutdown()).contains("300 ms"));
        server.join().unwrap();
    });
}

#[test]
fn a_slow_disk() {
    must_end(|| {
        let server = Nbdkit::memory("1M").filter("delay").arg("delay-read=3600").start();
        let Some(server) = server else { return };
        let client = ConnectOptions::new().request_timeout(Some(SHORT)).connect(&server.uri()).unwrap();
        client.write_at(&[1; 512], 0).unwrap();
        assert!(connection_error(client.read_at(&mut [0; 512], 0)).contains("300 ms"));
    });
}

#[test]
fn time_without_end() {
    must_end(|| {
        let endless = Some(Duration::MAX);
        let options = ConnectOptions::new()
            .connect_timeout(endless)
            .handshake_timeout(endless)
            .handshake_idle_timeout(endless)
            .request_timeout(endless);
        for listen in [Script::listen, Script::listen_tcp] {
            let peer = listen(Script::new().send(oldstyle_greeting(MIB, 1)).hold());
            let client = options.connect(&peer.uri()).unwrap();
            drop(client);
            peer.join().unwrap();
        }
        let (client, server) = oldstyle(&options, MIB, ALL, |peer| peer.serve(vec![1; 1 << 20]));
        client.read_at(&mut [0; 512], 0).unwrap();
        let mut queue = client.queue();
        queue.read(vec![0; 512], 0).unwrap();
        queue.wait().unwrap().result.unwrap();
        drop((queue, client));
        server.join().unwrap();
    });
}

#[test]
fn what_the_server_said_before_it_left_counts() {
    must_end(|| {
        let (client, server) = oldstyle(&ConnectOptions::new(), MIB, ALL, |peer| {
            let request = peer.expect(WRITE);
            peer.reply(&request, 28, &[]);
        });
        let error = client.write_at(&[1; 512], 0).unwrap_err();
        assert!(matches!(error, Error::Command(_)), "{error}");
        server.join().unwrap();
        connection_error(client.write_at(&[1; 512], 0));
    });
}

#[test]
fn a_call_that_is_never_answered() {
    must_end(|| {
        let options = ConnectOptions::new().request_timeout(Some(SHORT));
        let (client, server) = oldstyle(&options, MIB, ALL, |peer| while peer.request().is_some() {});
        assert_eq!(connection_error(client.read_at(&mut [0; 512], 0)), "a request was not answered within 300 ms");
        // The end comes from the client, though it is still there.
        server.join().unwrap();
        assert_eq!(connection_error(client.flush()), "a request was not answered within 300 ms");
    });
}

/// Whatever is in flight, and whatever comes behind it.
fn all_fail(client: &Client, mut queue: Queue) {
    while let Some(completion) = queue.wait() {
        connection_error(completion.result);
        assert_eq!(completion.buffer.len(), 100_000);
    }
    connection_error(queue.read(vec![0; 100_000], 0).map_err(|rejected| rejected.error));
    connection_error(client.read_at(&mut [0; 1], 0));
    connection_error(client.write_at(&[0; 1], 0));
    connection_error(client.flush());
}

#[test]
fn a_server_that_is_killed_in_the_middle() {
    must_end(|| {
        let disk = || Disk::patterned(1 << 20, 1);
        let servers = [
            Nbdkit::disk(disk()).filter("delay").arg("delay-read=3600").arg("delay-write=3600").start(),
            Nbdkit::disk(disk()).filter("delay").arg("delay-read=3600").arg("delay-write=3600").tcp().start(),
        ];
        for mut server in servers.into_iter().flatten() {
            let client = ConnectOptions::new().connect(&server.uri()).unwrap();
            client.flush().unwrap();
            let mut queue = client.queue();
            for number in 0..3 {
                queue.read(vec![0; 100_000], number * 100_000).unwrap();
                queue.write(vec![0; 100_000], number * 100_000).unwrap();
            }
            queue.send();
            server.kill();
            all_fail(&client, queue);
        }
    });
}

#[test]
fn a_server_that_hangs_up_in_the_middle_of_a_reply() {
    must_end(|| {
        for cut in [3, 16, 17, 16 + 50_000] {
            let (client, server) = oldstyle(&ConnectOptions::new(), MIB, ALL, move |peer| hang_up_after(peer, cut));
            let mut queue = client.queue();
            for number in 0..6 {
                queue.read(vec![0; 100_000], number * 100_000).unwrap();
            }
            let error = connection_error(queue.wait().unwrap().result);
            assert!(error.contains("in the middle of a reply"), "{error}");
            all_fail(&client, queue);
            drop(client);
            server.join().unwrap();
        }
    });
}

/// Begins the reply to a read of 100,000 bytes, and leaves.
pub(crate) fn hang_up_after(peer: &mut Peer, sent: usize) {
    let request = loop {
        let request = peer.request().unwrap();
        if request.kind == READ {
            break request;
        }
    };
    let header = [&0x6744_6698_u32.to_be_bytes()[..], &[0; 4], &request.cookie.to_be_bytes()].concat();
    let reply = [header, vec![1; 100_000]].concat();
    peer.0.write_all(&reply[..sent]).unwrap();
    // What comes later than this is not answered either; closing with it unread would look like a reset.
    peer.0.shutdown(Shutdown::Write).unwrap();
    while peer.request().is_some() {}
}

/// A server that reads no more, but says nothing and stays: what cannot be sent is never answered, and what was asked
/// before that neither.
#[test]
fn a_server_that_closes_its_ears() {
    must_end(|| {
        let (closed, is_closed) = mpsc::channel();
        let (client, server) = oldstyle(&ConnectOptions::new(), MIB, ALL, move |peer| close_ears(peer, &closed));
        let mut queue = client.queue();
        queue.read(vec![0; 512], 0).unwrap();
        queue.send();
        is_closed.recv().unwrap();
        for result in [client.write_at(&[1; 512], 0), queue.wait().unwrap().result] {
            let error = connection_error(result);
            assert!(error.contains("sending"), "{error}");
        }
        drop((queue, client));
        server.join().unwrap();
    });
}

/// Reads one request and no more, and stays until the client has hung up.
pub(crate) fn close_ears(peer: &mut Peer, closed: &mpsc::Sender<()>) {
    peer.expect(READ);
    peer.0.shutdown(Shutdown::Read).unwrap();
    closed.send(()).unwrap();
    let mut fds = [PollFd::new(&peer.0, PollFlags::HUP)];
    while !fds[0].revents().contains(PollFlags::HUP) {
        poll(&mut fds, None).unwrap();
    }
}
