//! Text from clients, from file systems and from the user: none of it gets at the terminal.

use std::ffi::{OsStr, OsString};
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use crate::common::{Run, command, nbd, write};
use crate::nasty::{assert_harmless, assert_run_harmless, nasty};
use crate::raw::Raw;
use crate::serve::socket_in;
use crate::serving::{Serving, must_end};

/// A file's name that plays tricks, short enough to be one, and in no encoding.
fn file_name() -> OsString {
    OsString::from_vec(
        b"x\x1b[2J\x7f\xc2\x9b31m\xe2\x80\xae\xe2\x81\xa6\xd8\x9c\xe2\x80\x8b\r\n\"'\\\xff\x9by".to_vec(),
    )
}

fn joined(head: &str, tail: &Path) -> OsString {
    let mut joined = OsString::from(head);
    joined.push(tail);
    joined
}

fn option(option: u32, payload: &[u8]) -> Vec<u8> {
    [&b"IHAVEOPT"[..], &option.to_be_bytes(), &(payload.len() as u32).to_be_bytes(), payload].concat()
}

fn string(text: &[u8]) -> Vec<u8> {
    [&(text.len() as u32).to_be_bytes()[..], text].concat()
}

/// Sends an option in a connection of its own, and takes whatever comes, until the server hangs up.
fn send_option(socket: &Path, option: Vec<u8>) {
    let mut raw = Raw::greeted(socket);
    raw.0.write_all(&3u32.to_be_bytes()).unwrap();
    // With structured replies, so that there may be contexts; and an end.
    let all = [self::option(8, b""), option, self::option(2, b"")].concat();
    raw.0.write_all(&all).unwrap();
    raw.0.shutdown(std::net::Shutdown::Write).unwrap();
    // In whatever way it ends.
    let _ = raw.0.read_to_end(&mut Vec::new());
}

#[test]
fn of_clients_of_a_server_that_tells_all() {
    let text = nasty();
    let dir = tempfile::tempdir().unwrap();
    let disk = dir.path().join(file_name());
    write(&disk, &[0; 4096]);
    for loud in [false, true] {
        let socket = socket_in(dir.path());
        let mut serve = command();
        serve.args(["serve", "--unix", &socket, "--description", &text, "memory:1M"]);
        let mut export = OsString::from(format!("--export={}=file:", text.replace('=', "")));
        export.push(&disk);
        serve.arg(export);
        if loud {
            serve.arg("--verbose");
        }
        let mut server = Serving::spawn(&mut serve);
        let line = server.line();
        assert_harmless(line.as_bytes(), "the printed address");
        let names = [text.as_bytes(), b"\xff\x9b31m\x1b[2J", b"nul\0\x1b"].map(<[u8]>::to_vec);
        must_end(move || {
            let socket = Path::new(&socket);
            for name in names {
                let name = &name[..];
                let context = [string(b""), 1u32.to_be_bytes().into(), string(name)].concat();
                let other = [string(name), 1u32.to_be_bytes().into(), string(name)].concat();
                for option in [
                    option(1, name),
                    option(6, &[string(name), vec![0, 0]].concat()),
                    option(7, &[string(name), vec![0, 0]].concat()),
                    option(9, &context),
                    option(9, &other),
                    option(10, &context),
                    option(10, &other),
                    option(0x1b5b_324a, name),
                    [&b"\x1b[2J\x9b31m"[..], name].concat(),
                ] {
                    send_option(socket, option);
                }
            }
            // Nonsense behind the handshake.
            let mut raw = Raw::connected(socket);
            raw.0.write_all(&b"\x1b[2J\xc2\x9b31m".repeat(10)).unwrap();
            raw.hung_up();
        });
        let run = server.stop();
        assert_run_harmless(&run, &format!("serve, verbose: {loud}"));
        assert_eq!(run.errors.is_empty(), !loud, "{run:?}");
    }
}

#[test]
fn of_files_that_are_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("none").join(file_name());
    let with = |head: &str| joined(head, &path);
    let (text, timeout) = (nasty(), format!("--timeout={}", nasty()));
    let uri = OsStr::new("nbd+unix:///?socket=/none");
    for args in [
        &[OsStr::new("copy"), path.as_os_str(), OsStr::new("null:")][..],
        &[OsStr::new("copy"), OsStr::new("/dev/null"), path.as_os_str()],
        &[OsStr::new("serve"), &with("file:")],
        &[OsStr::new("serve"), &with("--unix="), OsStr::new("memory:1M")],
        &[OsStr::new("serve"), OsStr::new("--export"), &with("x=file:")],
        &[OsStr::new("serve"), &with("--tcp="), OsStr::new("memory:1M")],
        &[OsStr::new("serve"), path.as_os_str()],
        &[OsStr::new("info"), path.as_os_str()],
        &[OsStr::new("info"), &with("--map="), uri],
        &[OsStr::new("info"), &with("--is="), uri],
        &[OsStr::new("attach"), uri, path.as_os_str()],
        &[OsStr::new("attach"), OsStr::new("--foreground"), &with("--log="), uri],
        &[OsStr::new("attach"), path.as_os_str()],
        &[OsStr::new("detach"), path.as_os_str()],
        &[OsStr::new("status"), path.as_os_str()],
        &[OsStr::new("completion"), path.as_os_str()],
        &[OsStr::new("demo"), &with("--size=")],
        &[OsStr::new("info"), OsStr::new(&timeout), uri],
        &[OsStr::new("serve"), OsStr::new(&text)],
        &[OsStr::new("serve"), OsStr::new("--max-requests"), OsStr::new(&text), OsStr::new("memory:1M")],
        &[OsStr::new(&text)],
        &[path.as_os_str()],
        &[&with("--")],
    ] {
        for loud in [None, Some("--verbose")] {
            let run = nbd(args.iter().copied().chain(loud.map(OsStr::new)));
            assert_run_harmless(&run, &format!("{args:?}"));
            assert_ne!(run.code, Some(0), "{args:?}: {run:?}");
        }
    }
}

/// Of files that are there, and of what is wrong with them.
#[test]
fn of_files_that_are_no_disks() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(file_name());
    std::fs::create_dir(&path).unwrap();
    let file = path.join(file_name());
    write(&file, &[7; 4096]);
    for args in [
        [OsStr::new("copy"), path.as_os_str(), OsStr::new("null:")],
        [OsStr::new("copy"), file.as_os_str(), path.as_os_str()],
        [OsStr::new("copy"), file.as_os_str(), file.as_os_str()],
        [OsStr::new("serve"), &joined("file:", &path), OsStr::new("--tcp=:0")],
        [OsStr::new("serve"), &joined("--unix=", &path), OsStr::new("memory:1M")],
        [OsStr::new("serve"), &joined("--unix=", &file), OsStr::new("memory:1M")],
    ] {
        let run = nbd(args);
        assert_run_harmless(&run, &format!("{args:?}"));
        assert_eq!(run.code, Some(1), "{args:?}: {run:?}");
    }
}

#[test]
fn of_the_environment() {
    let dir = tempfile::tempdir().unwrap();
    for (name, args) in [
        ("NBD_LOG", &["info", "nbd+unix:///?socket=/none"][..]),
        ("NBD_LOG", &["attach", "--foreground", "nbd+unix:///?socket=/none"]),
        ("TMPDIR", &["demo"]),
        ("TMPDIR", &["serve", "--run", "true", "memory:1M"]),
        ("LISTEN_FDS", &["serve", "--run", "true", "memory:1M"]),
    ] {
        for text in [OsString::from(nasty()), dir.path().join(file_name()).into()] {
            let run: Run = command().args(args).env(name, &text).output().unwrap().into();
            assert_run_harmless(&run, &format!("{args:?} with {name}"));
        }
    }
    let run: Run =
        command().args(["info", "nbd://[::1"]).env("NBD_LOG", OsStr::from_bytes(b"\xff")).output().unwrap().into();
    assert_run_harmless(&run, "an environment in no encoding");
}
