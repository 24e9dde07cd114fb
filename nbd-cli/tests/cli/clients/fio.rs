//! `fio` writes at random, many requests at once, and verifies all of it.

use std::process::Command;

use nbd_testkit::Tool;
use serde_json::Value;

use super::site::{MIB, Site, Way, text};

/// One job, the same in each run.
fn fio(site: &Site, options: &[&str]) -> Command {
    let mut command = Tool::Fio.command().unwrap();
    // It leaves a file with its state in the directory of work, if it fails.
    command.current_dir(site.dir.path());
    command.args(["--name=job", "--ioengine=nbd", "--randseed=7", "--output-format=json", "--verify_fatal=1"]);
    command.args(["--iodepth=32", "--verify_state_save=0", "--size=4M"]).arg(format!("--uri={}", site.uri));
    command.args(options);
    command
}

/// Runs a job, which must end without an error. With how many bytes were written, and how many read.
#[track_caller]
fn run(site: &Site, way: Way, options: &[&str]) -> (u64, u64) {
    let told = text(fio(site, options));
    // The engine says something before.
    let json = &told[told.find("\n{").map_or(0, |at| at + 1)..];
    let all: Value = serde_json::from_str(json).unwrap();
    let [job] = &all["jobs"].as_array().unwrap()[..] else { panic!("{all}") };
    assert_eq!(job["error"], 0, "{way:?}");
    let bytes = |direction: &str| {
        for count in ["short_ios", "drop_ios"] {
            assert_eq!(job[direction][count], 0, "{way:?}: {direction}, {count}");
        }
        job[direction]["io_bytes"].as_u64().unwrap()
    };
    (bytes("write"), bytes("read"))
}

/// At least so many bytes are written, and each of them is read again and verified.
fn verified(options: &[&str], at_least: u64) {
    if !nbd_testkit::require(&[Tool::Fio]) {
        return;
    }
    for way in Way::ALL {
        let site = way.serve(4 * MIB);
        let (written, read) = run(&site, way, options);
        assert!(written >= at_least && read >= written, "{way:?}: {written} written, {read} read");
        site.end().assert_agreed_by_libnbd(way.replies);
    }
}

#[test]
fn blocks_of_4_kib_at_random() {
    verified(&["--rw=randwrite", "--bs=4k", "--verify=crc32c"], 4 * MIB);
}

#[test]
fn reads_among_writes() {
    verified(&["--rw=randrw", "--bs=4k", "--verify=crc32c"], MIB);
}

#[test]
fn blocks_of_any_size_anywhere() {
    verified(&["--rw=randwrite", "--bsrange=512-40000", "--bs_unaligned=1", "--verify=crc32c"], MIB);
}

#[test]
fn trims_and_flushes_among_writes() {
    if !nbd_testkit::require(&[Tool::Fio]) {
        return;
    }
    for way in [Way::ALL[0], Way::ALL[4]] {
        let site = way.serve_traced(4 * MIB);
        let (written, _) = run(&site, way, &["--rw=randtrimwrite", "--bs=4k"]);
        run(&site, way, &["--rw=randwrite", "--bs=64k", "--fsync=16"]);
        assert!(written >= MIB, "{way:?}: {written}");
        let log = site.end();
        for command in ["NBD_CMD_TRIM", "NBD_CMD_WRITE", "NBD_CMD_FLUSH"] {
            assert!(log.has_request(command, "0x0"), "{way:?}: {command}");
        }
    }
}
