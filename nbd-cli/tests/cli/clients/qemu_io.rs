//! `qemu-io` sends single requests.
//!
//! QEMU's client up to 10.0 sets no `PAYLOAD_LEN` on its writes when extended headers were agreed on, and sends their
//! payload all the same.

use std::process::Command;

use nbd_testkit::Tool;

use super::site::{MIB, Replies, Site, Way, output, text};

fn qemu_io(options: &[&str], commands: &[&str], site: &Site) -> Command {
    let mut command = Tool::QemuIo.command().unwrap();
    command.args(["-f", "raw", "-t", "none", "-d", "unmap"]).args(options);
    for line in commands {
        command.args(["-c", line]);
    }
    command.arg(&site.uri);
    command
}

#[track_caller]
fn run(commands: &[&str], site: &Site) {
    let told = text(qemu_io(&[], commands, site));
    assert!(!told.contains("failed"), "{told}");
}

#[track_caller]
fn assert_all(bytes: &[u8], byte: u8, range: std::ops::Range<usize>) {
    let wrong = bytes[range.clone()].iter().position(|found| *found != byte);
    assert_eq!(wrong, None, "in {range:?} from its start");
}

#[test]
fn each_command_does_what_it_says() {
    if !Tool::QemuIo.at_least(8, 2) {
        return;
    }
    for way in Way::ALL {
        let site = way.serve_traced(8 * MIB);
        run(
            &[
                "write -P 0x11 0 1M",
                "write -f -P 0x22 1M 64k",
                "write -z 512k 64k",
                "write -z -u 64k 64k",
                "write -z -u -f 192k 64k",
                "discard 320k 64k",
                "aio_write -P 0x33 2M 300k",
                "aio_write -P 0x44 3M 300k",
                "aio_write -z 4M 1M",
                "aio_flush",
                "writev -P 0x55 6M 1k 2k 512",
                "flush",
                "read -P 0x11 0 64k",
                "read -P 0x22 1M 64k",
                "read -P 0x33 2097153 1001",
                "readv -P 0x44 3M 100k 100k 100k",
            ],
            &site,
        );
        let bytes = site.contents();
        let kib = |from: usize, to: usize| from << 10..to << 10;
        assert_all(&bytes, 0x11, kib(0, 64));
        assert_all(&bytes, 0, kib(64, 128));
        assert_all(&bytes, 0x11, kib(128, 192));
        assert_all(&bytes, 0, kib(192, 256));
        assert_all(&bytes, 0, kib(320, 384));
        assert_all(&bytes, 0x11, kib(384, 512));
        assert_all(&bytes, 0, kib(512, 576));
        assert_all(&bytes, 0x11, kib(576, 1024));
        assert_all(&bytes, 0x22, kib(1024, 1088));
        assert_all(&bytes, 0, kib(1088, 2048));
        assert_all(&bytes, 0x33, kib(2048, 2348));
        assert_all(&bytes, 0x44, kib(3072, 3372));
        assert_all(&bytes, 0, kib(3372, 6144));
        assert_all(&bytes, 0x55, 6 << 20..(6 << 20) + 3584);
        assert_all(&bytes, 0, (6 << 20) + 3584..8 << 20);
        let log = site.end();
        for (command, flags) in [
            ("NBD_CMD_WRITE", "0x0"),
            ("NBD_CMD_WRITE", "FUA"),
            ("NBD_CMD_WRITE_ZEROES", "NO_HOLE"),
            ("NBD_CMD_WRITE_ZEROES", "0x0"),
            ("NBD_CMD_WRITE_ZEROES", "FUA"),
            ("NBD_CMD_TRIM", "0x0"),
            ("NBD_CMD_FLUSH", "0x0"),
            ("NBD_CMD_READ", "0x0"),
        ] {
            assert!(log.has_request(command, flags), "{way:?}: {command}, {flags}");
        }
        log.assert_agreed(way.replies);
    }
}

#[test]
fn the_longest_request_is_taken() {
    if !Tool::QemuIo.at_least(8, 2) {
        return;
    }
    for way in Way::ALL {
        let site = way.serve(64 * MIB);
        run(&["write -q -P 0x77 1M 32M", "read -q -P 0x77 1M 32M", "write -q -z 0 64M", "read -q -P 0 0 32M"], &site);
        site.end().assert_agreed(way.replies);
    }
}

#[test]
fn a_write_to_what_is_only_read_is_refused() {
    if !Tool::QemuIo.at_least(8, 2) {
        return;
    }
    for way in Way::ALL {
        let site = way.serve_with(MIB, &["--read-only"]);
        let refused = output(qemu_io(&[], &["write -P 1 0 4k"], &site));
        assert_eq!(refused.status.code(), Some(1), "{way:?}: {refused:?}");
        let told = text(qemu_io(&["-r"], &["read -P 0 0 1M"], &site));
        assert!(!told.contains("failed"), "{way:?}: {told}");
        let log = site.end();
        assert!(log.replies().contains(&way.replies.word()), "{way:?}");
        assert!(way.replies != Replies::Simple || !log.replies().contains(&"structured"), "{way:?}");
    }
}
