//! No server keeps the command waiting for ever.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::process::Output;
use std::thread;
use std::time::{Duration, Instant};

use nbd_testkit::{Nbdkit, Script, newstyle_greeting};

use crate::common::{Run, command, nbd, option_reply};

fn timed(args: &[&str]) -> (Run, Duration) {
    let start = Instant::now();
    let output: Output = command().args(args).output().unwrap();
    (output.into(), start.elapsed())
}

/// On a busy machine it takes longer, but never less.
#[track_caller]
fn assert_about(took: Duration, seconds: f64) {
    let low = Duration::from_secs_f64(seconds * 0.95);
    assert!(took >= low && took < low + Duration::from_secs(10), "{took:?}");
}

#[test]
fn a_server_that_says_nothing_gets_five_seconds() {
    let script = Script::new().hold().listen();
    let (run, took) = timed(&["info", &script.uri()]);
    assert_about(took, 5.0);
    let failure = run.failure();
    assert!(failure.contains("nothing came within 5 s") && failure.contains("--timeout"), "{failure}");
}

#[test]
fn or_as_long_as_the_user_says() {
    for args in
        [&["info"][..], &["info", "--list"], &["info", "--size"], &["info", "--map"], &["info", "--can", "read"]]
    {
        let script = Script::new().send(newstyle_greeting(3)).hold().listen();
        let uri = script.uri();
        let (run, took) = timed(&[args, &["--timeout", "0.3", &uri]].concat());
        assert_about(took, 0.3);
        run.failure();
    }
    for ends in [["URI", "null:"], ["/dev/zero", "URI"]] {
        let script = Script::new().hold().listen();
        let uri = script.uri();
        let ends = ends.map(|end| if end == "URI" { &uri[..] } else { end });
        let (run, took) = timed(&[&["copy", "--timeout=0.3"], &ends[..]].concat());
        assert_about(took, 0.3);
        run.failure();
    }
}

/// A server that speaks for itself, on a socket of its own.
fn server(serve: impl Fn(std::os::unix::net::UnixStream) + Send + 'static) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            serve(stream);
        }
    });
    let uri = format!("nbd+unix:///?socket={}", socket.display());
    (dir, uri)
}

/// Greets, refuses what makes replies structured, and answers a list without end.
fn endless(mut stream: std::os::unix::net::UnixStream, entry: &[u8]) {
    let list = option_reply(3, 2, entry).repeat(64);
    let mut serve = || -> std::io::Result<()> {
        let unknown = |option| option_reply(option, 0x8000_0001, b"");
        for (answer, awaited) in [(newstyle_greeting(3), 4 + 16), (unknown(11), 16), (unknown(8), 16)] {
            stream.write_all(&answer)?;
            stream.read_exact(&mut vec![0; awaited])?;
        }
        loop {
            stream.write_all(&list)?;
        }
    };
    // It ends when the client goes.
    let _ = serve();
}

#[test]
fn a_list_without_end_meets_a_bound() {
    let (_dir, uri) = server(|stream| endless(stream, b"\0\0\0\x01x"));
    let (run, took) = timed(&["info", "--list", &uri]);
    let failure = run.failure();
    assert!(failure.contains("65536"), "{failure}");
    assert!(took < Duration::from_secs(15), "{took:?}");
}

#[test]
fn so_does_a_list_of_long_names() {
    let entry = [&4096_u32.to_be_bytes()[..], &[b'x'; 8192]].concat();
    let (_dir, uri) = server(move |stream| endless(stream, &entry));
    let (run, took) = timed(&["info", "--list", &uri]);
    run.failure();
    assert!(took < Duration::from_secs(15), "{took:?}");
}

#[test]
fn a_server_that_drips_gets_no_longer_than_the_whole_handshake_may_take() {
    // A byte every now and then: never silent for long, never done.
    let (_dir, uri) = server(|mut stream| {
        let greeting = [&newstyle_greeting(3)[..], &option_reply(11, 2, &[0; 1 << 12])].concat();
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        for byte in greeting {
            if stream.write_all(&[byte]).is_err() {
                return;
            }
            // Waits for the client's bytes, or a while.
            let _ = stream.read(&mut [0; 64]);
        }
    });
    let (run, took) = timed(&["info", "--timeout=1", &uri]);
    assert_about(took, 1.0);
    assert!(run.failure().contains("within 1 s"));
}

#[test]
fn a_server_that_falls_silent_during_a_copy() {
    let silent = || Nbdkit::memory("1M").filter("delay");
    let Some(slow_reads) = silent().arg("rdelay=600").filter("noextents").start() else { return };
    let (run, took) = timed(&["copy", "--timeout=0.5", &slow_reads.uri(), "null:"]);
    assert_about(took, 0.5);
    let failure = run.failure();
    assert!(failure.contains("not answered within 500 ms") && failure.contains("reading"), "{failure}");

    let Some(slow_writes) = silent().arg("wdelay=600").start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("data");
    std::fs::write(&file, nbd_testkit::pattern(1 << 20, 1)).unwrap();
    let (run, took) = timed(&["copy", "--timeout=0.5", file.to_str().unwrap(), &slow_writes.uri()]);
    assert_about(took, 0.5);
    let failure = run.failure();
    assert!(failure.contains("not answered within 500 ms") && failure.contains("writing"), "{failure}");
}

#[test]
fn a_slow_server_within_its_time_is_fine() {
    let Some(server) = Nbdkit::memory("1M").filter("delay").filter("noextents").arg("rdelay=300ms").start() else {
        return;
    };
    nbd(["copy", "--timeout=20", &server.uri(), "null:"]).ok();
}

/// Each reply comes at once, but there would be thousands of millions of them.
#[test]
fn a_map_without_end() {
    let Some(server) = Nbdkit::new("null").arg("size=9223372036854775807").start() else { return };
    let (run, took) = timed(&["info", "--map", "--timeout=1", &server.uri()]);
    assert_about(took, 1.0);
    let failure = run.failure();
    assert!(failure.contains("the map did not end within 1 s"), "{failure}");
}

/// A map that gets on by a byte at a time is given up, and the disk is read.
#[test]
fn a_copy_does_not_follow_a_map_that_does_not_get_on() {
    let server = Nbdkit::new("eval")
        .arg("get_size=echo 16M")
        .arg("pread=dd if=/dev/zero bs=$3 count=1")
        .arg("can_extents=exit 0")
        .arg("extents=echo $4 1 hole,zero");
    let Some(server) = server.start() else { return };
    let copied = nbd(["copy", &server.uri(), "-"]).ok();
    assert!(copied.bytes == vec![0; 16 << 20], "{} bytes", copied.bytes.len());
}
