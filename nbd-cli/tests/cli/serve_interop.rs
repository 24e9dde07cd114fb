//! Other programs are served as well.

use nbd_testkit::{Tool, pattern};

use crate::common::{assert_file, nbd, read_back, write};
use crate::serve::socket_in;
use crate::serving::Serving;

#[test]
fn nbdinfo_sees_what_we_see() {
    if !nbd_testkit::require(&[Tool::Nbdinfo]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for listen in [format!("--unix={}", socket_in(dir.path())), "--tcp=127.0.0.1:0".to_owned()] {
        let mut server = Serving::start([&listen, "--export=a=null:1M", "--description=some words", "memory:64M"]);
        let uri = server.line();
        let theirs = |args: &[&str]| {
            let output = Tool::Nbdinfo.command().unwrap().args(args).arg(&uri).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        assert_eq!(theirs(&["--size"]), "67108864\n");
        assert_eq!(theirs(&["--map"]), nbd(["info", "--map", &uri]).ok().text());
        let list = theirs(&["--list"]);
        assert!(list.contains("export=\"a\"") && list.contains("some words"), "{list}");
    }
}

#[test]
fn nbdcopy_copies_in_and_out() {
    if !nbd_testkit::require(&[Tool::Nbdcopy]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    write(&image, &pattern(5 << 20, 3));
    let mut server = Serving::start(["--unix", &socket_in(dir.path()), "memory:5M"]);
    let uri = server.line();
    let copied = Tool::Nbdcopy.command().unwrap().arg(&image).arg(&uri).status().unwrap();
    assert!(copied.success());
    assert!(read_back(&uri) == pattern(5 << 20, 3));
}

#[test]
fn qemu_img_converts_in_and_out() {
    if !nbd_testkit::require(&[Tool::QemuImg]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (image, back, disk) = (dir.path().join("image"), dir.path().join("back"), dir.path().join("disk"));
    write(&image, &pattern(3 << 20, 4));
    write(&disk, &vec![0; 3 << 20]);
    let mut server = Serving::start(["--tcp=:0", &format!("file:{}", disk.display())]);
    let uri = server.line();
    let qemu_img = |args: &[&str]| {
        let output = Tool::QemuImg.command().unwrap().args(args).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    let [image, back_text] = [&image, &back].map(|path| path.to_str().unwrap());
    qemu_img(&["convert", "-n", "-f", "raw", "-O", "raw", image, &uri]);
    qemu_img(&["convert", "-f", "raw", "-O", "raw", &uri, back_text]);
    assert_file(&back, &pattern(3 << 20, 4));
    assert_file(&disk, &pattern(3 << 20, 4));
}
