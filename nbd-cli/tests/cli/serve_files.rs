//! Files that cannot be served are told at the start, with what to do.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::process::Command;

use nbd_driver_std::Client;

use crate::common::{Run, command, nbd, write};
use crate::serve::socket_in;
use crate::serving::Serving;

fn refused(path: &std::path::Path) -> String {
    nbd(["serve", "--tcp=:0", &format!("file:{}", path.display())]).failure()
}

#[test]
fn one_that_is_missing_can_be_made() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["disk", "a 'disk' of $HOME; \\n\"", "-r"] {
        let nbd_here = |run: &mut Command| run.current_dir(dir.path()).output().unwrap();
        let file = format!("file:{name}");
        let failure = Run::from(nbd_here(command().args(["serve", "--tcp=:0", &file]))).failure();
        assert!(failure.contains("No such file"), "{failure}");
        let hint = failure.split('`').nth(1).unwrap();
        assert!(nbd_here(Command::new("sh").args(["-c", hint])).status.success(), "{hint}");
        assert_eq!(fs::metadata(dir.path().join(name)).unwrap().len(), 1 << 30);
        Run::from(nbd_here(command().args(["serve", "--run=true", &file]))).ok();
    }
}

#[test]
fn one_whose_name_cannot_be_typed_has_no_command_that_makes_it() {
    let failure = nbd(["serve", "--tcp=:0", "file:/no/such/\u{1b}[2J"]).failure();
    assert!(failure.contains("file:/no/such/\\u{1b}[2J: No such file") && !failure.contains('`'), "{failure}");
}

#[test]
fn what_is_no_disk_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    let pipe = dir.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for (path, says) in [
        (dir.path(), "a directory is no disk"),
        (&socket, "a socket is no disk"),
        (&pipe, "a pipe is no disk"),
        ("/dev/null".as_ref(), "a character device is no disk"),
    ] {
        let failure = refused(path);
        assert!(failure.contains(says), "{failure}");
    }
}

#[test]
fn one_that_may_only_be_read_is_served_read_only() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    write(&image, &[1; 4096]);
    fs::set_permissions(&image, fs::Permissions::from_mode(0o444)).unwrap();
    let may_write = fs::File::options().write(true).open(&image).is_ok();
    if !may_write {
        let failure = refused(&image);
        assert!(failure.contains("--read-only"), "{failure}");
    }
    let backend = format!("file:{}", image.display());
    let mut server = Serving::start(["--read-only", "--unix", &socket_in(dir.path()), &backend]);
    assert_eq!(nbd(["copy", &server.line(), "-"]).ok().bytes, [1; 4096]);
}

#[test]
fn a_file_of_an_export_is_looked_at_too() {
    let failure = nbd(["serve", "--tcp=:0", "--export=a=file:/no/such/file", "null:1"]).failure();
    assert!(failure.contains("file:/no/such/file"), "{failure}");
}

/// The system sends a signal with that error, and the signal would end the process.
#[test]
fn one_that_may_not_grow_fails_the_write_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    fs::File::create(&image).unwrap().set_len(1 << 20).unwrap();
    let mut limited = Command::new("sh");
    limited.args(["-c", r#"ulimit -f 8; exec "$0" "$@""#, env!("CARGO_BIN_EXE_nbd"), "serve", "--unix"]);
    let mut server = Serving::spawn(limited.arg(socket_in(dir.path())).arg(format!("file:{}", image.display())));
    let client = Client::connect(&server.line()).unwrap();
    let failure = client.write_at(&[1; 512], 512 << 10).unwrap_err().to_string();
    assert!(failure.contains("ENOSPC"), "{failure}");
    client.write_at(&[1; 512], 0).unwrap();
}
