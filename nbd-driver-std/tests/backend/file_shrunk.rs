//! A file that others make shorter while it is served.

use nbd_driver_std::backend::Backend;
use nbd_driver_std::nbd_proto::wire::chunk::Descriptor;
use nbd_driver_std::nbd_proto::wire::number::ErrorValue;

use crate::support::{
    BASE_ALLOCATION, KIB, MAY_HOLE, MIB, NO_HOLE, directories, extents, is_zero, open, read, sparse_file,
};

#[test]
fn reads_fail_where_it_ends_and_only_there() {
    let file = sparse_file(&std::env::temp_dir(), MIB);
    let backend = open(file.path());
    backend.write(&[7; 2000], 0, false).unwrap();
    file.as_file().set_len(1000).unwrap();
    let failure = backend.read(&mut [0; 500], 800).unwrap_err();
    assert_eq!(failure.error, ErrorValue::EIO);
    assert_eq!(failure.message, "the file has become shorter");
    assert_eq!(failure.offset, Some(1000));
    assert_eq!(backend.read(&mut [0], 5000).unwrap_err().offset, Some(5000));
    assert_eq!(read(&backend, 0, 1000), [7; 1000]);
    assert_eq!(backend.size(), MIB, "clients keep the size that they were told");
}

#[test]
fn what_is_behind_its_end_is_not_told_to_be_zero() {
    let file = sparse_file(&std::env::temp_dir(), MIB);
    let backend = open(file.path());
    file.as_file().set_len(512 * KIB).unwrap();
    for offset in [0, 512 * KIB, 700 * KIB] {
        let mut found: Vec<Descriptor> = Vec::new();
        let failure = backend.extents(BASE_ALLOCATION, offset, MIB - offset, false, &mut found).unwrap_err();
        assert_eq!((failure.error, failure.offset), (ErrorValue::EIO, Some(offset.max(512 * KIB))));
    }
    assert_eq!(extents(&backend, 0, 512 * KIB, false).len(), 1);
}

#[test]
fn writing_makes_it_longer_again() {
    let file = sparse_file(&std::env::temp_dir(), MIB);
    let backend = open(file.path());
    file.as_file().set_len(0).unwrap();
    backend.write(&[7; 10], MIB - 10, false).unwrap();
    assert_eq!(read(&backend, MIB - 20, 20), [[0; 10], [7; 10]].concat());
}

#[test]
fn zeroes_behind_its_end_can_be_read_too() {
    for directory in directories() {
        let file = sparse_file(&directory, MIB);
        let disk = open(file.path());
        for (number, mode) in [MAY_HOLE, NO_HOLE].into_iter().enumerate() {
            file.as_file().set_len(4096).unwrap();
            disk.write_zeroes(300_000, 100_000, mode).unwrap();
            assert!(is_zero(&read(&disk, 300_000, 100_000)), "{number} in {}", directory.display());
            assert_eq!(file.as_file().metadata().unwrap().len(), 400_000);
        }
    }
}
