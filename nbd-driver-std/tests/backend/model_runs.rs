//! Each backend that keeps what is written is like the model.

use nbd_driver_std::backend::{Backend, Memory};
use proptest::test_runner::{Config, TestRunner};

use crate::model::{Request, SIZE, check, requests};
use crate::support::{open, shared_memory, skip, sparse_file};

/// Runs with so many random lists of requests.
pub(crate) fn with_requests(cases: u32, run: impl Fn(&[Request])) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let run = |requests: Vec<Request>| {
        run(&requests);
        Ok(())
    };
    TestRunner::new(config).run(&requests(), run).unwrap();
}

#[test]
fn memory_is_like_the_model() {
    with_requests(96, |requests| {
        let memory = Memory::new(SIZE);
        check(&memory, requests);
        memory.trim(0, SIZE, false).unwrap();
        assert_eq!(memory.used(), 0, "nothing is left of a disk that was trimmed");
    });
}

#[test]
fn a_file_on_disk_is_like_the_model() {
    with_requests(24, |requests| {
        let file = sparse_file(&std::env::temp_dir(), SIZE);
        check(&open(file.path()), requests);
        assert_eq!(file.as_file().metadata().unwrap().len(), SIZE, "its size stays");
    });
}

#[test]
fn a_file_in_memory_is_like_the_model() {
    let Some(directory) = shared_memory() else { return skip("there is no place for files in memory") };
    with_requests(24, |requests| {
        let file = sparse_file(directory, SIZE);
        check(&open(file.path()), requests);
    });
}
