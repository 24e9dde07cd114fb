//! Tests that pass, fail, hang and kill the kernel. They run in the guest.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use nbd_testkit::guest_test;
use nbd_testkit::vm::{GuestTest, LOGS, Suite};

pub(crate) const SUITE: Suite = Suite {
    modules: &[("outcomes", OUTCOMES), ("crash", CRASH)],
    programs: &[],
    scratch: concat!(env!("CARGO_TARGET_TMPDIR"), "/vm-testkit"),
    between_tests: remove_spoiled,
};

const OUTCOMES: &[GuestTest] = &[
    guest_test!(has_no_module_before_it_is_loaded).without_module(),
    guest_test!(panics),
    guest_test!(hangs).limit(5),
    guest_test!(exits),
    guest_test!(leaves_much).limit(60),
    guest_test!(finds_nothing_of_it),
    guest_test!(spoils_the_next_one),
    guest_test!(is_not_spoiled),
];

const CRASH: &[GuestTest] = &[guest_test!(passes), guest_test!(kills_the_kernel), guest_test!(never_runs)];

const SPOILED: &str = "/run/spoiled";

fn remove_spoiled() {
    assert!(fs::remove_file(SPOILED).is_err(), "{SPOILED} is left");
}

fn has_no_module_before_it_is_loaded() {
    assert!(!Path::new("/sys/module/nbd").exists());
}

fn panics() {
    assert!(Path::new("/sys/module/nbd").exists());
    println!("printed before it");
    fs::write("/dev/kmsg", "said to the kernel's log").unwrap();
    assert_eq!("1 + 1", "2");
}

fn hangs() {
    loop {
        thread::park();
    }
}

fn exits() {
    std::process::exit(7);
}

/// A file, a mount, and a process that has left its parent and its session, and holds both.
fn leaves_much() {
    fs::create_dir("/tmp/mount").unwrap();
    let run = |program: &str, args: &[&str]| assert!(Command::new(program).args(args).status().unwrap().success());
    run("mount", &["-t", "tmpfs", "left", "/tmp/mount"]);
    fs::write("/tmp/mount/file", "").unwrap();
    let mut child = Command::new("setsid")
        .args(["sleep", "1000"])
        .current_dir("/tmp/mount")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert!(child.try_wait().unwrap().is_none());
    fs::write(Path::new(LOGS).join("sleeper"), child.id().to_string()).unwrap();
}

fn finds_nothing_of_it() {
    assert_eq!(fs::read_dir("/tmp").unwrap().count(), 0);
    assert!(!fs::read_to_string("/proc/mounts").unwrap().contains("left"));
    let sleeper = fs::read_to_string(Path::new(LOGS).join("sleeper")).unwrap();
    assert!(!Path::new("/proc").join(sleeper).exists());
}

fn spoils_the_next_one() {
    fs::write(SPOILED, "").unwrap();
}

fn is_not_spoiled() {
    assert!(!Path::new(SPOILED).exists());
}

fn passes() {}

fn kills_the_kernel() {
    fs::write("/proc/sysrq-trigger", "c").unwrap();
}

fn never_runs() {}
