//! CVE-2023-5215: a server tells a size of 2^63 bytes or more, and a program that keeps sizes in signed numbers shows or
//! uses a negative one.
//!
//! We promise: `nbd info` shows each size as it is, also in JSON; maps and copies reach to the end, or are refused with a
//! reason.

use std::sync::Arc;

use nbd_driver_std::backend::Null;
use nbd_driver_std::server::{Export, Listener, Running, Server, ServerOptions};
use serde_json::Value;

use crate::common::nbd;

const SIZES: [u64; 3] = [1 << 63, (1 << 63) + 4096, u64::MAX];

/// A server of a disk of this size, all of it a hole.
fn serve(size: u64) -> (Running, String, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let listener = Listener::unix(dir.path().join("socket")).unwrap();
    let uri = listener.uri("").unwrap();
    let server = Server::new(ServerOptions::new()).export(Export::shared("", Arc::new(Null::new(size))));
    (server.start([listener]).unwrap(), uri, dir)
}

#[test]
fn info_and_map_show_them_as_they_are() {
    for size in SIZES {
        let (_server, uri, _dir) = serve(size);
        assert_eq!(nbd(["info", "--size", &uri]).ok().text(), format!("{size}\n"));
        let shown = nbd(["info", &uri]).ok();
        assert!(shown.text().contains(&format!("\texport-size: {size}")), "{shown:?}");
        let json: Value = serde_json::from_str(nbd(["info", "--json", &uri]).ok().text()).unwrap();
        assert_eq!(json["exports"][0]["export-size"], size);

        let map = nbd(["info", "--map", &uri]).ok();
        assert_eq!(map.text().split_whitespace().collect::<Vec<_>>(), ["0", &size.to_string(), "3", "hole,zero"]);
        let json: Value = serde_json::from_str(nbd(["info", "--map", "--json", &uri]).ok().text()).unwrap();
        assert_eq!((&json[0]["offset"], &json[0]["length"]), (&Value::from(0), &Value::from(size)));
        let totals = nbd(["info", "--map", "--totals", &uri]).ok();
        assert!(totals.text().contains(&format!("{size} 100.0%")), "{totals:?}");
    }
}

#[test]
fn a_copy_reaches_to_the_end_or_is_refused_with_a_reason() {
    for size in SIZES {
        let (_server, uri, dir) = serve(size);
        nbd(["copy", &uri, "null:"]).ok();
        // No file is as long as that.
        let file = dir.path().join("file");
        let failure = nbd(["copy", &uri, file.to_str().unwrap()]).failure();
        assert!(failure.contains(&size.to_string()) && failure.contains("no file can be as long as that"), "{failure}");
        assert_eq!(std::fs::metadata(&file).map_or(0, |file| file.len()), 0);
        // Nor has a smaller export room for it, but it has room for any file.
        let (_small, smaller, _other) = serve(size - 1);
        nbd(["copy", &uri, &smaller]).failure();
        std::fs::write(&file, [7; 4096]).unwrap();
        nbd(["copy", file.to_str().unwrap(), &uri]).ok();
    }
}
