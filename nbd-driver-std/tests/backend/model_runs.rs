//! Each backend that keeps what is written is like the model.

use nbd_driver_std::backend::{Backend, Memory};
use proptest::prelude::*;

use crate::model::{SIZE, check, requests};
use crate::support::{open, shared_memory, skip, sparse_file};

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(96))]

    #[test]
    fn memory_is_like_the_model(requests in requests()) {
        let memory = Memory::new(SIZE);
        check(&memory, &requests);
        memory.trim(0, SIZE, false).unwrap();
        prop_assert_eq!(memory.used(), 0, "nothing is left of a disk that was trimmed");
    }
}

proptest! {
    #![proptest_config(config(24))]

    #[test]
    fn a_file_on_disk_is_like_the_model(requests in requests()) {
        let file = sparse_file(&std::env::temp_dir(), SIZE);
        check(&open(file.path()), &requests);
        prop_assert_eq!(file.as_file().metadata().unwrap().len(), SIZE, "its size stays");
    }

    #[test]
    fn a_file_in_memory_is_like_the_model(requests in requests()) {
        let Some(directory) = shared_memory() else {
            skip("there is no place for files in memory");
            return Ok(());
        };
        let file = sparse_file(directory, SIZE);
        check(&open(file.path()), &requests);
    }
}
