//! `qemu-img convert` brings images in and out.

use std::fs;
use std::process::Command;

use nbd_testkit::{Tool, pattern, sparse_file};

use super::site::{Keeper, MIB, Site, Way, output, text, utf8};
use crate::common::{allocated, assert_same};

const SIZE: u64 = 8 * MIB;

fn data() -> [(u64, Vec<u8>); 2] {
    [(MIB, pattern(1 << 20, 1)), (5 * MIB, pattern(1 << 20, 2))]
}

fn convert(args: &[&str]) -> Command {
    let mut command = Tool::QemuImg.command().unwrap();
    command.arg("convert").args(args);
    command
}

/// An image of this format in the site's directory, its name, and what it reads as.
fn image(site: &Site, format: &str) -> (String, Vec<u8>) {
    let raw = site.path("image.raw");
    sparse_file(&raw, SIZE, &data());
    let expected = fs::read(&raw).unwrap();
    let image = site.path(&format!("image.{format}"));
    if format != "raw" {
        text(convert(&["-f", "raw", "-O", format, utf8(&raw), utf8(&image)]));
    }
    (utf8(&image).to_owned(), expected)
}

#[test]
fn raw_and_qcow2_come_in_over_garbage() {
    if !Tool::QemuImg.at_least(8, 2) {
        return;
    }
    for way in Way::ALL {
        let site = way.serve(SIZE);
        for format in ["raw", "qcow2"] {
            site.fill(&[(0, vec![0xa5; 8 << 20])]);
            let (image, expected) = image(&site, format);
            text(convert(&["-n", "-f", format, "-O", "raw", "-W", "-m", "8", &image, &site.uri]));
            assert_same(&site.contents(), &expected);
            if way.keeper == Keeper::File {
                let room = allocated(&site.served());
                assert!(room < 3 * MIB, "{way:?}: {room}");
            }
        }
        site.end().assert_agreed(way.replies);
    }
}

#[test]
fn raw_and_qcow2_go_out() {
    if !Tool::QemuImg.at_least(8, 2) {
        return;
    }
    for way in Way::ALL {
        let site = way.serve(SIZE);
        site.fill(&data());
        let expected = site.contents();
        for format in ["raw", "qcow2"] {
            let image = site.path(&format!("out.{format}"));
            text(convert(&["-f", "raw", "-O", format, &site.uri, utf8(&image)]));
            assert!(allocated(&image) < 3 * MIB, "{way:?}, {format}: {}", allocated(&image));
            let back = site.path("back");
            text(convert(&["-f", format, "-O", "raw", utf8(&image), utf8(&back)]));
            assert_same(&fs::read(&back).unwrap(), &expected);
        }
        site.end().assert_agreed(way.replies);
    }
}

/// A qcow2 image inside a served disk: small writes here and there, flushes, and growth of what was not there before.
#[test]
fn a_served_disk_may_hold_a_qcow2_image() {
    if !Tool::QemuImg.at_least(8, 2) {
        return;
    }
    for way in Way::ALL {
        let site = way.serve(SIZE);
        let (image, expected) = image(&site, "raw");
        let mut create = Tool::QemuImg.command().unwrap();
        create.args(["create", "-f", "qcow2", &site.uri, "8M"]);
        text(create);
        text(convert(&["-n", "-f", "raw", "-O", "qcow2", &image, &site.uri]));
        let back = site.path("back");
        text(convert(&["-f", "qcow2", "-O", "raw", &site.uri, utf8(&back)]));
        assert_same(&fs::read(&back).unwrap(), &expected);
        let mut check = Tool::QemuImg.command().unwrap();
        check.args(["check", "-f", "qcow2", &site.uri]);
        text(check);
        site.end().assert_agreed(way.replies);
    }
}

#[test]
fn a_disk_that_is_only_read_takes_nothing() {
    if !Tool::QemuImg.at_least(8, 2) {
        return;
    }
    for way in Way::ALL {
        let site = way.serve_with(SIZE, &["--read-only"]);
        let (image, _) = image(&site, "raw");
        let refused = output(convert(&["-n", "-f", "raw", "-O", "raw", &image, &site.uri]));
        assert_eq!(refused.status.code(), Some(1), "{way:?}: {refused:?}");
        assert!(site.contents().iter().all(|byte| *byte == 0), "{way:?}");
        site.end();
    }
}
