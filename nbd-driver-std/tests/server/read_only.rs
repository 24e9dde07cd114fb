//! Read-only exports: what they tell, and what they refuse.

use crate::disk::{Call, TestDisk};
use crate::driver::backend::Features;
use crate::driver::nbd_proto::wire::flags::TransmissionFlags;
use crate::driver::nbd_proto::wire::number::ErrorValue;
use crate::driver::{Export, ServerOptions};
use crate::support::{MIB, must_end, serve_with, server_error, unchecked};

fn refuses_writes(disk: TestDisk, export: impl FnOnce(Export) -> Export + Send + 'static) {
    must_end(|| {
        let disk = disk.share();
        let server = serve_with(ServerOptions::new(), [export(Export::shared("disk", disk.clone()))]);
        let client = unchecked().connect(&server.uri).unwrap();
        assert!(client.is_read_only());
        let writing = TransmissionFlags::SEND_FUA
            | TransmissionFlags::SEND_TRIM
            | TransmissionFlags::SEND_WRITE_ZEROES
            | TransmissionFlags::SEND_FAST_ZERO;
        assert!((client.negotiated().info.flags & writing).is_empty());
        assert!(client.offers(TransmissionFlags::CAN_MULTI_CONN | TransmissionFlags::SEND_CACHE));
        assert_eq!(server_error(client.write_at(&[1; 512], 0)), ErrorValue::EPERM);
        client.trim(0, 512).unwrap_err();
        client.write_zeroes(0, 512).unwrap_err();
        assert_eq!(disk.calls(), []);
        client.read_at(&mut [0; 512], 0).unwrap();
        client.cache(0, 512).unwrap();
        assert_eq!(disk.calls(), [Call::Read { offset: 0, length: 512 }, Call::Cache { offset: 0, length: 512 }]);
        client.shutdown().unwrap();
        server.end();
    });
}

#[test]
fn because_the_export_says_so() {
    refuses_writes(TestDisk::patterned(MIB, 1), |export| export.read_only(true));
}

#[test]
fn because_the_backend_cannot_write() {
    refuses_writes(TestDisk::patterned(MIB, 1).features(Features::all() - Features::WRITE), |export| export);
}
