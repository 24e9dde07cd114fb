//! Whatever text a server sends, in whatever field: no command lets it at the terminal, and JSON tells it exactly.

use serde_json::Value;

use crate::common::{Run, command, option_reply};
use crate::hostile::{
    Answer, Ask, BLOCK_STATUS, GO, Hostile, INFO, LIST, LIST_CONTEXTS, READ, SET_CONTEXTS, chunk, context, facts,
    listed, replies, usual,
};
use crate::nasty::{assert_harmless, assert_run_harmless, nasty};

/// What no name is: bytes of no encoding, cut characters, surrogates.
const INVALID: &[u8] = b"x\xff\xfe\x9b31m\xc3\xed\xa0\x80\xf0\x9f\x1b[2Jy";

const SIZE: u64 = 1 << 20;

/// The ways to look at a server; `@` stands for its URI.
const WAYS: [&[&str]; 13] = [
    &["info", "@"],
    &["info", "--json", "@"],
    &["info", "--list", "@"],
    &["info", "--list", "--json", "@"],
    &["info", "--map", "@"],
    &["info", "--map", "--json", "@"],
    &["info", "--map", "--totals", "@"],
    &["info", "--size", "@"],
    &["info", "--can", "connect", "@"],
    &["copy", "@", "null:"],
    &["copy", "--progress=1", "@", "-"],
    &["copy", "/dev/null", "@"],
    &["copy", "--no-extents", "@", "null:"],
];

/// Runs it in every way, quietly and telling all; gives what came of the quiet ones.
#[track_caller]
fn in_every_way(server: &Hostile) -> Vec<(String, Run)> {
    let mut runs = Vec::new();
    for way in WAYS {
        let uri = server.uri();
        let args: Vec<_> = way.iter().map(|arg| if *arg == "@" { &uri[..] } else { arg }).collect();
        for loud in [false, true] {
            let mut command = command();
            command.args(&args);
            if loud {
                command.arg("--verbose");
            }
            let run: Run = command.output().unwrap().into();
            let what = format!("{args:?}, verbose: {loud}");
            assert_run_harmless(&run, &what);
            if loud {
                assert!(!run.errors.is_empty(), "{what}: nothing is told");
            } else {
                runs.push((way.join(" "), run));
            }
        }
    }
    runs
}

fn named(field: u16, text: &[u8]) -> (u32, Vec<u8>) {
    (3, [&field.to_be_bytes()[..], text].concat())
}

/// Has this text in each field of a handshake that goes well.
fn talks(ask: Ask, text: &[u8], name: &[u8]) -> Answer {
    match ask {
        Ask::Option(LIST) => replies(LIST, &[listed(name, text), listed(b"plain", text)]),
        Ask::Option(option @ (INFO | GO)) => replies(option, &[facts(SIZE), named(1, name), named(2, text)]),
        Ask::Option(option @ LIST_CONTEXTS) => replies(option, &[context(name)]),
        _ => usual(ask, SIZE, b"base:allocation"),
    }
}

fn json(runs: &[(String, Run)], way: &str) -> Value {
    let (_, run) = runs.iter().find(|(at, _)| at == way).unwrap();
    assert_eq!(run.code, Some(0), "{run:?}");
    serde_json::from_slice(&run.bytes).unwrap()
}

#[test]
fn of_names_and_descriptions() {
    let text = nasty();
    let name = text.clone();
    let server = Hostile::start(move |ask| talks(ask, name.as_bytes(), name.as_bytes()));
    let runs = in_every_way(&server);
    for way in ["info --json @", "info --list --json @"] {
        let export = &json(&runs, way)["exports"][0];
        assert_eq!(export["export-name"], text, "{way}");
        assert_eq!(export["description"], text, "{way}");
        assert_eq!(export["contexts"][0], text, "{way}");
    }
    let shown = &runs.iter().find(|(way, _)| way == "info @").unwrap().1;
    assert_eq!(shown.code, Some(0));
    // Our own colours and no others.
    let run: Run = command().args(["info", "--color", &server.uri()]).output().unwrap().into();
    let plain = run.text().replace("\u{1b}[1m", "").replace("\u{1b}[32m", "").replace("\u{1b}[0m", "");
    assert_eq!(plain, shown.text());
}

/// A context by a nasty name can be asked for, too.
#[test]
fn of_a_context_that_is_mapped() {
    let text = nasty();
    let name = text.clone();
    let server = Hostile::start(move |ask| match ask {
        Ask::Option(SET_CONTEXTS) => replies(SET_CONTEXTS, &[context(name.as_bytes())]),
        Ask::Command { kind: BLOCK_STATUS, cookie, .. } => {
            let payload = [1u32, SIZE as u32, 1].map(u32::to_be_bytes).concat();
            Answer::Once(chunk(cookie, true, 5, &payload))
        }
        _ => usual(ask, SIZE, b""),
    });
    for more in [&[][..], &["--json"], &["--totals"], &["--verbose"]] {
        let run: Run =
            command().arg("info").arg(format!("--map={text}")).args(more).arg(server.uri()).output().unwrap().into();
        assert_run_harmless(&run, "a map");
        assert_eq!(run.code, Some(0), "{run:?}");
    }
    // Another one than was asked for: both are told.
    let run: Run = command().args(["info", "--map=x:other", &server.uri()]).output().unwrap().into();
    assert_run_harmless(&run, "another map");
    assert!(run.failure().contains("was asked for"));
}

#[test]
fn of_refusals() {
    for text in [nasty().into_bytes(), INVALID.to_vec()] {
        for option in [LIST, INFO, GO, LIST_CONTEXTS, SET_CONTEXTS, 8, 11] {
            for reply in [0x8000_0002, 0x8000_0006, 0x8000_7777, 0x7777] {
                let text = text.clone();
                let server = Hostile::start(move |ask| match ask {
                    Ask::Option(asked) if asked == option => Answer::Once(option_reply(option, reply, &text)),
                    _ => usual(ask, SIZE, b"base:allocation"),
                });
                for way in ["info", "--list", "--map", "--json"] {
                    let mut command = command();
                    command.args(["info", "--verbose", &server.uri()]);
                    if way != "info" {
                        command.arg(way);
                    }
                    let run: Run = command.output().unwrap().into();
                    assert_run_harmless(&run, &format!("{way}, option {option}, reply {reply:#x}"));
                }
            }
        }
    }
}

/// In JSON the words of a refusal are as they are shown.
#[test]
fn of_a_refusal_in_json() {
    let server = Hostile::start(move |ask| match ask {
        Ask::Option(INFO) => Answer::Once(option_reply(INFO, 0x8000_0002, nasty().as_bytes())),
        _ => usual(ask, SIZE, b"base:allocation"),
    });
    let runs = in_every_way(&server);
    let value = json(&runs, "info --list --json @");
    let error = value["exports"][0]["error"].as_str().unwrap();
    assert!(error.contains("\\u{1b}[2J") && error.ends_with("<é>y"), "{error}");
    assert_harmless(error.as_bytes(), "the refusal in JSON");
}

#[test]
fn of_failed_commands() {
    for text in [nasty().into_bytes(), INVALID.to_vec()] {
        for failing in [READ, BLOCK_STATUS] {
            let payload = [&[0, 0, 0, 5][..], &(text.len() as u16).to_be_bytes(), &text].concat();
            let server = Hostile::start(move |ask| match ask {
                Ask::Command { kind, cookie } if kind == failing => Answer::Once(chunk(cookie, true, 0x8001, &payload)),
                _ => usual(ask, SIZE, b"base:allocation"),
            });
            let runs = in_every_way(&server);
            let told =
                runs.iter().filter(|(_, run)| run.errors.contains("NBD_EIO") && run.errors.contains("31m")).count();
            assert!(told > 0, "{runs:?}");
        }
    }
}

/// A name that is no UTF-8 could be asked for by nobody, so it is refused; text for people is shown as far as it goes.
#[test]
fn of_bytes_that_are_no_text() {
    for name in [INVALID, b"nul\0nul"] {
        let server = Hostile::start(move |ask| talks(ask, b"words", name));
        for (way, run) in in_every_way(&server) {
            assert_eq!(run.code, Some(1), "{way}: {run:?}");
            assert!(run.errors.contains("not UTF-8") || run.errors.contains("NUL"), "{way}: {run:?}");
        }
    }
    let server = Hostile::start(move |ask| talks(ask, INVALID, b"name"));
    let runs = in_every_way(&server);
    for way in ["info --json @", "info --list --json @"] {
        assert_eq!(json(&runs, way)["exports"][0]["description"], String::from_utf8_lossy(INVALID).as_ref(), "{way}");
    }
}

/// The name that is asked for comes from the user, and out again in errors.
#[test]
fn of_an_address() {
    let server = Hostile::start(|ask| match ask {
        Ask::Option(GO) => Answer::Once(option_reply(GO, 0x8000_0006, nasty().as_bytes())),
        _ => usual(ask, SIZE, b"base:allocation"),
    });
    let tail = server.uri().replace("nbd+unix:///", "");
    for name in [nasty().as_bytes(), INVALID] {
        let escaped = name.iter().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat();
        for raw in [String::from_utf8_lossy(name).into_owned(), escaped] {
            for head in [&["info"][..], &["info", "--json"], &["copy", "-"], &["attach"]] {
                let uri = format!("nbd+unix:///{raw}{tail}");
                let run: Run = command().arg("-v").args(head).arg(&uri).output().unwrap().into();
                assert_run_harmless(&run, &format!("{head:?} of a nasty address"));
                assert_eq!(run.code, Some(1), "{run:?}");
            }
        }
    }
    for uri in
        [format!("nbd://{}/", nasty()), format!("nbd+unix:///?socket=/{}", nasty()), format!("nbd://a?{}=1", nasty())]
    {
        for head in [&["info"][..], &["copy", "-"], &["attach"]] {
            let run: Run = command().args(head).arg(&uri).output().unwrap().into();
            assert_run_harmless(&run, &format!("{head:?} of a nasty place"));
        }
    }
}
