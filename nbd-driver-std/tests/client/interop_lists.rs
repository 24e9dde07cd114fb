//! Lists of exports: names, descriptions, details.

use nbd_testkit::{Disk, NbdServer, Nbdkit, QemuNbd, Server, pattern};

use crate::driver::nbd_proto::handshake::Listing;
use crate::driver::{Client, ConnectOptions};
use crate::support::{KIB, MIB, must_end};

fn list(server: &Server) -> Listing {
    ConnectOptions::new().list(&server.uri()).unwrap()
}

/// Names and descriptions, in the alphabet's order.
fn exports(listing: &Listing) -> Vec<(&str, &str)> {
    let mut exports: Vec<_> =
        listing.exports.iter().map(|export| (&export.name[..], &export.description[..])).collect();
    exports.sort_unstable();
    exports
}

#[test]
fn nbd_server_lists_all_its_exports() {
    must_end(|| {
        let disks = [Disk::empty(MIB), Disk::patterned(64 << 10, 1), Disk::patterned(512, 2)];
        let [one, two, three] = disks.clone();
        let Some(server) = NbdServer::new().export("one", one).export("two", two).export("three", three).start() else {
            return;
        };
        assert_eq!(exports(&list(&server)), [("one", ""), ("three", ""), ("two", "")]);
        for (name, disk) in ["one", "two", "three"].into_iter().zip(disks) {
            let client = Client::connect(&server.uri_of(name)).unwrap();
            let mut data = vec![0xee; client.size() as usize];
            client.read_at(&mut data, 0).unwrap();
            assert!(data == disk.contents(), "{name}");
        }
        let error = Client::connect(&server.uri_of("four")).unwrap_err().to_string();
        assert!(error.contains("four") || error.contains("export"), "{error}");
    });
}

#[test]
fn nbdkit_lists_the_files_of_a_directory() {
    must_end(|| {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a file"), pattern(4096, 1)).unwrap();
        std::fs::write(dir.path().join("größer"), pattern(64 << 10, 2)).unwrap();
        let Some(server) = Nbdkit::new("file").arg(format!("dir={}", dir.path().display())).start() else { return };
        let listing = list(&server);
        assert_eq!(exports(&listing), [("a file", ""), ("größer", "")]);
        for export in &listing.exports {
            let client = Client::connect(&server.uri_of(&export.name)).unwrap();
            assert_eq!(export.info.clone().unwrap().unwrap().size, client.size());
            let mut data = vec![0; client.size() as usize];
            client.read_at(&mut data, 0).unwrap();
            assert_eq!(data, std::fs::read(dir.path().join(&export.name)).unwrap());
        }
    });
}

#[test]
fn nbdkit_lists_names_and_descriptions() {
    must_end(|| {
        let server = Nbdkit::memory("1M")
            .filter("exportname")
            .arg("default-export=first")
            .arg("exportname=first")
            .arg("exportname=second")
            .arg("exportname-list=explicit")
            .arg("exportdesc=fixed:for all")
            .start();
        let Some(server) = server else { return };
        let listing = list(&server);
        let names: Vec<_> = exports(&listing).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["first", "second"]);
        for export in &listing.exports {
            let info = export.info.clone().unwrap().unwrap();
            assert_eq!(info.description.as_deref(), Some("for all"), "{export:?}");
            assert_eq!(export.contexts, ["base:allocation"]);
        }
        // The default export has a name of its own.
        let client = Client::connect(&server.uri()).unwrap();
        assert_eq!(client.negotiated().info.canonical_name.as_deref(), Some("first"));
    });
}

#[test]
fn qemu_lists_its_export_with_all_about_it() {
    must_end(|| {
        let disk = Disk::patterned(1 << 20, 1);
        let server = QemuNbd::new(disk)
            .export("backup")
            .description("every night")
            .bitmap("monday", 65536, &[0..64 * KIB])
            .start();
        let Some(server) = server else { return };
        let listing = list(&server);
        assert_eq!(exports(&listing), [("backup", "every night")]);
        let export = &listing.exports[0];
        let info = export.info.clone().unwrap().unwrap();
        assert_eq!((info.size, info.block_sizes.is_some()), (MIB, true));
        assert_eq!(export.contexts, ["base:allocation", "qemu:dirty-bitmap:monday"]);
        let error = Client::connect(&server.uri_of("other")).unwrap_err().to_string();
        assert!(error.contains("other") || error.contains("export"), "{error}");
    });
}

#[test]
fn a_read_only_export_is_seen_as_one() {
    must_end(|| {
        let disk = || Disk::patterned(1 << 20, 1);
        let servers = [
            Nbdkit::disk(disk()).readonly().start(),
            QemuNbd::new(disk()).readonly().start(),
            NbdServer::new().export("one", disk()).readonly().start(),
        ];
        for server in servers.into_iter().flatten() {
            let client = Client::connect(&server.uri()).unwrap();
            assert!(client.is_read_only());
            for error in [client.write_at(&[1], 0), client.write_zeroes(0, 1), client.trim(0, 1)] {
                assert!(error.unwrap_err().to_string().contains("read-only"));
            }
            client.read_at(&mut [0; 512], 0).unwrap();
        }
    });
}
