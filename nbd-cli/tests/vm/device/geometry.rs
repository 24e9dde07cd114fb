//! Sizes that fit, and that do not.

use nbd_driver_std::ConnectOptions;
use nbd_driver_std::nbd_proto::uri::NbdUri;
use nbd_kernel::{Attach, BadGeometry, Connection, Error, Interface};
use nbd_testkit::{Nbdkit, Server};

use crate::support::{Site, attribute, open_direct, read_direct};

// K1
pub(crate) fn a_tail_that_fills_no_block_is_out_of_reach(interface: Interface) {
    let site = Site::memory((1 << 20) + 1000);
    let device = site.attach(interface, 1);
    assert_eq!(attribute(&device, "size"), ((1 << 11) + 1).to_string());
    assert_eq!((device.geometry().size, device.geometry().unreachable), ((1 << 20) + 512, 488));
    let file = open_direct(&device.path());
    assert_eq!(read_direct(&file, 512, 1 << 20).unwrap(), [0; 512], "the last block is whole");

    let device = Attach::new().interface(interface).block_size(4096).attach([site.connect()]).unwrap();
    assert_eq!((device.geometry().size, device.geometry().unreachable), (1 << 20, 1000));
    assert_eq!(attribute(&device, "size"), (1 << 11).to_string());
    let file = open_direct(&device.path());
    assert_eq!(read_direct(&file, 4096, (1 << 20) - 4096).unwrap(), [0; 4096], "the last block is whole");
}

fn with_minimum(minimum: u32) -> (Server, Connection) {
    let server = Nbdkit::memory("1M")
        .filter("blocksize-policy")
        .arg(format!("blocksize-minimum={minimum}"))
        .arg(format!("blocksize-preferred={}", minimum.max(4096)))
        .arg("blocksize-error-policy=error")
        .start()
        .unwrap();
    let connection = Connection::open(&NbdUri::parse(&server.uri()).unwrap(), &ConnectOptions::new()).unwrap();
    (server, connection)
}

pub(crate) fn the_servers_minimum_block_size_is_the_devices(interface: Interface) {
    let (_server, connection) = with_minimum(4096);
    let device = Attach::new().interface(interface).attach([connection]).unwrap();
    assert_eq!(attribute(&device, "queue/logical_block_size"), "4096");
    assert_eq!(attribute(&device, "queue/physical_block_size"), "4096");
    assert_eq!(read_direct(&open_direct(&device.path()), 4096, 4096).unwrap(), [0; 4096]);
}

pub(crate) fn a_larger_block_size_can_be_chosen(interface: Interface) {
    let site = Site::memory(1 << 20);
    let device = Attach::new().interface(interface).block_size(2048).attach([site.connect()]).unwrap();
    assert_eq!(attribute(&device, "queue/logical_block_size"), "2048");
}

pub(crate) fn an_export_without_a_whole_block_is_refused(interface: Interface) {
    let site = Site::memory(511);
    let refused = Attach::new().interface(interface).attach([site.connect()]).unwrap_err();
    assert!(matches!(refused, Error::Geometry(BadGeometry::Empty { size: 511, block_size: 512 })), "{refused:?}");
}

pub(crate) fn a_block_larger_than_a_page_is_refused_before_the_first_call(interface: Interface) {
    let (_server, connection) = with_minimum(8192);
    let refused = Attach::new().interface(interface).attach([connection]).unwrap_err();
    let expected = BadGeometry::AboveKernel { wanted: 8192, largest: 4096 };
    assert!(matches!(&refused, Error::Geometry(found) if *found == expected), "{refused:?}");
}
