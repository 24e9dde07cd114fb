//! Command flags, on servers that know them. Without an offer, each is refused before it is sent.

use nbd_testkit::{Disk, NbdServer, Nbdkit, QemuNbd, Server};

use crate::driver::nbd_proto::error::Refused;
use crate::driver::nbd_proto::transmission::Checks;
use crate::driver::nbd_proto::wire::flags::{CommandFlags, TransmissionFlags};
use crate::driver::nbd_proto::wire::number::ErrorValue;
use crate::driver::{Client, ConnectOptions};
use crate::support::{MIB, contents, must_end, refused, server_error};

fn client(server: &Server) -> Client {
    ConnectOptions::new().meta_context("base:allocation").connect(&server.uri()).unwrap()
}

fn disk() -> Disk {
    Disk::patterned(1 << 20, 1)
}

#[test]
fn df_brings_the_data_in_one_piece() {
    must_end(|| {
        for server in [Nbdkit::disk(disk()).start(), QemuNbd::new(disk()).start()].into_iter().flatten() {
            let client = client(&server);
            assert!(client.offers(TransmissionFlags::SEND_DF));
            let mut data = vec![0; 100_000];
            client.read_at_with(&mut data, 1000, CommandFlags::DF).unwrap();
            assert!(data == disk().contents()[1000..101_000]);
        }
    });
}

#[test]
fn fua_goes_with_every_writing_command() {
    must_end(|| {
        for server in [Nbdkit::disk(disk()).start(), QemuNbd::new(disk()).start()].into_iter().flatten() {
            let client = client(&server);
            client.write_at_with(&[9; 512], 0, CommandFlags::FUA).unwrap();
            client.write_zeroes_with(512, 512, CommandFlags::FUA).unwrap();
            client.trim_with(4096, 4096, CommandFlags::FUA).unwrap();
            assert_eq!(contents(&server)[..1024], [[9; 512], [0; 512]].concat());
        }
    });
}

#[test]
fn no_hole_keeps_the_space() {
    must_end(|| {
        let Some(server) = QemuNbd::new(disk()).option("--discard=unmap").start() else { return };
        let client = client(&server);
        let flags = |offset| client.block_status("base:allocation", offset..offset + 65536).unwrap().next();
        client.write_zeroes_with(0, 65536, CommandFlags::NO_HOLE).unwrap();
        client.write_zeroes_with(65536, 65536, CommandFlags::empty()).unwrap();
        assert_eq!(flags(0).unwrap().unwrap().flags & 1, 0, "space for what may not become a hole");
        assert_eq!(flags(65536).unwrap().unwrap().flags, 3, "a hole for what may");
        assert!(contents(&server)[..131_072].iter().all(|byte| *byte == 0));
    });
}

#[test]
fn fast_zero_is_fast_or_fails() {
    must_end(|| {
        // The script can make zeroes only slowly.
        let slow = Nbdkit::new("eval")
            .arg("get_size=echo 1048576")
            .arg("pread=head -c $3 /dev/zero")
            .arg("pwrite=cat >/dev/null")
            .arg("can_write=exit 0")
            .arg("can_zero=exit 0")
            .arg("can_fast_zero=exit 0")
            .arg("zero=case \",$5,\" in *,fast,*) echo ENOTSUP no way >&2; exit 1;; esac")
            .start();
        if let Some(server) = slow {
            let client = client(&server);
            assert!(client.offers(TransmissionFlags::SEND_FAST_ZERO));
            let error = server_error(client.write_zeroes_with(0, 512, CommandFlags::FAST_ZERO));
            assert_eq!(error, ErrorValue::ENOTSUP);
            client.write_zeroes(0, 512).unwrap();
        }
        let Some(server) = Nbdkit::memory("1M").start() else { return };
        let client = client(&server);
        client.write_zeroes_with(0, 512, CommandFlags::FAST_ZERO | CommandFlags::NO_HOLE).unwrap();
    });
}

#[test]
fn req_one_brings_one_extent() {
    must_end(|| {
        let disk = || Disk::empty(MIB).data(0, [1; 4096]).data(65536, [1; 4096]).data(500_000, [1; 4096]);
        for server in [Nbdkit::disk(disk()).start(), QemuNbd::new(disk()).start()].into_iter().flatten() {
            let client = client(&server);
            let all = client.block_status_once(0, MIB, CommandFlags::empty()).unwrap();
            assert!(all[0].extents.len() > 1, "{all:?}");
            let one = client.block_status_once(0, MIB, CommandFlags::REQ_ONE).unwrap();
            assert_eq!((one.len(), one[0].extents.len()), (1, 1), "{one:?}");
            assert_eq!(one[0].extents[0].offset, 0);
        }
    });
}

#[test]
fn flags_that_are_not_offered_or_do_not_belong_are_refused() {
    must_end(|| {
        let Some(server) = NbdServer::new().export("one", disk()).set("fua", "false").start() else { return };
        let client = client(&server);
        assert!(!client.offers(TransmissionFlags::SEND_DF));
        let attempts = [
            client.read_at_with(&mut [0; 512], 0, CommandFlags::DF),
            client.read_at_with(&mut [0; 512], 0, CommandFlags::FUA),
            client.write_at_with(&[0; 512], 0, CommandFlags::NO_HOLE),
            client.write_at_with(&[0; 512], 0, CommandFlags::REQ_ONE),
            client.trim_with(0, 512, CommandFlags::NO_HOLE),
            client.write_zeroes_with(0, 512, CommandFlags::FAST_ZERO),
        ];
        for attempt in attempts {
            let refused = refused(attempt);
            assert!(matches!(refused, Refused::Flags { .. } | Refused::NotOffered { .. }), "{refused:?}");
        }
        assert!(contents(&server) == disk().contents());
    });
}

#[test]
fn a_check_that_is_off_lets_the_server_judge() {
    must_end(|| {
        let Some(server) = Nbdkit::disk(disk()).readonly().start() else { return };
        let options = ConnectOptions::new().checks(Checks::all() - Checks::READ_ONLY - Checks::BOUNDS);
        let client = options.connect(&server.uri()).unwrap();
        assert_eq!(server_error(client.write_at(&[1; 512], 0)), ErrorValue::EPERM);
        assert_eq!(server_error(client.read_at(&mut [1; 512], MIB)), ErrorValue::EINVAL);
        client.read_at(&mut [1; 512], 0).unwrap();
    });
}
