//! Several disks, names, descriptions, and disks that are only read.

use crate::common::{assert_file, nbd, write};
use crate::serve::socket_in;
use crate::serving::Serving;

fn uri_of(socket: &str, name: &str) -> String {
    format!("nbd+unix:///{name}?socket={socket}")
}

#[test]
fn each_name_leads_to_its_disk() {
    let dir = tempfile::tempdir().unwrap();
    let socket = socket_in(dir.path());
    let mut server = Serving::start(["--unix", &socket, "--export=a=memory:1M", "--export=b c=null:2M", "memory:3M"]);
    assert_eq!(server.line(), uri_of(&socket, ""));
    for (name, size) in [("", "3145728\n"), ("a", "1048576\n"), ("b%20c", "2097152\n")] {
        assert_eq!(nbd(["info", "--size", &uri_of(&socket, name)]).ok().text(), size);
    }
    let failure = nbd(["info", "--size", &uri_of(&socket, "d")]).failure();
    assert!(failure.contains("there is no export \"d\""), "{failure}");
}

#[test]
fn without_a_default_the_uri_leads_to_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let socket = socket_in(dir.path());
    let mut server = Serving::start(["--unix", &socket, "--export=a/b=memory:1M", "--export=c=memory:2M"]);
    let uri = server.line();
    assert_eq!(nbd(["info", "--size", &uri]).ok().text(), "1048576\n", "{uri}");
    nbd(["info", "--size", &uri_of(&socket, "")]).failure();
}

#[test]
fn all_are_listed_and_the_default_is_described() {
    let dir = tempfile::tempdir().unwrap();
    let socket = socket_in(dir.path());
    let text = "for tests\u{1b}[2J";
    let args = ["--unix", &socket, "--description", text, "--export=x=memory:1M", "memory:2M"];
    let mut server = Serving::start(args);
    let uri = server.line();
    let list = nbd(["info", "--list", &uri]).ok();
    let names: Vec<_> = list.text().lines().filter(|line| line.starts_with("export=")).collect();
    assert_eq!(names, ["export=\"\":", "export=\"x\":"]);
    assert_eq!(list.text().matches("description: for tests\\u{1b}[2J\n").count(), 1, "{list:?}");
    assert!(nbd(["info", &uri]).ok().text().contains("description: for tests"));
}

#[test]
fn read_only_holds_for_every_disk() {
    let dir = tempfile::tempdir().unwrap();
    let (socket, image, other) = (socket_in(dir.path()), dir.path().join("image"), dir.path().join("other"));
    write(&image, &[1; 4096]);
    write(&other, &[2; 4096]);
    let backend = format!("file:{}", image.display());
    let mut server = Serving::start(["-r", "--unix", &socket, "--export=m=memory:4096", &backend]);
    server.line();
    for name in ["", "m"] {
        let uri = uri_of(&socket, name);
        nbd(["info", "--is", "read-only", &uri]).ok();
        assert_eq!(nbd(["info", "--can", "write", &uri]).code, Some(2));
        let failure = nbd(["copy", other.to_str().unwrap(), &uri]).failure();
        assert!(failure.contains("read-only"), "{failure}");
    }
    server.stop().ok();
    assert_file(&image, &[1; 4096]);
}
