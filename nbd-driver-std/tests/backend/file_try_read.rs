//! What the page cache holds can be read without waiting.

use nbd_driver_std::backend::Backend;

use crate::support::{MIB, directories, open, sparse_file};

#[test]
fn what_was_just_written_is_there() {
    for directory in directories() {
        let file = sparse_file(&directory, MIB);
        let backend = open(file.path());
        backend.write(&[7; 10_000], 500, false).unwrap();
        let mut buffer = [0; 10_000];
        match backend.try_read(&mut buffer, 500) {
            Some(result) => {
                result.unwrap();
                assert_eq!(buffer, [7; 10_000]);
            }
            // A file system may not know how to try.
            None => backend.read(&mut buffer, 500).unwrap(),
        }
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
