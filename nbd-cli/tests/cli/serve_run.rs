//! `nbd serve --run` is there for a command.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use rustix::process::Signal;

use crate::common::{Run, command, nbd, nbd_fed};
use crate::serve::socket_in;
use crate::serving::Serving;

fn run(line: &str) -> Run {
    nbd(["serve", "--run", line, "memory:1M"])
}

#[test]
fn the_exit_code_is_that_of_the_command() {
    for (line, code) in [
        ("true", 0),
        ("exit 7", 7),
        ("exit 255", 255),
        ("kill -s KILL $$", 137),
        ("kill -s TERM $$", 143),
        ("exec 2>/dev/null; /no/such/program", 127),
    ] {
        assert_eq!(run(line).code, Some(code), "{line}");
    }
}

#[test]
fn output_and_input_are_those_of_the_command() {
    let run = nbd_fed(["serve", "--run", "cat; echo done", "memory:1M"], b"fed\n").ok();
    assert_eq!(run.text(), "fed\ndone\n");
    let run = self::run("echo trouble >&2; exit 3");
    assert_eq!((run.code, &run.bytes[..], &run.errors[..]), (Some(3), &b""[..], "trouble\n"));
}

#[test]
fn the_uri_leads_to_the_disk() {
    let line = format!("{} info --size \"$uri\"", env!("CARGO_BIN_EXE_nbd"));
    for args in [&["memory:1M"][..], &["--tcp=:0", "memory:1M"], &["--export=a=memory:1M"]] {
        let run = nbd([&["serve", "--run", &line], args].concat()).ok();
        assert_eq!(run.text(), "1048576\n", "{args:?}");
    }
}

#[test]
fn the_environment_has_what_there_is() {
    let dir = tempfile::tempdir().unwrap();
    let socket = socket_in(dir.path());
    let line = "echo \"$uri ${unixsocket-none} ${port-none}\"";
    let told = |listen: &str| {
        // From a server that this one runs in.
        let mut serve = command();
        serve.env("uri", "x").env("unixsocket", "y").env("port", "z").args(["serve", "--run", line]);
        let output = serve.args([listen, "memory:1M"]).output().unwrap();
        Run::from(output).ok().text().to_owned()
    };
    assert_eq!(told(&format!("--unix={socket}")), format!("nbd+unix:///?socket={socket} {socket} none\n"));
    let tcp = told("--tcp=:0");
    let port = tcp.trim_end().rsplit(' ').next().unwrap();
    assert_eq!(tcp, format!("nbd://127.0.0.1:{port}/ none {port}\n"));
    let uri = told(&format!("--unix=@{socket}"));
    assert!(uri.ends_with(" none none\n"), "{uri}");
}

#[test]
fn the_private_socket_is_private_and_goes_with_the_command() {
    let dir = tempfile::tempdir().unwrap();
    for (line, code) in [("true", 0), ("exit 3", 3), ("kill -s KILL $$", 137)] {
        let line = format!("stat -c %a \"$(dirname \"$unixsocket\")\"; {line}");
        let output = command().args(["serve", "--run", &line, "memory:1M"]).env("TMPDIR", dir.path()).output();
        let run = Run::from(output.unwrap());
        assert_eq!((run.code, run.text()), (Some(code), "700\n"), "{line}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "{line}");
    }
}

#[test]
fn a_directory_with_a_long_name_is_no_hindrance() {
    let dir = tempfile::tempdir().unwrap();
    let long = dir.path().join("x".repeat(100));
    fs::create_dir(&long).unwrap();
    let mut serve = command();
    serve.args(["serve", "--run", "test -S \"$unixsocket\"", "memory:1M"]);
    Run::from(serve.env("TMPDIR", &long).output().unwrap()).ok();
    // Nor is a short name for it, nor none.
    for short in [".", ""] {
        Run::from(serve.env("TMPDIR", short).current_dir(&long).output().unwrap()).ok();
    }
}

#[test]
fn a_directory_that_is_missing_can_be_chosen() {
    let mut serve = command();
    let output = serve.args(["serve", "--run", "true", "memory:1M"]).env("TMPDIR", "/no/such/dir").output().unwrap();
    let failure = Run::from(output).failure();
    assert!(failure.contains("/no/such/dir") && failure.contains("TMPDIR"), "{failure}");
}

#[test]
fn a_socket_of_the_user_goes_too() {
    let dir = tempfile::tempdir().unwrap();
    let socket = socket_in(dir.path());
    nbd(["serve", "--unix", &socket, "--run", "test -S \"$unixsocket\"", "memory:1M"]).ok();
    assert!(!fs::exists(&socket).unwrap());
}

#[test]
fn the_command_has_signals_as_any_other() {
    let run = run("grep -E '^Sig(Ign|Blk)' /proc/self/status").ok();
    for line in run.text().lines() {
        let mask = u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap();
        for signal in [Signal::INT, Signal::TERM, Signal::PIPE] {
            assert_eq!(mask & (1 << (signal.as_raw() - 1)), 0, "{line}");
        }
    }
}

/// Starts a command that says when it is there, and signals the server then.
fn signalled(line: &str, signal: Signal) -> (Run, usize) {
    let dir = tempfile::tempdir().unwrap();
    let mut serve = command();
    serve.args(["serve", "--run", line, "memory:1M"]).env("TMPDIR", dir.path());
    let mut server = Serving::spawn(&mut serve);
    assert_eq!(server.line(), "ready");
    server.signal(signal);
    (server.end(), fs::read_dir(dir.path()).unwrap().count())
}

#[test]
fn a_signal_goes_to_the_command_which_may_end_as_it_likes() {
    let line = "trap 'echo got it; exit 5' TERM; sleep 1000 & echo ready; wait";
    let (run, left) = signalled(line, Signal::TERM);
    assert_eq!((run.code, run.text(), left), (Some(5), "got it\n", 0));
}

/// The end of the output shows that nobody holds it any more.
#[test]
fn a_signal_goes_to_what_the_command_has_started() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 129)] {
        let (run, left) = signalled("echo ready; sleep 1000; echo not reached", signal);
        assert_eq!((run.code, run.text(), left), (Some(code), "", 0));
    }
}

#[test]
fn a_command_that_does_not_listen_is_killed() {
    let (run, left) = signalled("trap '' TERM; echo ready; sleep 1000; echo not reached", Signal::TERM);
    assert_eq!((run.code, run.text(), left), (Some(137), "", 0));
}

#[test]
fn a_second_signal_ends_all_patience() {
    let dir = tempfile::tempdir().unwrap();
    let socket = socket_in(dir.path());
    let line = "trap '' TERM; echo ready; sleep 1000";
    let mut server = Serving::start(["--unix", &socket, "--run", line, "memory:1M"]);
    assert_eq!(server.line(), "ready");
    server.signal(Signal::TERM);
    server.signal(Signal::HUP);
    // Which of them comes first is up to the system.
    assert!(matches!(server.end().code, Some(129 | 143)));
    assert!(!fs::exists(&socket).unwrap());
}

#[test]
fn so_is_what_it_leaves_behind_after_a_signal() {
    let line = "sh -c 'trap \"\" TERM; echo ready; sleep 1000' & wait";
    let (run, left) = signalled(line, Signal::TERM);
    assert_eq!((run.code, run.text(), left), (Some(143), "", 0));
}

#[test]
fn a_server_that_cannot_start_runs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let proof = dir.path().join("proof");
    let line = format!("touch {}", proof.display());
    nbd(["serve", "--run", &line, "file:/no/such/file"]).failure();
    nbd(["serve", "--run", &line, "--unix", "/no/such/dir/socket", "memory:1M"]).failure();
    assert!(!fs::exists(&proof).unwrap());
}

#[test]
fn a_command_may_end_while_it_has_requests_in_flight() {
    // What it leaves running is hung up on.
    let line = format!("{} copy \"$uri\" - & read line; exit 4", env!("CARGO_BIN_EXE_nbd"));
    let mut child = command()
        .args(["serve", "--run", &line, "memory:64M"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut server = Serving::adopt(child);
    server.await_output();
    stdin.write_all(b"\n").unwrap();
    assert_eq!(server.end().code, Some(4));
}
