//! `nbd status` and `nbd detach`, as far as no kernel's device is needed.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::Value;

use crate::common::nbd;

/// Whether this machine has an attached device, which is none of our business.
fn any_is_attached() -> bool {
    let disks = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    disks
        .into_iter()
        .any(|disk| disk.file_name().to_string_lossy().starts_with("nbd") && disk.path().join("pid").exists())
}

#[test]
fn no_devices_are_an_empty_list() {
    let text = nbd(["status"]).ok();
    let json = nbd(["status", "--json"]).ok();
    let list: Value = serde_json::from_str(json.text()).unwrap();
    let list = list.as_array().unwrap();
    if !any_is_attached() {
        assert_eq!((text.text(), &list[..]), ("", &[][..]));
    }
}

#[test]
fn a_device_that_is_not_attached_has_an_exit_code_of_its_own() {
    for args in [&["status", "/dev/nbd32000"][..], &["status", "nbd32000"], &["status", "--json", "32000"]] {
        let run = nbd(args);
        assert_eq!((run.code, run.text()), (Some(3), ""), "{run:?}");
        assert_eq!(run.errors, "nbd: /dev/nbd32000 is not attached\n");
    }
}

#[test]
fn what_is_not_attached_cannot_be_detached() {
    for force in [&[][..], &["--force"]] {
        let failure = nbd([&["detach"], force, &["nbd32000"]].concat()).failure();
        assert_eq!(failure, "nbd: /dev/nbd32000 is not attached\n");
    }
}

#[test]
fn another_device_is_no_nbd_device_whatever_leads_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("nbd0");
    symlink("/dev/null", &link).unwrap();
    for device in ["/dev/null", "sda", "nbd0p1", "-", "nbd0\u{1b}[2J", link.to_str().unwrap()] {
        for command in ["status", "detach"] {
            let run = nbd([command, "--", device]);
            assert_eq!(run.code, Some(1), "{command} {device}");
            assert!(run.errors.contains("no NBD device"), "{run:?}");
            assert!(!run.errors.contains('\u{1b}'), "{run:?}");
        }
    }
}
