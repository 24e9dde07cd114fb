//! `nbdinfo` is told what is served.

use std::process::Command;

use nbd_testkit::Tool;
use serde_json::{Value, json};

use super::site::{Keeper, MIB, Replies, Site, Way, output, text};

fn nbdinfo(args: &[&str], site: &Site) -> Command {
    let mut command = Tool::Nbdinfo.command().unwrap();
    command.args(args).arg(&site.uri);
    command
}

/// All that a client can ask about an export, and the answer.
fn abilities(way: Way, read_only: bool) -> Vec<(&'static str, bool)> {
    let structured = way.replies != Replies::Simple;
    vec![
        ("connect", true),
        ("read", true),
        ("write", !read_only),
        ("flush", !read_only),
        ("fua", !read_only),
        ("trim", !read_only),
        ("zero", !read_only),
        ("fast-zero", !read_only),
        ("cache", true),
        ("df", structured),
        ("multi-conn", true),
        ("structured-reply", structured),
        ("read-only", read_only),
        ("rotational", false),
        ("tls", false),
    ]
}

#[test]
fn each_question_has_its_answer() {
    if !nbd_testkit::require(&[Tool::Nbdinfo]) {
        return;
    }
    for way in Way::ALL {
        for read_only in [false, true] {
            let site = way.serve_with(MIB, if read_only { &["--read-only"] } else { &[] });
            for (ability, expected) in abilities(way, read_only) {
                let question = if matches!(ability, "read-only" | "rotational" | "tls") { "--is" } else { "--can" };
                let code = output(nbdinfo(&[question, ability], &site)).status.code();
                assert_eq!(code, Some(if expected { 0 } else { 2 }), "{way:?} {question} {ability}, {read_only}");
            }
            site.end().assert_agreed_by_libnbd(way.replies);
        }
    }
}

#[test]
fn json_has_the_right_fields() {
    if !nbd_testkit::require(&[Tool::Nbdinfo]) {
        return;
    }
    for way in Way::ALL {
        let site = way.serve_with(5 * MIB + 512, &["--description", "words \"for\" people"]);
        let all: Value = serde_json::from_str(&text(nbdinfo(&["--json"], &site))).unwrap();
        let structured = way.replies != Replies::Simple;
        assert_eq!(all["protocol"], "newstyle-fixed");
        assert_eq!((&all["TLS"], &all["structured"]), (&json!(false), &json!(structured)));
        let [export] = &all["exports"].as_array().unwrap()[..] else { panic!("{all}") };
        let contexts = if structured { json!(["base:allocation"]) } else { Value::Null };
        for (field, expected) in [
            ("export-name", json!("")),
            ("description", json!("words \"for\" people")),
            ("contexts", contexts),
            ("export-size", json!(5 * MIB + 512)),
            ("block_size_minimum", json!(1)),
            ("block_size_preferred", json!(4096)),
            ("block_size_maximum", json!(32 * MIB)),
            ("is_read_only", json!(false)),
            ("is_rotational", json!(false)),
            ("can_cache", json!(true)),
            ("can_df", json!(structured)),
            ("can_fast_zero", json!(true)),
            ("can_flush", json!(true)),
            ("can_fua", json!(true)),
            ("can_multi_conn", json!(true)),
            ("can_trim", json!(true)),
            ("can_zero", json!(true)),
        ] {
            assert_eq!(export[field], expected, "{way:?}: {field}");
        }
        site.end().assert_agreed_by_libnbd(way.replies);
    }
}

#[test]
fn people_are_told_the_same() {
    if !nbd_testkit::require(&[Tool::Nbdinfo]) {
        return;
    }
    let site = Way::ALL[0].serve_with(3 * MIB, &["--read-only", "--description=some words"]);
    let told = text(nbdinfo(&[], &site));
    for line in [
        "protocol: newstyle-fixed without TLS",
        "export=\"\":",
        "\tdescription: some words",
        "\texport-size: 3145728 (3M)",
        "\t\tbase:allocation",
        "\tis_read_only: true",
        "\tcan_multi_conn: true",
        "\tcan_trim: false",
    ] {
        assert!(told.lines().any(|told| told.starts_with(line)), "{line}: {told}");
    }
    assert_eq!(text(nbdinfo(&["--size"], &site)), "3145728\n");
}

#[test]
fn several_exports_are_listed_and_each_can_be_asked_about() {
    if !nbd_testkit::require(&[Tool::Nbdinfo]) {
        return;
    }
    for way in Way::ALL.into_iter().filter(|way| way.keeper == Keeper::Memory) {
        let options = ["--description=the first", "--export=b c=null:2M", "--export=ü=memory:1M"];
        let site = way.serve_with(3 * MIB, &options);
        let all: Value = serde_json::from_str(&text(nbdinfo(&["--list", "--json"], &site))).unwrap();
        let exports = all["exports"].as_array().unwrap();
        let listed: Vec<_> = exports.iter().map(|export| (&export["export-name"], &export["export-size"])).collect();
        let expected = [(json!(""), json!(3 * MIB)), (json!("b c"), json!(2 * MIB)), (json!("ü"), json!(MIB))];
        assert_eq!(listed, expected.each_ref().map(|(name, size)| (name, size)), "{way:?}");
        assert_eq!(exports[0]["description"], "the first", "{way:?}");
        // Of its own making, so it has escaped the names.
        for export in exports {
            let mut command = Tool::Nbdinfo.command().unwrap();
            command.arg("--size").arg(export["uri"].as_str().unwrap());
            assert_eq!(text(command), format!("{}\n", export["export-size"]), "{way:?}");
        }
        site.end();
    }
}

#[test]
fn an_export_that_is_not_there_is_refused() {
    if !nbd_testkit::require(&[Tool::Nbdinfo]) {
        return;
    }
    let mut server = crate::serving::Serving::start(["--tcp=:0", "memory:1M"]);
    let mut command = Tool::Nbdinfo.command().unwrap();
    command.arg(server.line() + "nothing");
    let refused = output(command);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
}
