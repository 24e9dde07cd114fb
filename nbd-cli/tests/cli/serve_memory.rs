//! Clients that send without end, and take nothing: the server's memory stays within a bound for each.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::Path;
use std::thread::spawn;
use std::time::Duration;

use crate::copy_memory::peak;
use crate::raw::Raw;
use crate::serve::socket_in;
use crate::serving::{Serving, must_end};

/// What a connection may hold of payload by default, in KiB, and the program, unoptimized.
const BOUND: u64 = (64 + 24) << 10;

/// What a server of a disk of 1 GiB has taken at most when `attack` is done with it.
fn peak_after(attack: impl FnOnce(&Path, &dyn Fn() -> u64) + Send + 'static) -> u64 {
    let dir = tempfile::tempdir().unwrap();
    let (socket, disk) = (socket_in(dir.path()), dir.path().join("disk"));
    File::create(&disk).unwrap().set_len(1 << 30).unwrap();
    let mut server = Serving::start(["--unix", &socket, &format!("file:{}", disk.display())]);
    server.line();
    let pid: u32 = server.proc().file_name().unwrap().to_str().unwrap().parse().unwrap();
    must_end(move || attack(Path::new(&socket), &|| peak(pid).unwrap()));
    let peak = peak(pid).unwrap();
    assert!(peak > 1000, "measured nothing");
    peak
}

fn option(option: u32, length: u32) -> Vec<u8> {
    [&b"IHAVEOPT"[..], &option.to_be_bytes(), &length.to_be_bytes()].concat()
}

fn request(kind: u16, length: u32) -> Vec<u8> {
    let head = [&0x2560_9513_u32.to_be_bytes()[..], &[0, 0], &kind.to_be_bytes(), &[7; 8], &[0; 8]];
    [&head.concat()[..], &length.to_be_bytes()].concat()
}

/// Sends it again and again, until the server has hung up, takes no more for a while, or has had so many bytes.
fn flood(raw: &mut Raw, message: &[u8], most: usize) {
    raw.0.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let many = message.repeat(1 + (1 << 16) / message.len());
    let mut sent = 0;
    while sent < most {
        match raw.0.write(&many[sent % many.len()..]) {
            Ok(count) => sent += count,
            Err(error) => {
                let ended = [ErrorKind::WouldBlock, ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
                assert!(ended.contains(&error.kind()), "{error}");
                break;
            }
        }
    }
}

#[test]
fn of_options_without_end() {
    let listed = |count: u32| [&[0, 0, 0, 0][..], &count.to_be_bytes()].concat();
    for message in [
        // Asks for lists, and takes none.
        option(3, 0),
        // 4 GiB, of an option that nobody knows and of one that is known.
        [option(0x1234, u32::MAX), vec![0; 4096]].concat(),
        [option(7, u32::MAX), vec![0; 4096]].concat(),
        // As much as is skipped, again and again.
        [option(0x1234, 1 << 20), vec![0; 1 << 20]].concat(),
        // Queries, as many as fit, and a count that only claims to be many.
        [option(10, 8 + 16_000), listed(3200), b"\0\0\0\x01:".repeat(3200)].concat(),
        [option(9, 8), listed(u32::MAX)].concat(),
    ] {
        let shown = message[..16].to_vec();
        let peak = peak_after(move |socket, _| {
            let mut raw = Raw::greeted(socket);
            raw.0.write_all(&3u32.to_be_bytes()).unwrap();
            raw.0.write_all(&option(8, 0)).unwrap();
            flood(&mut raw, &message, 64 << 20);
        });
        assert!(peak < 24 << 10, "{peak} KiB after {shown:x?}");
    }
}

#[test]
fn of_reads_whose_answers_nobody_takes() {
    let peak = peak_after(|socket, peak| {
        let mut raw = Raw::connected(socket);
        flood(&mut raw, &request(0, 32 << 20), 1 << 20);
        // One answer is being sent by then.
        raw.answered();
        assert!(peak() > 32 << 10, "nothing is held");
    });
    assert!(peak < BOUND, "{peak} KiB");
}

#[test]
fn of_writes_that_come_in_full_and_of_one_that_does_not() {
    let peak = peak_after(|socket, _| {
        let mut raw = Raw::connected(socket);
        let whole = [request(1, 4 << 20), vec![1; 4 << 20]].concat();
        for _ in 0..50 {
            raw.0.write_all(&whole).unwrap();
        }
        raw.0.write_all(&whole[..whole.len() - 1]).unwrap();
        raw.answered();
    });
    assert!(peak < BOUND, "{peak} KiB");
}

#[test]
fn of_requests_that_come_byte_by_byte() {
    let peak = peak_after(|socket, _| {
        let mut raw = Raw::connected(socket);
        let mut answers = raw.0.try_clone().unwrap();
        // Answers are taken meanwhile: a server rightly takes no more requests from whoever takes no answers.
        let taken = spawn(move || answers.read_exact(&mut vec![0; 500 * 17]));
        for byte in request(0, 1).repeat(500) {
            raw.0.write_all(&[byte]).unwrap();
        }
        taken.join().unwrap().unwrap();
    });
    assert!(peak < 24 << 10, "{peak} KiB");
}
