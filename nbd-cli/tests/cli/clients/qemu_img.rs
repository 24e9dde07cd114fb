//! `qemu-img` looks at what is served, and measures it.

use std::fs;
use std::process::Command;

use nbd_testkit::{Tool, pattern};
use serde_json::Value;

use super::site::{MIB, Replies, Way, output, text, utf8};

fn qemu_img(args: &[&str]) -> Command {
    let mut command = Tool::QemuImg.command().unwrap();
    command.args(args);
    command
}

#[test]
fn info_has_the_size_and_the_format() {
    if !Tool::QemuImg.at_least(8, 2) {
        return;
    }
    for way in Way::ALL {
        let site = way.serve(5 * MIB);
        let info: Value = serde_json::from_str(&text(qemu_img(&["info", "--output=json", &site.uri]))).unwrap();
        assert_eq!((&info["virtual-size"], &info["format"]), (&Value::from(5 * MIB), &Value::from("raw")), "{way:?}");
        site.end().assert_agreed(way.replies);
    }
}

/// Start, length, and whether it is data and not zeroes.
fn map(uri: &str) -> Vec<(u64, u64, bool)> {
    let map: Value = serde_json::from_str(&text(qemu_img(&["map", "--output=json", "-f", "raw", uri]))).unwrap();
    let extents = map.as_array().unwrap().iter();
    let row = |extent: &Value| {
        let [data, zero] = ["data", "zero"].map(|field| extent[field].as_bool().unwrap());
        assert_ne!(data, zero, "{extent}");
        (extent["start"].as_u64().unwrap(), extent["length"].as_u64().unwrap(), data)
    };
    extents.map(row).collect()
}

#[test]
fn map_draws_what_was_written() {
    if !Tool::QemuImg.at_least(8, 2) {
        return;
    }
    for way in Way::ALL {
        let site = way.serve(8 * MIB);
        site.fill(&[(MIB, pattern(2 << 20, 1)), (7 * MIB, pattern(1 << 20, 2))]);
        let expected = match way.replies {
            Replies::Simple => vec![(0, 8 * MIB, true)],
            _ => vec![(0, MIB, false), (MIB, 2 * MIB, true), (3 * MIB, 4 * MIB, false), (7 * MIB, MIB, true)],
        };
        assert_eq!(map(&site.uri), expected, "{way:?}");
        site.end().assert_agreed(way.replies);
    }
}

#[test]
fn compare_finds_a_single_byte() {
    if !Tool::QemuImg.at_least(8, 2) {
        return;
    }
    for way in Way::ALL {
        let site = way.serve(4 * MIB);
        let image = site.path("image");
        let mut bytes = vec![0; 4 << 20];
        bytes[1 << 20..2 << 20].copy_from_slice(&pattern(1 << 20, 1));
        fs::write(&image, &bytes).unwrap();
        site.fill(&[(MIB, pattern(1 << 20, 1))]);
        let compare = || output(qemu_img(&["compare", "-f", "raw", "-F", "raw", utf8(&image), &site.uri]));
        let same = compare();
        assert_eq!(same.status.code(), Some(0), "{way:?}: {same:?}");
        site.fill(&[(3 * MIB + 1025, vec![1])]);
        let different = compare();
        assert_eq!(different.status.code(), Some(1), "{way:?}: {different:?}");
        // It compares by sectors.
        assert!(String::from_utf8_lossy(&different.stdout).contains("offset 3146752"), "{way:?}: {different:?}");
        site.end().assert_agreed(way.replies);
    }
}

#[test]
fn bench_reads_writes_and_flushes() {
    if !Tool::QemuImg.at_least(8, 2) {
        return;
    }
    for way in Way::ALL {
        let site = way.serve_traced(4 * MIB);
        let count = ["bench", "-f", "raw", "-t", "none", "-c", "300", "-d", "32"];
        let reads = ["-s", "4096", "-S", "8192", &site.uri];
        let writes = ["-s", "5632", "-w", "--pattern=90", "--flush-interval=50", &site.uri];
        for how in [&reads[..], &writes] {
            let told = text(qemu_img(&[&count[..], how].concat()));
            assert!(told.contains("Run completed"), "{way:?}: {told}");
        }
        // 300 writes, one behind the other.
        let bytes = site.contents();
        let end = 300 * 5632;
        assert!(bytes[..end].iter().all(|byte| *byte == 90) && bytes[end..].iter().all(|byte| *byte == 0), "{way:?}");
        let log = site.end();
        assert!(log.has_request("NBD_CMD_FLUSH", "0x0"), "{way:?}");
        log.assert_agreed(way.replies);
    }
}
