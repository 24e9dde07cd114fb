//! What the options of `nbd copy` do.

use std::ffi::OsStr;

use nbd_testkit::{Disk, Nbdkit, Server, pattern};

use crate::common::{
    allocated, assert_file, assert_same, command, full_of_garbage, memory, nbd, nbd_fed, read_back, write,
};

/// A server that notes each request with its offset and length.
fn logged(disk: Disk) -> Option<(Server, tempfile::TempDir)> {
    let dir = tempfile::tempdir().unwrap();
    let mut arg = std::ffi::OsString::from("logfile=");
    arg.push(dir.path().join("log"));
    Some((Nbdkit::disk(disk).filter("log").arg(arg).start()?, dir))
}

/// The requests of one kind that a server has noted.
fn requests(dir: &tempfile::TempDir, kind: &str) -> Vec<String> {
    let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
    let wanted = format!(" {kind} id=");
    log.lines().filter(|line| line.contains(&wanted)).map(str::to_owned).collect()
}

fn half() -> Disk {
    Disk::empty(4 << 20).data(0, pattern(2 << 20, 1))
}

#[test]
fn holes_are_not_read_unless_wanted() {
    let Some((server, log)) = logged(half()) else { return };
    nbd(["copy", &server.uri(), "null:"]).ok();
    assert_eq!(requests(&log, "Read").len(), 8, "256 KiB each");
    let Some((server, log)) = logged(half()) else { return };
    nbd(["copy", "--no-extents", &server.uri(), "null:"]).ok();
    assert_eq!(requests(&log, "Read").len(), 16);
}

#[test]
fn requests_have_the_size_asked_for() {
    for (size, count) in [("4k", 512), ("64k", 32), ("1M", 2), ("32M", 1)] {
        let Some((server, log)) = logged(half()) else { return };
        nbd(["copy", &format!("--request-size={size}"), &server.uri(), "null:"]).ok();
        assert_eq!(requests(&log, "Read").len(), count, "{size}");
    }
}

#[test]
fn one_at_a_time_and_in_order() {
    let Some((server, log)) = logged(half()) else { return };
    let destination = logged(Disk::empty(4 << 20)).unwrap();
    nbd(["copy", "--synchronous", &server.uri(), &destination.0.uri()]).ok();
    let written = std::fs::read(destination.0.data_path()).unwrap();
    assert_same(&written, &half().contents());
    for (log, kind) in [(&log, "Read"), (&destination.1, "Write")] {
        let text = std::fs::read_to_string(log.path().join("log")).unwrap();
        let relevant: Vec<_> = text.lines().filter(|line| line.contains(&format!("{kind} id="))).collect();
        // A request, and its end before the next one.
        for pair in relevant.chunks(2) {
            assert!(pair[0].ends_with(" ...") && pair[1].contains(&format!(" ...{kind}")), "{pair:?}");
        }
        let offsets: Vec<_> = requests(log, kind).iter().map(|line| offset(line)).collect();
        assert!(offsets.is_sorted() && !offsets.is_empty(), "{offsets:?}");
    }
}

fn offset(line: &str) -> u64 {
    let (_, rest) = line.split_once("offset=0x").unwrap();
    u64::from_str_radix(rest.split_whitespace().next().unwrap(), 16).unwrap()
}

#[test]
fn zeroes_are_made_and_kept_as_asked() {
    let zeroes = vec![0; 1 << 20];
    let count = |options: &[&str]| {
        let (server, log) = logged(Disk::patterned(1 << 20, 1))?;
        let uri = server.uri();
        nbd_fed([&["copy"], options, &["-", &uri]].concat(), &zeroes).ok();
        let contents = std::fs::read(server.data_path()).unwrap();
        Some((requests(&log, "Write").len(), requests(&log, "Zero").len(), contents, allocated(server.data_path())))
    };
    let Some((writes, made, contents, room)) = count(&[]) else { return };
    assert!(writes == 0 && made > 0 && contents == zeroes && room == 0);
    let (writes, made, contents, room) = count(&["--sparse=0"]).unwrap();
    assert!(writes > 0 && made == 0 && contents == zeroes && room == 1 << 20);
    let (writes, made, contents, _) = count(&["--destination-is-zero"]).unwrap();
    assert!(writes == 0 && made == 0 && contents == pattern(1 << 20, 1));
    let (.., contents, room) = count(&["--allocated"]).unwrap();
    assert!(contents == zeroes && room == 1 << 20);
}

#[test]
fn allocated_leaves_no_holes() {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("to");
    let Some(source) = Nbdkit::disk(half()).start() else { return };
    nbd([OsStr::new("copy"), "--allocated".as_ref(), source.uri().as_ref(), to.as_ref()]).ok();
    assert_file(&to, &half().contents());
    assert!(allocated(&to) >= 4 << 20, "{}", allocated(&to));

    write(&to, &[]);
    std::fs::File::options().write(true).open(&to).unwrap().set_len(4 << 20).unwrap();
    let Some(destination) = Nbdkit::file(&to).start() else { return };
    nbd(["copy", "--allocated", &source.uri(), &destination.uri()]).ok();
    assert_file(&to, &half().contents());
    assert!(allocated(&to) >= 4 << 20, "{}", allocated(&to));
}

#[test]
fn flush_comes_last() {
    let Some((server, log)) = logged(Disk::empty(4 << 20)) else { return };
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("from");
    write(&from, &pattern(1 << 20, 1));
    nbd([OsStr::new("copy"), from.as_ref(), server.uri().as_ref()]).ok();
    assert_eq!(requests(&log, "Flush").len(), 0);
    nbd([OsStr::new("copy"), "--flush".as_ref(), from.as_ref(), server.uri().as_ref()]).ok();
    assert_eq!(requests(&log, "Flush").len(), 1);
    let text = std::fs::read_to_string(log.path().join("log")).unwrap();
    assert!(text.rfind(" Flush id=") > text.rfind(" Write id="));
    // Where it means less it is no error.
    let to = dir.path().join("to");
    nbd([OsStr::new("copy"), "--flush".as_ref(), from.as_ref(), to.as_ref()]).ok();
    nbd([OsStr::new("copy"), "--flush".as_ref(), from.as_ref(), "null:".as_ref()]).ok();
    nbd([OsStr::new("copy"), "--flush".as_ref(), from.as_ref(), "-".as_ref()]).ok();
}

#[test]
fn progress_is_told_on_a_file_descriptor() {
    let Some(server) = full_of_garbage(8 << 20) else { return };
    let dir = tempfile::tempdir().unwrap();
    let lines = dir.path().join("lines");
    let nbd = command().get_program().to_owned();
    let script =
        format!("exec \"$0\" copy --request-size=64k --progress=3 '{}' null: 3>'{}'", server.uri(), lines.display());
    let status = std::process::Command::new("sh").arg("-c").arg(script).arg(nbd).status().unwrap();
    assert!(status.success());
    let text = std::fs::read_to_string(lines).unwrap();
    let numbers: Vec<u64> = text.lines().map(|line| line.strip_suffix("/100").unwrap().parse().unwrap()).collect();
    assert!(numbers.first() == Some(&0) && numbers.last() == Some(&100) && numbers.is_sorted(), "{text}");
}

#[test]
fn progress_without_a_terminal_is_lines_and_only_if_wanted() {
    let Some(server) = Nbdkit::memory("1M").start() else { return };
    let run = nbd(["copy", "-p", &server.uri(), "null:"]);
    assert_eq!((run.code, &run.errors[..]), (Some(0), "0/100\n100/100\n"));
    nbd(["copy", "-p", "-q", &server.uri(), "null:"]).ok();
    nbd(["copy", "--progress=99", &server.uri(), "null:"]).failure();
}

#[test]
fn many_small_requests_with_little_memory() {
    let Some(source) = Nbdkit::disk(half()).start() else { return };
    let Some(destination) = memory(Nbdkit::memory("4M")) else { return };
    for options in [
        &["--request-size=4k", "-R", "1000"][..],
        &["--request-size=4k", "-R", "65536", "--queue-size=1G"],
        &["--request-size=32M", "--queue-size=1k"],
        &["--request-size=4k", "-R", "1", "-S", "512"],
    ] {
        nbd_fed(["copy", "-", &destination.uri()], &vec![0xa5; 4 << 20]).ok();
        let (from, to) = (source.uri(), destination.uri());
        nbd([&["copy"], options, &[&from, &to]].concat()).ok();
        assert_same(&read_back(&destination.uri()), &half().contents());
    }
}
