//! CVE-2020-10761: a client asks for an export by a name as long as the protocol allows, and the error that quotes it gets
//! longer than the protocol allows.
//!
//! We promise: the words that a server has for it are at most 4096 bytes, whole UTF-8, and the handshake goes on.

use crate::disk::TestDisk;
use crate::driver::backend::Failure;
use crate::driver::nbd_proto::wire::number::ErrorValue;
use crate::driver::{Client, Export, ServerOptions};
use crate::raw::{ERR_POLICY, ERR_UNKNOWN, Raw};
use crate::support::{KIB, message, must_end, serve_with};

#[test]
fn words_about_a_name_of_4096_bytes_keep_within_the_protocol() {
    must_end(|| {
        let fails = Export::opened_by("fails", || Err(Failure::new(ErrorValue::EIO, "\u{20ac}".repeat(2000))));
        let server = serve_with(ServerOptions::new(), [Export::shared("disk", TestDisk::empty(KIB).share()), fails]);
        let mut raw = Raw::greeted(&server.socket());
        // Of one to four bytes each; and such as are quoted by more than they are.
        for character in ["x", "\u{e9}", "\u{20ac}", "\u{1f600}", "\u{1}", "\u{202e}"] {
            let mut name = character.repeat(4096 / character.len());
            name.push_str(&"x".repeat(4096 - name.len()));
            // The reader of the reply wants UTF-8.
            let (error, text) = raw.go(&name).unwrap_err();
            assert_eq!(error, ERR_UNKNOWN);
            assert!(text.starts_with("there is no export") && (4000..=4096).contains(&text.len()), "{}", text.len());
        }
        let (error, text) = raw.go("fails").unwrap_err();
        assert_eq!((error, text.len()), (ERR_POLICY, 4095));
        raw.go("disk").unwrap();
        // Our own client shows all of that, and no more.
        let text = message(Client::connect(&server.uri_of(&"x".repeat(4096))));
        assert!(text.contains("there is no export"), "{text}");
        server.end();
    });
}
