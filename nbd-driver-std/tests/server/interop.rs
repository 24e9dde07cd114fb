//! Clients of other projects: QEMU's (tried with 10.0), libnbd's (1.14) and fio's (3.33).

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use nbd_testkit::{Tool, pattern};

use crate::disk::{Call, TestDisk};
use crate::driver::{Export, ServerOptions};
use crate::support::{MIB, TestServer, assert_same, must_end, serve, serve_with};

/// What a program prints, if it succeeds.
#[track_caller]
fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{text}{errors}", output.status);
    text + &errors
}

fn sparse() -> Arc<TestDisk> {
    let mut bytes = pattern(8 * MIB as usize, 1);
    bytes[MIB as usize..5 * MIB as usize].fill(0);
    TestDisk::new(bytes).share()
}

#[test]
fn qemu_io_does_every_command() {
    let Some(mut qemu_io) = Tool::QemuIo.command() else { return };
    must_end(move || {
        let disk = TestDisk::empty(8 * MIB).share();
        let server = serve(disk.clone());
        qemu_io.args(["-f", "raw", "-t", "none", "-d", "unmap"]);
        for command in [
            "write -P 0x11 0 1M",
            "write -f -P 0x22 1M 64k",
            "write -z 512k 128k",
            "write -z -u 64k 64k",
            "aio_write -P 0x33 2M 300k",
            "aio_write -P 0x44 3M 300k",
            "aio_flush",
            "discard 128k 64k",
            "flush",
            "read -P 0x11 0 64k",
            "read -P 0 64k 128k",
            "read -P 0x22 1M 64k",
            "read -P 0x44 3M 300k",
            "read -P 0x33 2097153 1001",
        ] {
            qemu_io.args(["-c", command]);
        }
        let text = output(qemu_io.arg(&server.uri));
        assert!(!text.contains("failed"), "{text}");
        let calls = disk.calls();
        let has = |wanted: fn(&Call) -> bool| calls.iter().any(wanted);
        assert!(has(|call| matches!(call, Call::Trim { .. })));
        assert!(has(|call| matches!(call, Call::WriteZeroes { .. })));
        assert!(has(|call| matches!(call, Call::Flush)));
        assert!(has(|call| matches!(call, Call::Write { fua: true, .. })));
        server.end();
    });
}

#[test]
fn qemu_img_maps_and_copies_both_ways() {
    let Some(mut map) = Tool::QemuImg.command() else { return };
    must_end(move || {
        let disk = sparse();
        let server = serve(disk.clone());
        let text = output(map.args(["map", "--output=json", "-f", "raw"]).arg(&server.uri));
        assert!(text.contains(r#""start": 1048576, "length": 4194304"#), "{text}");
        let file = server.dir.path().join("copy");
        let mut out = Tool::QemuImg.command().unwrap();
        output(out.args(["convert", "-f", "raw", "-O", "raw"]).arg(&server.uri).arg(&file));
        assert_same(&fs::read(&file).unwrap(), &disk.bytes());
        let target = TestDisk::patterned(8 * MIB, 2).share();
        let other = serve(target.clone());
        let mut back = Tool::QemuImg.command().unwrap();
        output(back.args(["convert", "-n", "-f", "raw", "-O", "raw"]).arg(&file).arg(&other.uri));
        assert_same(&target.bytes(), &disk.bytes());
        server.end();
        other.end();
    });
}

fn copy(from: &str, to: &Path) {
    let mut nbdcopy = Tool::Nbdcopy.command().unwrap();
    output(nbdcopy.arg(from).arg(to));
}

#[test]
fn nbdcopy_copies_over_several_connections() {
    if !nbd_testkit::require(&[Tool::Nbdcopy]) {
        return;
    }
    must_end(|| {
        let disk = sparse();
        let server: TestServer = serve(disk.clone());
        let file = server.dir.path().join("copy");
        copy(&server.uri, &file);
        assert_same(&fs::read(&file).unwrap(), &disk.bytes());
        let target = TestDisk::patterned(8 * MIB, 2).share();
        let other = serve(target.clone());
        copy(file.to_str().unwrap(), Path::new(&other.uri));
        assert_same(&target.bytes(), &disk.bytes());
        server.end();
        other.end();
    });
}

#[test]
fn nbdsh_has_its_way_with_and_without_chunks() {
    if !nbd_testkit::require(&[Tool::Nbdsh]) {
        return;
    }
    must_end(|| {
        for style in ["h.set_request_structured_replies(False)", "h.set_request_structured_replies(True)"] {
            let disk = sparse();
            let server = serve(disk.clone());
            let lines = format!(
                "
{style}
h.add_meta_context(nbd.CONTEXT_BASE_ALLOCATION)
h.connect_uri(uri)
h.pwrite(b'x' * 300001, 4095)
h.pwrite(b'y', h.get_size() - 1, nbd.CMD_FLAG_FUA)
h.zero(4096, 8192)
h.flush()
assert h.pread(4097, 4094)[1:] == b'x' * 4096
assert h.pread(4098, 8191) == b'x' + bytes(4096) + b'x'
assert h.pread(1, h.get_size() - 1) == b'y'
cookies = [h.aio_pread(nbd.Buffer(20000), n * 30000) for n in range(30)]
while h.aio_in_flight() > 0:
    h.poll(-1)
assert all(h.aio_command_completed(cookie) for cookie in cookies)
h.shutdown()"
            );
            let mut nbdsh = Tool::Nbdsh.command().unwrap();
            nbdsh.env("uri", &server.uri).args(["-c", "import os; uri = os.environ['uri']", "-c", &lines]);
            output(&mut nbdsh);
            let mut expected = pattern(8 * MIB as usize, 1);
            expected[MIB as usize..5 * MIB as usize].fill(0);
            expected[4095..304_096].fill(b'x');
            expected[8192..12_288].fill(0);
            *expected.last_mut().unwrap() = b'y';
            assert_same(&disk.bytes(), &expected);
            server.end();
        }
    });
}

#[test]
fn fio_verifies_what_it_writes_at_random() {
    if !nbd_testkit::require(&[Tool::Fio]) {
        return;
    }
    must_end(|| {
        for disk in [TestDisk::empty(4 * MIB), TestDisk::empty(4 * MIB).immediate()] {
            let disk = disk.share();
            let server = serve(disk.clone());
            let mut fio = Tool::Fio.command().unwrap();
            // It leaves a file with its state in the directory of work, if it fails.
            fio.current_dir(server.dir.path()).args(["--name=job", "--ioengine=nbd", "--randseed=7", "--size=4M"]);
            fio.args(["--rw=randwrite", "--bsrange=512-40000", "--bs_unaligned=1", "--iodepth=32"]);
            fio.args(["--verify=crc32c", "--verify_fatal=1", "--verify_state_save=0"]);
            output(fio.arg(format!("--uri={}", server.uri)));
            let written = |call: &Call| if let Call::Write { length, .. } = call { *length } else { 0 };
            let written: usize = disk.calls().iter().map(written).sum();
            assert!(written >= MIB as usize, "{written} bytes were written");
            server.end();
        }
    });
}

#[test]
fn nbdinfo_tells_what_is_served() {
    let Some(mut info) = Tool::Nbdinfo.command() else { return };
    must_end(move || {
        let one = Export::shared("disk", sparse()).description("a disk with a hole");
        let two = Export::shared("other", TestDisk::empty(MIB).share()).read_only(true);
        let server = serve_with(ServerOptions::new(), [one, two]);
        let text = output(info.arg("--list").arg(&server.uri));
        for wanted in
            ["export=\"disk\"", "a disk with a hole", "export=\"other\"", "is_read_only: true", "base:allocation"]
        {
            assert!(text.contains(wanted), "{wanted}: {text}");
        }
        let mut map = Tool::Nbdinfo.command().unwrap();
        let text = output(map.arg("--map").arg(&server.uri));
        let lines: Vec<Vec<_>> = text.lines().map(|line| line.split_whitespace().take(3).collect()).collect();
        let expected = [["0", "1048576", "0"], ["1048576", "4194304", "3"], ["5242880", "3145728", "0"]];
        assert_eq!(lines, expected);
        server.end();
    });
}
