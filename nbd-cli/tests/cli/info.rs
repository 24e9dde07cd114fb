//! `nbd info` says what `nbdinfo` says.

use nbd_testkit::{Disk, Handshake, NbdServer, Nbdkit, QemuNbd, Server, Tool};
use serde_json::Value;

use crate::common::nbd;

/// What the other command prints; `None` if it fails.
fn nbdinfo(args: &[&str]) -> Option<String> {
    let output = Tool::Nbdinfo.command().expect("nbdinfo").args(args).output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

/// Without the contents, which only the other command looks at, and without what only this one knows.
fn comparable_text(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.starts_with("\tcontent: "));
    lines.map(|line| line.replace("extended packets", "structured packets") + "\n").collect()
}

fn comparable_json(text: &str) -> Value {
    let mut value: Value = serde_json::from_str(text).unwrap();
    value.as_object_mut().unwrap().shift_remove("extended");
    for export in value["exports"].as_array_mut().unwrap() {
        export.as_object_mut().unwrap().shift_remove("content");
    }
    value
}

/// The same fields, in the same order, with the same values.
#[track_caller]
fn assert_like_nbdinfo(server: &Server) {
    let uri = server.uri();
    for mode in [&[][..], &["--list"], &["--size"]] {
        let args = |json: &[&'static str]| [mode, json, &[&uri[..]]].concat();
        let info = |args: &[&str]| nbd([&["info"], args].concat()).ok();
        // It cannot list everywhere.
        let Some(theirs) = nbdinfo(&args(&[])) else { continue };
        assert_eq!(comparable_text(info(&args(&[])).text()), comparable_text(&theirs));
        if mode != ["--size"] {
            let ours = comparable_json(info(&args(&["--json"])).text());
            let theirs = comparable_json(&nbdinfo(&args(&["--json"])).unwrap());
            assert_eq!(ours, theirs);
            assert_eq!(ours.to_string(), theirs.to_string(), "the order of fields");
        }
    }
}

fn with_nbdinfo(server: Option<Server>) {
    let Some(server) = server else { return };
    if nbd_testkit::require(&[Tool::Nbdinfo]) {
        assert_like_nbdinfo(&server);
    }
}

#[test]
fn on_nbdkit_in_each_handshake() {
    for mode in Handshake::ALL {
        with_nbdinfo(Nbdkit::memory("10M").mode(mode).start());
    }
}

#[test]
fn on_nbdkit_with_odd_abilities() {
    with_nbdinfo(Nbdkit::memory("1000").no_structured_replies().readonly().start());
    with_nbdinfo(Nbdkit::new("null").arg("size=0").start());
    with_nbdinfo(Nbdkit::new("null").arg("size=9223372036854775807").filter("noextents").start());
    with_nbdinfo(
        Nbdkit::memory("1M")
            .filter("blocksize-policy")
            .arg("blocksize-minimum=4096")
            .arg("blocksize-preferred=65536")
            .arg("blocksize-maximum=1M")
            .start(),
    );
}

#[test]
fn on_nbdkit_with_several_exports() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("one"), [1; 1024]).unwrap();
    std::fs::write(dir.path().join("two \"2\" é"), [2; 1000]).unwrap();
    let mut arg = std::ffi::OsString::from("dir=");
    arg.push(dir.path());
    with_nbdinfo(Nbdkit::new("file").arg(arg).export("one").start());
}

#[test]
fn the_canonical_name_is_shown_and_the_address_as_it_was_asked_for() {
    let server = Nbdkit::memory("1M").filter("exportname").arg("default-export=hello").arg("exportdesc=fixed:said");
    with_nbdinfo(server.start());
}

#[test]
fn on_qemu_nbd() {
    let disk = || Disk::patterned(1 << 20, 1);
    with_nbdinfo(QemuNbd::new(disk()).shared(4).start());
    with_nbdinfo(QemuNbd::new(disk()).shared(4).readonly().export("é ü").description("a disk").start());
    let qcow2 = QemuNbd::new(disk()).qcow2().bitmap("dirty", 65536, &[0..65536, 131_072..196_608]).allocation_depth();
    with_nbdinfo(qcow2.shared(4).start());
}

#[test]
fn on_nbd_server() {
    let disks = || NbdServer::new().export("a", Disk::patterned(1 << 20, 1)).export("b", Disk::empty(4096));
    for server in [disks().start(), disks().readonly().start()].into_iter().flatten() {
        if !nbd_testkit::require(&[Tool::Nbdinfo]) {
            return;
        }
        // It tells sizes of 0 before an export is chosen, and the other command does not ask further.
        let without_size = |text: &str| comparable_text(text).replace("(1M)", "").replace("1048576 ", "0");
        let uri = server.uri_of("a");
        let ours = nbd(["info", &uri]).ok();
        assert!(ours.text().contains("\texport-size: 1048576 (1M)\n"), "{ours:?}");
        assert_eq!(without_size(ours.text()), without_size(&nbdinfo(&[&uri]).unwrap()));
        let names = |text: &str| -> Vec<String> {
            let exports = comparable_json(text)["exports"].take();
            exports.as_array().unwrap().iter().map(|export| export["uri"].to_string()).collect()
        };
        let args = ["--list", "--json", &server.uri()];
        let ours = nbd(["info"].iter().chain(&args)).ok();
        assert_eq!(names(ours.text()), names(&nbdinfo(&args).unwrap()));
    }
}

#[test]
fn extended_headers_are_told() {
    let Some(server) = QemuNbd::new(Disk::empty(1 << 20)).extended_headers().shared(2).start() else { return };
    let text = nbd(["info", &server.uri()]).ok();
    assert!(text.text().starts_with("protocol: newstyle-fixed without TLS, using extended packets\n"));
    let json: Value = serde_json::from_str(nbd(["info", "--json", &server.uri()]).ok().text()).unwrap();
    assert_eq!((&json["structured"], &json["extended"]), (&Value::Bool(true), &Value::Bool(true)));
}

#[test]
fn an_oldstyle_server_lists_its_one_export() {
    let Some(server) = Nbdkit::memory("1M").mode(Handshake::Oldstyle).start() else { return };
    let listed = nbd(["info", "--list", &server.uri()]).ok();
    assert_eq!(listed.text(), nbd(["info", &server.uri()]).ok().text());
}

#[test]
fn the_listed_addresses_lead_to_the_exports() {
    let server = NbdServer::new().export("a b", Disk::empty(1 << 20)).export("c/d", Disk::empty(4096)).start();
    let Some(server) = server else { return };
    let json: Value = serde_json::from_str(nbd(["info", "--list", "--json", &server.uri_of("")]).ok().text()).unwrap();
    let uris: Vec<&str> = json["exports"].as_array().unwrap().iter().map(|e| e["uri"].as_str().unwrap()).collect();
    let sizes: Vec<String> = uris.iter().map(|uri| nbd(["info", "--size", uri]).ok().text().to_owned()).collect();
    assert_eq!(sizes, ["1048576\n", "4096\n"]);
}

#[test]
fn over_tcp() {
    with_nbdinfo(Nbdkit::memory("1M").tcp().start());
}

#[test]
fn colours_come_and_go() {
    let Some(server) = Nbdkit::memory("1M").start() else { return };
    let uri = &server.uri()[..];
    let plain = nbd(["info", uri]).ok();
    assert!(!plain.text().contains('\x1b'));
    let colour = nbd(["info", "--color", uri]).ok();
    assert!(colour.text().contains("\x1b[1mexport=\"\":\x1b[0m\n"));
    assert_eq!(colour.text().replace("\x1b[1m", "").replace("\x1b[32m", "").replace("\x1b[0m", ""), plain.text());
    assert_eq!(nbd(["info", "--colour", "--no-colour", uri]).ok().text(), plain.text());
}
