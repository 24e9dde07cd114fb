//! Servers that send without end: each command ends with an error that tells the bound, and with little memory.

use std::process::Command;

use crate::common::{Run, command, option_reply};
use crate::hostile::{
    Answer, Ask, BLOCK_STATUS, GO, Hostile, INFO, LIST, LIST_CONTEXTS, READ, SET_CONTEXTS, chunk, context, listed,
    usual,
};

/// What a command may have for its data, in KiB: what the longest handshake takes as text, three times, and the program.
const BOUND: u32 = 192 << 10;

/// Runs the command with so much memory and no more: one that wants more is aborted.
fn run(args: &[&str]) -> Run {
    let nbd = command();
    let mut limited = Command::new("sh");
    limited.args(["-c", &format!("ulimit -d {BOUND} && exec \"$0\" \"$@\"")]).arg(nbd.get_program()).args(args);
    limited.output().unwrap().into()
}

#[test]
fn who_wants_more_than_the_bound_fails() {
    let bytes = u64::from(BOUND) << 11;
    let run = run(&["copy", "/dev/zero", "null:", &format!("--queue-size={bytes}"), "--request-size=32M"]);
    assert!(run.failure().contains("out of memory"));
}

#[test]
fn replies_without_end_in_the_handshake() {
    let (many, much) = ("brought more than 65536 replies", "add up to more than 33554432 bytes");
    let long = [b'n'; 4096];
    for (args, option, reply, expected) in [
        (&["info", "--list"][..], LIST, listed(b"n", b"d"), many),
        (&["info", "--list"], LIST, listed(&long, &long), much),
        (&["info", "--list", "--json"], INFO, (3, vec![0, 1, b'n']), many),
        (&["info", "--list"], LIST_CONTEXTS, context(b"n"), many),
        (&["info", "--list"], LIST_CONTEXTS, context(&long), much),
        (&["info"], LIST_CONTEXTS, context(b"n"), many),
        (&["info"], GO, (3, [&[0, 2], &long[..]].concat()), much),
        (&["info", "--map"], SET_CONTEXTS, context(b"base:allocation"), "and several came"),
        (&["copy", "--quiet", "null:"], GO, (3, vec![0, 1, b'n']), many),
    ] {
        let server = Hostile::start(move |ask| match ask {
            Ask::Option(asked) if asked == option => Answer::ForEver(option_reply(option, reply.0, &reply.1)),
            _ => usual(ask, 1 << 30, b"base:allocation"),
        });
        let uri = server.uri();
        let (head, tail) = args.split_at(if args[0] == "copy" { 2 } else { args.len() });
        let failure = run(&[head, &[&uri], tail].concat()).failure();
        assert!(failure.contains(expected) && failure.contains(&uri), "{args:?}: {failure}");
    }
}

/// As many extents as there may be in one answer, each of so many bytes, and each of another kind than its neighbour.
fn longest_status(cookie: [u8; 8], length: u32, kinds: u32) -> Answer {
    let extents = (0..1 << 20).flat_map(|at: u32| [length, at % kinds].map(u32::to_be_bytes).concat());
    Answer::Once(chunk(cookie, true, 5, &[0, 0, 0, 1].into_iter().chain(extents).collect::<Vec<u8>>()))
}

#[test]
fn a_map_of_very_many_kinds() {
    let server = Hostile::start(|ask| match ask {
        Ask::Command { kind: BLOCK_STATUS, cookie, .. } => longest_status(cookie, 1, 1 << 20),
        _ => usual(ask, 1 << 62, b"x:kinds"),
    });
    let failure = run(&["info", "--map=x:kinds", "--totals", &server.uri()]).failure();
    assert!(failure.contains("more than 65536 kinds"), "{failure}");
}

#[test]
fn a_map_that_never_ends() {
    let server = Hostile::start(|ask| match ask {
        Ask::Command { kind: BLOCK_STATUS, cookie, .. } => longest_status(cookie, 1, 2),
        _ => usual(ask, 1 << 62, b"base:allocation"),
    });
    for more in [&["--json"][..], &["--totals"]] {
        let run = run(&[&["info", "--map", "--timeout=4"], more, &[&server.uri()]].concat());
        assert!(run.errors.contains("the map did not end within 4 s"), "{}", run.errors);
        assert_eq!(run.code, Some(1));
    }
}

/// The extents are no help, so all is read; and the read never ends.
#[test]
fn a_copy_from_a_server_without_end() {
    let server = Hostile::start(|ask| match ask {
        Ask::Command { kind: BLOCK_STATUS, cookie, .. } => longest_status(cookie, 1, 2),
        Ask::Command { kind: READ, cookie, .. } => {
            Answer::ForEver(chunk(cookie, false, 0x8001, &[&[0, 0, 0, 5, 16, 0][..], &[b'x'; 4096]].concat()))
        }
        _ => usual(ask, 1 << 40, b"base:allocation"),
    });
    let failure = run(&["copy", "--quiet", &server.uri(), "null:"]).failure();
    assert!(failure.contains("more than 65536 error chunks"), "{failure}");
}
