//! `nbd info --map` says what `nbdinfo --map` says.

use nbd_testkit::{Disk, Nbdkit, QemuNbd, Server, Tool, pattern};
use serde_json::Value;

use crate::common::nbd;

fn sparse() -> Disk {
    let disk = Disk::empty(10 << 20).data(0, pattern(1 << 20, 1)).data(5 << 20, pattern(65536, 2));
    disk.data((7 << 20) + 4096, pattern(12288, 3))
}

#[track_caller]
fn assert_like_nbdinfo(server: &Server, map: &str) {
    let uri = &server.uri()[..];
    for more in [&[][..], &["--totals"], &["--json"], &["--totals", "--json"]] {
        let args = [&[map][..], more, &[uri]].concat();
        let output = Tool::Nbdinfo.command().unwrap().args(&args).output().unwrap();
        let theirs = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{args:?}");
        let ours = nbd([&["info"], &args[..]].concat()).ok();
        if more.contains(&"--json") {
            let parse = |text| serde_json::from_str::<Value>(text).unwrap().to_string();
            assert_eq!(parse(ours.text()), parse(&theirs), "{args:?}");
        } else {
            assert_eq!(ours.text(), theirs, "{args:?}");
        }
    }
}

fn with_nbdinfo(server: Option<Server>, maps: &[&str]) {
    let Some(server) = server else { return };
    if nbd_testkit::require(&[Tool::Nbdinfo]) {
        for map in maps {
            assert_like_nbdinfo(&server, map);
        }
    }
}

#[test]
fn holes_and_data() {
    with_nbdinfo(Nbdkit::disk(sparse()).start(), &["--map", "--map=base:allocation"]);
    with_nbdinfo(Nbdkit::disk(sparse()).filter("noextents").start(), &["--map"]);
    with_nbdinfo(Nbdkit::new("null").arg("size=0").start(), &["--map"]);
    with_nbdinfo(QemuNbd::new(sparse()).shared(4).start(), &["--map"]);
}

#[test]
fn dirty_bitmaps_and_allocation_depth() {
    let server = QemuNbd::new(sparse()).qcow2().bitmap("b0", 65536, &[65536..131_072, 5_242_880..5_308_416]);
    let maps = ["--map", "--map=qemu:dirty-bitmap:b0", "--map=qemu:allocation-depth"];
    with_nbdinfo(server.allocation_depth().shared(4).start(), &maps);
}

/// A server of 6 MiB whose extents a script tells.
fn scripted(extents: &str) -> Nbdkit {
    let server = Nbdkit::new("eval").arg("get_size=echo 6M").arg("pread=head -c $3 /dev/zero");
    server.arg("can_extents=exit 0").arg(format!("extents=n=$(($4 / 1048576)); {extents}"))
}

#[test]
fn all_kinds_of_extents_are_told_and_neighbours_joined() {
    let extents = "case $n in 0) t=hole ;; 1) t=zero ;; 2) t= ;; *) t=hole,zero ;; esac; \
                   echo \"$((n * 1048576)) 1048576 $t\"";
    let server = scripted(extents).start();
    if let Some(server) = &server {
        let lines = [
            "         0     1048576    1  hole\n",
            "   1048576     1048576    2  zero\n",
            "   2097152     1048576    0  data\n",
            "   3145728     3145728    3  hole,zero\n",
        ];
        assert_eq!(nbd(["info", "--map", &server.uri()]).ok().text(), lines.concat());
    }
    with_nbdinfo(server, &["--map"]);
}

#[test]
fn a_map_that_fails_on_its_way_is_a_failure() {
    let extents = "if [ $n -ge 3 ]; then echo EIO no map here >&2; exit 1; fi; echo \"$((n * 1048576)) 1048576 hole\"";
    let Some(server) = scripted(extents).start() else { return };
    let failure = nbd(["info", "--map", &server.uri()]).failure();
    assert!(failure.contains("NBD_CMD_BLOCK_STATUS") && failure.contains("NBD_EIO"), "{failure}");
}

#[test]
fn a_map_that_the_server_has_not_is_a_failure() {
    let Some(server) = Nbdkit::disk(sparse()).start() else { return };
    for map in ["--map=qemu:dirty-bitmap:b0", "--map=base:", "--map=x-y:z"] {
        let failure = nbd(["info", map, &server.uri()]).failure();
        assert!(failure.contains("the server does not support that map"), "{failure}");
    }
}

#[test]
fn extents_cut_within_a_block_are_walked_over() {
    let extents = "if [ $4 -lt 5000 ]; then echo 0 5000 hole; fi; echo 5000 6286456 zero";
    let Some(server) = scripted(extents).arg("block_size=echo 4096 65536 1M").start() else { return };
    let run = nbd(["info", "--map", &server.uri()]).ok();
    assert_eq!(run.text(), "         0        5000    1  hole\n      5000     6286456    2  zero\n");
}
