//! Given file descriptors that this driver cannot use. Another may take whatever can be polled.

use std::os::unix::net::UnixDatagram;

use rustix::pipe::{PipeFlags, pipe_with};

use crate::addresses::message;
use crate::driver::ConnectOptions;

#[test]
fn what_is_no_stream_socket_is_refused() {
    let (pipe, _writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let (datagram, _other) = UnixDatagram::pair().unwrap();
    let file = tempfile::tempfile().unwrap();
    for fd in [pipe, datagram.into(), file.into()] {
        let message = message(ConnectOptions::new().connect_fd(fd, ""));
        assert!(message.contains("file descriptor") && message.to_lowercase().contains("socket"), "{message}");
    }
}
