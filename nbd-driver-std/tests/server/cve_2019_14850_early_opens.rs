//! CVE-2019-14850: a server opens what lies behind it for everybody who connects, before a word is said; whoever opens
//! sockets in a loop makes it do a lot of work for nothing.
//!
//! We promise: the backend is opened when a client asks for the export by its name, and not before: not for a connection,
//! not for haggling, not for a list.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::disk::TestDisk;
use crate::driver::{Export, ServerOptions};
use crate::raw::{ERR_UNKNOWN, OPT_ABORT, OPT_EXPORT_NAME, OPT_LIST, OPT_STRUCTURED_REPLY, REP_ACK, Raw};
use crate::support::{KIB, must_end, serve_with};

#[test]
fn nothing_is_opened_for_a_client_before_it_has_asked_for_the_export() {
    must_end(|| {
        let opened = Arc::new(AtomicUsize::new(0));
        let counter = opened.clone();
        let export = Export::opened_by("disk", move || {
            counter.fetch_add(1, Ordering::SeqCst);
            Ok(TestDisk::empty(KIB).share())
        });
        let server = serve_with(ServerOptions::new(), [export]);
        let socket = server.socket();
        let mut idle: Vec<_> = (0..20).map(|_| Raw::greeted(&socket)).collect();
        for raw in &mut idle {
            raw.option(OPT_STRUCTURED_REPLY, &[]);
            assert_eq!(raw.option_reply().0, REP_ACK);
            raw.option(OPT_LIST, &[]);
            while raw.option_reply().0 != REP_ACK {}
            assert_eq!(raw.go("another").unwrap_err().0, ERR_UNKNOWN);
        }
        let (leaving, lost) = idle.split_at_mut(10);
        for raw in leaving {
            raw.option(OPT_ABORT, &[]);
            assert_eq!(raw.option_reply().0, REP_ACK);
            raw.expect_end();
        }
        for raw in lost {
            raw.option(OPT_EXPORT_NAME, b"another");
            raw.expect_end();
        }
        assert_eq!(opened.load(Ordering::SeqCst), 0);
        let _user = Raw::simple(&socket);
        assert_eq!(opened.load(Ordering::SeqCst), 1);
        server.end();
    });
}
