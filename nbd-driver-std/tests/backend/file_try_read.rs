//! What the page cache holds can be read without waiting.

use std::io::IoSliceMut;

use nbd_driver_std::backend::Backend;
use rustix::io::{ReadWriteFlags, preadv2};

use crate::support::{MIB, directories, open, skip, sparse_file};

#[test]
fn what_was_just_written_is_there() {
    for directory in directories() {
        let file = sparse_file(&directory, MIB);
        let backend = open(file.path());
        backend.write(&[7; 10_000], 500, false).unwrap();
        let mut buffer = [0; 10_000];
        let at_once = preadv2(file.as_file(), &mut [IoSliceMut::new(&mut buffer)], 500, ReadWriteFlags::NOWAIT);
        if at_once != Ok(10_000) {
            skip(&format!("the file system of {} does not know how to read without waiting", directory.display()));
            continue;
        }
        buffer.fill(0);
        backend.try_read(&mut buffer, 500).unwrap().unwrap();
        assert_eq!(buffer, [7; 10_000]);
    }
}

/// Whoever tries gets all or nothing; what is wrong is for the other call to tell.
#[test]
fn the_end_of_a_file_that_became_shorter_is_no_success() {
    let file = sparse_file(&std::env::temp_dir(), MIB);
    let backend = open(file.path());
    backend.write(&[7; 2000], 0, false).unwrap();
    file.as_file().set_len(1000).unwrap();
    assert_eq!(backend.try_read(&mut [0; 500], 800), None);
    assert_eq!(backend.try_read(&mut [0; 500], 5000), None);
    backend.read(&mut [0; 500], 800).unwrap_err();
}
