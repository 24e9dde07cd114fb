//! smoke
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
use nbd_driver_std::*;
use nbd_testkit::*;
#[test]
fn smoke() {
    let disk = Disk::patterned(8 << 20, 7);
    let Some(server) = Nbdkit::disk(disk.clone()).start() else { return };
    let c = ConnectOptions::new().meta_context("base:allocation").connect(&server.uri()).unwrap();
    println!("{:?}", c.negotiated());
    let mut b = vec![0; 8 << 20];
    c.read_at(&mut b, 0).unwrap();
    assert!(b == disk.contents());
    c.write_at(&pattern(100_000, 9), 12345).unwrap();
    c.read_at(&mut b[..100_000], 12345).unwrap();
    assert!(b[..100_000] == pattern(100_000, 9));
    for e in c.block_status("base:allocation", 0..c.size()).unwrap() { println!("{e:?}"); }
    std::thread::scope(|s| for t in 0..16 { let c = &c; let d = disk.contents(); s.spawn(move || for i in 0..500u64 { let mut b = vec![0; 4096]; let o = (4 << 20) + ((t * 977 + i * 131) % 1000) * 4096; if i % 3 == 0 { c.write_at(&d[o as usize..][..4096], o).unwrap(); } c.read_at(&mut b, o).unwrap(); assert!(b == d[o as usize..][..4096]); }); });
    let mut q = c.queue();
    for i in 0..64 { q.read(vec![0; 4096], i * 4096).unwrap(); }
    let mut n = 0; while let Some(c) = q.wait() { c.result.unwrap(); n += 1; } assert_eq!(n, 64);
    c.shutdown().unwrap();
}
#[test]
fn smoke_qemu() {
    let disk = Disk::patterned(8 << 20, 7);
    let Some(server) = QemuNbd::new(disk.clone()).qcow2().extended_headers().start() else { return };
    let c = ConnectOptions::new().meta_context("base:allocation").list_contexts(true).connect(&server.uri()).unwrap();
    println!("{:?}", c.negotiated());
    let mut b = vec![0; 8 << 20];
    c.read_at(&mut b, 0).unwrap();
    assert!(b == disk.contents());
    c.write_zeroes(0, 65536).unwrap();
    c.flush().unwrap();
    for e in c.block_status("base:allocation", 0..c.size()).unwrap() { println!("{e:?}"); }
    c.shutdown().unwrap();
    println!("{:?}", ConnectOptions::new().list(&server.uri()));
}
