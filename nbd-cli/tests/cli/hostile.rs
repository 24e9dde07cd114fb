//! A server in a thread of the test that answers as a test wants, and whoever connects.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::thread;

use nbd_testkit::{PATIENCE, newstyle_greeting};
use tempfile::TempDir;

use crate::common::option_reply;

pub(crate) const LIST: u32 = 3;
pub(crate) const INFO: u32 = 6;
pub(crate) const GO: u32 = 7;
pub(crate) const STRUCTURED: u32 = 8;
pub(crate) const LIST_CONTEXTS: u32 = 9;
pub(crate) const SET_CONTEXTS: u32 = 10;

pub(crate) const READ: u16 = 0;
pub(crate) const BLOCK_STATUS: u16 = 7;

/// What a client wants.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ask {
    Option(u32),
    Command { kind: u16, cookie: [u8; 8] },
}

pub(crate) enum Answer {
    Once(Vec<u8>),
    /// Again and again, until the client has gone.
    ForEver(Vec<u8>),
    HangUp,
}

pub(crate) struct Hostile {
    dir: TempDir,
}

impl Hostile {
    pub(crate) fn start(answer: impl Fn(Ask) -> Answer + Send + Sync + 'static) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("socket")).unwrap();
        let answer = Arc::new(answer);
        // It ends with the test's process.
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, answer) = (client.unwrap(), answer.clone());
                // A client that has gone is no trouble.
                thread::spawn(move || drop(serve(client, &*answer)));
            }
        });
        Self { dir }
    }

    pub(crate) fn uri(&self) -> String {
        format!("nbd+unix:///?socket={}", self.dir.path().join("socket").display())
    }
}

fn serve(mut client: UnixStream, answer: &(impl Fn(Ask) -> Answer + ?Sized)) -> io::Result<()> {
    client.set_write_timeout(Some(PATIENCE))?;
    client.write_all(&newstyle_greeting(3))?;
    client.read_exact(&mut [0; 4])?;
    let mut haggles = true;
    loop {
        let ask = if haggles { option(&mut client)? } else { command(&mut client)? };
        match answer(ask) {
            Answer::Once(bytes) => client.write_all(&bytes)?,
            Answer::ForEver(bytes) => {
                let many = bytes.repeat(1 + (1 << 16) / bytes.len());
                loop {
                    client.write_all(&many)?;
                }
            }
            Answer::HangUp => return Ok(()),
        }
        haggles &= !matches!(ask, Ask::Option(GO));
    }
}

fn option(client: &mut UnixStream) -> io::Result<Ask> {
    let mut header = [0; 16];
    client.read_exact(&mut header)?;
    let [option, length] = [8, 12].map(|at| u32::from_be_bytes(header[at..at + 4].try_into().unwrap()));
    client.read_exact(&mut vec![0; length as usize])?;
    Ok(Ask::Option(option))
}

fn command(client: &mut UnixStream) -> io::Result<Ask> {
    let mut header = [0; 28];
    client.read_exact(&mut header)?;
    let kind = u16::from_be_bytes([header[6], header[7]]);
    Ok(Ask::Command { kind, cookie: header[8..16].try_into().unwrap() })
}

/// The replies to an option, and the one that says that these were all.
pub(crate) fn replies(option: u32, replies: &[(u32, Vec<u8>)]) -> Answer {
    let all = replies.iter().map(|(kind, payload)| option_reply(option, *kind, payload));
    Answer::Once(all.chain([option_reply(option, 1, b"")]).collect::<Vec<_>>().concat())
}

/// What an export of so many bytes is: readable, with flush.
pub(crate) fn facts(size: u64) -> (u32, Vec<u8>) {
    (3, [&[0, 0][..], &size.to_be_bytes(), &5u16.to_be_bytes()].concat())
}

/// A name of an export with a description, as a reply to LIST has it.
pub(crate) fn listed(name: &[u8], description: &[u8]) -> (u32, Vec<u8>) {
    (2, [&u32::try_from(name.len()).unwrap().to_be_bytes()[..], name, description].concat())
}

/// A context, with the id 1.
pub(crate) fn context(name: &[u8]) -> (u32, Vec<u8>) {
    (4, [&[0, 0, 0, 1], name].concat())
}

/// What an honest server of so many bytes says, with one context.
pub(crate) fn usual(ask: Ask, size: u64, metadata: &[u8]) -> Answer {
    match ask {
        Ask::Option(option @ LIST) => replies(option, &[listed(b"x", b"")]),
        Ask::Option(option @ (INFO | GO)) => replies(option, &[facts(size)]),
        Ask::Option(STRUCTURED) => replies(STRUCTURED, &[]),
        Ask::Option(option @ (LIST_CONTEXTS | SET_CONTEXTS)) => replies(option, &[context(metadata)]),
        Ask::Option(option) => Answer::Once(option_reply(option, 0x8000_0001, b"")),
        Ask::Command { kind: 2, .. } => Answer::HangUp,
        Ask::Command { cookie, .. } => Answer::Once(chunk(cookie, true, 0, b"")),
    }
}

pub(crate) fn chunk(cookie: [u8; 8], last: bool, kind: u16, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&[0x66, 0x8e, 0x33, 0xef, 0, last.into()][..], &kind.to_be_bytes(), &cookie, &length, payload].concat()
}
