//! Memory that is used up is an error, and only for what needs more of it.

use std::process::Command;

use nbd_driver_std::backend::{Backend, Failure, Memory};
use nbd_driver_std::nbd_proto::wire::number::ErrorValue;

use crate::support::{KIB, MAY_HOLE, MIB, NO_HOLE, is_zero, read};

const LIMIT: u64 = MIB;

/// Writes one byte each 64 KiB until there is no more memory.
fn fill(memory: &Memory) -> (u64, Failure) {
    let mut at = 0;
    loop {
        assert!(at < 256 * MIB, "there is no limit");
        match memory.write(b"x", at, false) {
            Ok(()) => at += 64 * KIB,
            Err(failure) => return (at, failure),
        }
    }
}

#[test]
fn the_limit_is_kept_and_told() {
    let memory = Memory::new(1 << 40).with_limit(LIMIT);
    let (end, failure) = fill(&memory);
    assert_eq!(failure.error, ErrorValue::ENOSPC);
    assert!(failure.message.contains("1048576 bytes"), "{}", failure.message);
    assert!(memory.used() <= LIMIT, "{} bytes", memory.used());
    assert!(end >= LIMIT / 2, "most of the limit is for contents, not {end} bytes");
}

#[test]
fn a_full_disk_still_reads_rewrites_and_frees() {
    let memory = Memory::new(1 << 40).with_limit(LIMIT);
    let (end, _) = fill(&memory);
    assert!(is_zero(&read(&memory, end, MIB)), "what was refused is not there");
    memory.write(b"again", 10, false).unwrap();
    memory.write_zeroes(0, 5, NO_HOLE).unwrap();
    assert_eq!(read(&memory, 10, 5), b"again");
    memory.write_zeroes(0, 64 * KIB, MAY_HOLE).unwrap();
    memory.write(b"x", end, false).unwrap();
}

#[test]
fn a_refused_write_leaves_nothing_counted() {
    let memory = Memory::new(1 << 40).with_limit(60 * KIB);
    for at in (0..1 << 40).step_by(1 << 36) {
        assert_eq!(memory.write(b"x", at, false).unwrap_err().error, ErrorValue::ENOSPC);
    }
    assert_eq!(memory.used(), 0);
}

#[test]
fn zeroes_that_stay_allocated_count() {
    let memory = Memory::new(1 << 62).with_limit(LIMIT);
    let failure = memory.write_zeroes(1 << 50, 256 * MIB, NO_HOLE).unwrap_err();
    assert_eq!(failure.error, ErrorValue::ENOSPC);
    assert!(memory.used() > LIMIT / 2 && memory.used() <= LIMIT, "{} bytes", memory.used());
    memory.write_zeroes(0, 1 << 62, MAY_HOLE).unwrap();
    assert_eq!(memory.used(), 0);
}

/// Runs itself again in a process that may have little memory.
#[test]
fn a_system_without_memory_is_an_error_too() {
    const CHILD: &str = "NBD_TEST_HAS_LITTLE_MEMORY";
    let name = "memory_limit::a_system_without_memory_is_an_error_too";
    if std::env::var_os(CHILD).is_some() {
        let memory = Memory::new(1 << 62);
        let (end, failure) = fill(&memory);
        assert_eq!(failure, Failure::new(ErrorValue::ENOSPC, "out of memory"));
        assert!(end > 0);
        let used = memory.used();
        memory.write(b"x", end, false).unwrap_err();
        assert_eq!(memory.used(), used, "what was not had is not counted");
        memory.trim(0, MIB, false).unwrap();
        memory.write(b"x", end, false).unwrap();
        return;
    }
    let output = Command::new("sh")
        .args(["-c", "ulimit -v 200000 && exec \"$0\" --exact \"$1\" --test-threads 1"])
        .arg(std::env::current_exe().unwrap())
        .arg(name)
        .env(CHILD, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("1 passed"), "the child ran no test: {said}");
}
