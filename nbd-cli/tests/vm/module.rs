//! The guest itself: the kernel's module, before and after it is loaded.

use std::fs;
use std::path::Path;

use nbd_testkit::guest_test;
use nbd_testkit::vm::GuestTest;

pub(crate) const TESTS: &[GuestTest] = &[
    guest_test!(there_are_no_devices_without_the_module).without_module(),
    guest_test!(devices_are_empty_once_the_module_is_loaded),
];

fn there_are_no_devices_without_the_module() {
    assert!(!Path::new("/dev/nbd0").exists());
    assert!(!Path::new("/sys/block/nbd0").exists());
}

fn devices_are_empty_once_the_module_is_loaded() {
    assert!(Path::new("/dev/nbd0").exists());
    assert_eq!(fs::read_to_string("/sys/block/nbd0/size").unwrap(), "0\n");
}
