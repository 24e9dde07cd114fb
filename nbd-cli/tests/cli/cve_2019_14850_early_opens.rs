//! CVE-2019-14850, of `nbd serve`: what lies behind a server is opened for everybody who connects.
//!
//! We promise: the file of an export is opened for a client when it asks for the export, and not for its connection.

use std::path::Path;

use crate::raw::Raw;
use crate::serve::socket_in;
use crate::serving::{Serving, must_end};

/// How often a process has a file open.
fn opens(process: &Path, file: &Path) -> usize {
    let fds = std::fs::read_dir(process.join("fd")).unwrap();
    fds.filter(|fd| std::fs::read_link(fd.as_ref().unwrap().path()).is_ok_and(|target| target == file)).count()
}

#[test]
fn a_file_is_not_opened_for_a_client_that_only_connects() {
    must_end(|| {
        let dir = tempfile::tempdir().unwrap();
        let (socket, file) = (socket_in(dir.path()), dir.path().canonicalize().unwrap().join("disk"));
        std::fs::write(&file, [7; 4096]).unwrap();
        let mut server = Serving::start(["--unix", &socket, &format!("file:{}", file.display())]);
        server.line();
        // Who has its greeting has been taken in.
        let _idle: Vec<_> = (0..10).map(|_| Raw::greeted(Path::new(&socket))).collect();
        assert_eq!(opens(&server.proc(), &file), 0);
        let _user = Raw::connected(Path::new(&socket));
        assert_eq!(opens(&server.proc(), &file), 1);
    });
}
