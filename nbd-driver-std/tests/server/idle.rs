//! Limits on clients that do nothing.

use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::disk::{Call, TestDisk};
use crate::driver::{Export, ServerOptions};
use crate::gate::Gate;
use crate::raw::{READ, Raw, WRITE, request};
use crate::support::{MIB, must_end, serve_with};

const SHORT: Duration = Duration::from_millis(50);

fn export() -> Export {
    Export::shared("disk", TestDisk::patterned(64 * MIB, 1).share())
}

#[test]
fn a_client_without_requests_is_hung_up_on() {
    must_end(|| {
        let server = serve_with(ServerOptions::new().idle_timeout(Some(SHORT)), [export()]);
        let mut raw = Raw::simple(&server.socket());
        raw.expect_end();
        server.end();
    });
}

#[test]
fn half_a_write_is_no_reason_to_wait() {
    must_end(|| {
        let server = serve_with(ServerOptions::new().idle_timeout(Some(SHORT)), [export()]);
        let mut raw = Raw::simple(&server.socket());
        raw.send(&[&request(WRITE, 2, 0, 512)[..], &[7; 100]].concat());
        raw.expect_end();
        server.end();
    });
}

#[test]
fn a_client_that_takes_nothing_is_hung_up_on() {
    must_end(|| {
        let server = serve_with(ServerOptions::new().stall_timeout(Some(SHORT)), [export()]);
        let mut raw = Raw::simple(&server.socket());
        raw.request(READ, 1, 0, 32 << 20);
        // Only when the server has hung up is its end of the stream there, behind what the system holds.
        assert!(wait_for_hang_up(&raw));
        assert_eq!(raw.simple_reply(), (0, 1));
        server.end();
    });
}

#[test]
fn it_is_hung_up_on_while_the_backend_is_at_work() {
    must_end(|| {
        let gate = Arc::new(Gate::default());
        let at_gate = gate.clone();
        let disk = TestDisk::patterned(64 * MIB, 1).hook(move |call| {
            if matches!(call, Call::Read { offset: 0, .. }) {
                at_gate.pass();
            }
            Ok(())
        });
        let options = ServerOptions::new().stall_timeout(Some(SHORT));
        let server = serve_with(options, [Export::shared("disk", disk.share())]);
        let mut raw = Raw::simple(&server.socket());
        raw.request(READ, 1, 0, 512);
        raw.request(READ, 2, 1, 32 << 20);
        gate.expect(1);
        assert!(wait_for_hang_up(&raw));
        gate.open();
        server.end();
    });
}

/// Waits for the hang-up without reading.
fn wait_for_hang_up(raw: &Raw) -> bool {
    let mut fds = [PollFd::new(&raw.0, PollFlags::empty())];
    let patience = Timespec::try_from(crate::support::HANG).unwrap();
    poll(&mut fds, Some(&patience)).unwrap();
    fds[0].revents().contains(PollFlags::HUP)
}
