//! Text from a server cannot play tricks on a terminal.

use nbd_testkit::{Nbdkit, Script, newstyle_greeting};
use serde_json::Value;

use crate::common::{nbd, option_reply};

/// Clears the screen, deletes, reverses, and is invisible.
const NASTY: &str = "a\u{1b}[2J\u{7f}\u{9b}31m\u{202e}\r\nb\u{feff}\"\\";

fn assert_harmless(text: &str) {
    let bad = |c: char| c != '\n' && c != '\t' && (c.is_control() || "\u{202e}\u{feff}".contains(c));
    assert!(!text.contains(bad), "{text:?}");
}

#[test]
fn a_description() {
    let server = Nbdkit::memory("1M")
        .filter("exportname")
        .arg("default-export=")
        .arg("exportname=")
        .arg("exportname-list=explicit");
    let Some(server) = server.arg(format!("exportdesc=fixed:{NASTY}")).start() else { return };
    for mode in [&[][..], &["--list"]] {
        let args = |json: &[&'static str]| [&["info"], mode, json, &[&server.uri()[..]]].concat().join("\u{0}");
        let run = nbd(args(&[]).split('\0')).ok();
        assert_harmless(run.text());
        assert!(
            run.text().contains("\tdescription: a\\u{1b}[2J\\u{7f}\\u{9b}31m\\u{202e}\\r\\nb\\u{feff}\"\\\\\n"),
            "{run:?}"
        );
        let run = nbd(args(&["--json"]).split('\0')).ok();
        assert_harmless(run.text());
        let value: Value = serde_json::from_str(run.text()).unwrap();
        assert_eq!(value["exports"][0]["description"], NASTY);
    }
}

#[test]
fn the_name_of_an_export() {
    let name = "x\u{1b}]0;title\u{7}\"";
    let length = u32::try_from(name.len()).unwrap().to_be_bytes();
    let option = |code: u32, length: usize| {
        [&b"IHAVEOPT"[..], &code.to_be_bytes(), &u32::try_from(length).unwrap().to_be_bytes()].concat()
    };
    let script = || {
        Script::new()
            .send(newstyle_greeting(3))
            .expect([0, 0, 0, 3])
            // Neither extended headers nor structured replies.
            .expect(option(11, 0))
            .send(option_reply(11, 0x8000_0001, b""))
            .expect(option(8, 0))
            .send(option_reply(8, 0x8000_0001, b""))
            .expect(option(3, 0))
            .send(option_reply(3, 2, &[&length, name.as_bytes()].concat()))
            .send(option_reply(3, 1, b""))
            .expect_len(16 + 4 + name.len() + 2 + 6)
            .send(option_reply(6, 0x8000_0002, NASTY.as_bytes()))
            .hold()
            .listen()
    };
    let server = script();
    let run = nbd(["info", "--list", &server.uri()]).ok();
    assert_harmless(run.text());
    assert!(run.text().contains("export=\"x\\u{1b}]0;title\\u{7}\\\"\":\n"), "{run:?}");
    assert!(run.text().contains("the server's policy denies NBD_OPT_INFO"), "{run:?}");
    let server = script();
    let run = nbd(["info", "--list", "--json", &server.uri()]).ok();
    assert_harmless(run.text());
    let value: Value = serde_json::from_str(run.text()).unwrap();
    assert_eq!(value["exports"][0]["export-name"], name);
}

#[test]
fn an_argument_that_is_wrong() {
    for args in [["serve", NASTY], ["serve", &format!("--{NASTY}")], ["info", &format!("--timeout={NASTY}")]] {
        let run = nbd(args);
        assert_eq!(run.code, Some(1));
        assert_harmless(&run.errors);
        assert!(run.errors.contains("\\u{202e}\\r"), "{run:?}");
    }
}

#[test]
fn the_words_of_a_refusal() {
    let script = Script::new()
        .send(newstyle_greeting(3))
        .expect_len(4 + 16)
        .send(option_reply(11, 0x8000_0001, b""))
        .expect_len(16)
        .send(option_reply(8, 0x8000_0001, b""))
        .expect_len(16 + 4 + 2 + 6)
        .send(option_reply(7, 0x8000_0002, NASTY.as_bytes()))
        .hold()
        .listen();
    let failure = nbd(["info", "--size", &script.uri()]).failure();
    assert!(failure.contains("the server's policy denies NBD_OPT_GO: a\\u{1b}[2J"), "{failure}");
}
