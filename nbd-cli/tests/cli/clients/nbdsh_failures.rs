//! `nbdsh` is told where a disk failed, and our own client in which words.

use std::fs::File;

use nbd_driver_std::Client;
use nbd_testkit::Tool;

use super::nbdsh::nbdsh;
use super::site::{Keeper, MIB, Replies, Way};

#[test]
fn a_read_fails_where_the_file_ends_and_only_there() {
    if !nbd_testkit::require(&[Tool::Nbdsh]) {
        return;
    }
    for way in Way::ALL.into_iter().filter(|way| way.keeper == Keeper::File && way.replies != Replies::Simple) {
        let site = way.serve(MIB);
        // Somebody makes it shorter, and the disk keeps its size as long as a client uses it.
        let client = Client::connect(&site.uri).unwrap();
        let lines = "
assert h.get_size() == 1 << 20
os.truncate(FILE, 300000)
seen = []
try:
    h.pread_structured(1 << 19, 4096, lambda part, *told: seen.append((len(part), told[0], told[1], told[2].value)))
    assert False, 'it went well'
except nbd.Error as error:
    assert error.errno == 'EIO', error
errors = [(offset, errno) for _, offset, status, errno in seen if status == nbd.READ_ERROR]
assert errors == [(300000, 5)], seen
assert h.pread(4096, 4096) == bytes(4096)
h.shutdown()";
        nbdsh(&site, &lines.replace("FILE", &format!("{:?}", site.served())));
        assert_eq!(File::open(site.served()).unwrap().metadata().unwrap().len(), 300_000);
        let failure = client.read_at(&mut [0; 512], MIB - 512).unwrap_err().to_string();
        assert!(failure.contains("the file has become shorter"), "{way:?}: {failure}");
        client.shutdown().unwrap();
        site.end();
    }
}
