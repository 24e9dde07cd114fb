//! The scripted peer does what it is told, and tells what went otherwise.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use nbd_testkit::{Script, newstyle_greeting, oldstyle_greeting};

fn read_to_end(mut stream: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn plays_to_a_unix_socket_and_captures() {
    let peer = Script::new().send(*b"hello").expect(*b"abc").expect_len(2).expect_len(1).close().listen();
    let mut client = UnixStream::connect(peer.socket()).unwrap();
    assert!(peer.uri().starts_with("nbd+unix:///?socket=/"));
    client.write_all(b"abcdef").unwrap();
    assert_eq!(read_to_end(client), b"hello");
    assert_eq!(peer.join().unwrap(), [b"de".to_vec(), b"f".to_vec()]);
}

#[test]
fn plays_to_a_tcp_port() {
    let peer = Script::new().send(newstyle_greeting(3)).wait_eof().listen_tcp();
    let uri = peer.uri();
    let address = uri.strip_prefix("nbd://").unwrap().strip_suffix('/').unwrap();
    let mut client = TcpStream::connect(address).unwrap();
    let mut greeting = [0; 18];
    client.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"NBDMAGICIHAVEOPT\0\x03");
    drop(client);
    peer.join().unwrap();
}

#[test]
fn plays_to_one_client_after_the_other() {
    let peer = Script::new().send(*b"1").next_client().send(*b"2").listen();
    assert_eq!(read_to_end(UnixStream::connect(peer.socket()).unwrap()), b"1");
    assert_eq!(read_to_end(UnixStream::connect(peer.socket()).unwrap()), b"2");
    peer.join().unwrap();
}

#[test]
fn holds_until_the_client_leaves() {
    let (mut client, peer) = Script::new().hold().pair();
    client.write_all(&vec![7; 100_000]).unwrap();
    drop(client);
    peer.join().unwrap();
}

#[test]
fn a_difference_is_told() {
    let (mut client, peer) = Script::new().send(*b"x").expect(*b"abcd").pair();
    client.write_all(b"abXd").unwrap();
    let error = peer.join().unwrap_err();
    assert_eq!(error.step, 1);
    assert_eq!(
        error.to_string(),
        "step 1 of the script failed: expected 4 bytes: 61 62 63 64\n     \
         got 4 bytes: 61 62 58 64\n  they differ from byte 2 on"
    );
}

#[test]
fn an_early_end_is_told() {
    let (mut client, peer) = Script::new().expect(*b"abcd").pair();
    client.write_all(b"ab").unwrap();
    drop(client);
    let error = peer.join().unwrap_err();
    assert!(error.what.contains("got 2 bytes: 61 62, then the client closed"), "{error}");
}

#[test]
fn bytes_where_the_end_should_be_are_told() {
    let (mut client, peer) = Script::new().wait_eof().pair();
    client.write_all(b"more").unwrap();
    let error = peer.join().unwrap_err();
    assert_eq!(error.what, "expected the end, got 1 bytes: 6d");
}

#[test]
fn steps_after_the_close_are_told() {
    let (_client, peer) = Script::new().close().send(*b"x").pair();
    assert_eq!(peer.join().unwrap_err().step, 1);
    let (_client, peer) = Script::new().next_client().pair();
    assert_eq!(peer.join().unwrap_err().step, 0);
}

#[test]
fn the_oldstyle_greeting_has_its_size() {
    let greeting = oldstyle_greeting(0x0102, 0x0003_0004);
    assert_eq!(greeting.len(), 152);
    assert_eq!(greeting[..8], *b"NBDMAGIC");
    assert_eq!(greeting[16..28], [0, 0, 0, 0, 0, 0, 1, 2, 0, 3, 0, 4]);
    assert!(greeting[28..].iter().all(|&byte| byte == 0));
}
