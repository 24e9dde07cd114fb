//! A view through which nobody writes.

use std::sync::Arc;

use nbd_driver_std::backend::{Backend, Failure, Features, Memory, ReadOnly};
use nbd_driver_std::nbd_proto::wire::number::ErrorValue;

use crate::pointers::Probe;
use crate::support::{DATA, HOLE, KIB, MAY_HOLE, MIB, NO_HOLE, map, read};

#[test]
fn nothing_that_writes_is_offered_and_all_of_it_is_refused() {
    let probe = Arc::new(Probe::default());
    let view = ReadOnly::new(Arc::clone(&probe));
    assert_eq!(view.features(), Features::CACHE | Features::MULTI_CONN | Features::ROTATIONAL | Features::IMMEDIATE);
    let refusal = Err(Failure::new(ErrorValue::EPERM, "this export is read-only"));
    assert_eq!(view.write(&[1], 0, true), refusal);
    assert_eq!(view.trim(0, 1, true), refusal);
    assert_eq!(view.write_zeroes(0, 1, MAY_HOLE), refusal);
    assert_eq!(view.write_zeroes(0, 1, NO_HOLE), refusal);
    view.flush().unwrap();
    assert!(probe.calls().is_empty(), "the backend hears nothing of it");
}

#[test]
fn all_that_reads_is_handed_on() {
    let probe = Arc::new(Probe::default());
    let view = ReadOnly::new(Arc::clone(&probe));
    assert_eq!((view.size(), view.block_sizes()), (probe.size(), probe.block_sizes()));
    assert_eq!(view.contexts(), ["x-test:"]);
    view.read(&mut [0], 0).unwrap();
    view.try_read(&mut [0], 0).unwrap().unwrap();
    view.cache(0, 1).unwrap();
    view.extents("x-test:", 0, 1, false, &mut Vec::new()).unwrap();
    assert_eq!(probe.calls(), ["read", "try_read", "cache", "extents"]);
}

#[test]
fn what_others_write_is_seen() {
    let memory = Arc::new(Memory::new(MIB));
    let view = ReadOnly::new(Arc::clone(&memory) as Arc<dyn Backend>);
    memory.write(b"seen", 100, false).unwrap();
    assert_eq!(read(&view, 100, 4), b"seen");
    assert_eq!(map(&view, 0, MIB), [(64 * KIB, DATA), (MIB - 64 * KIB, HOLE)]);
    view.into_inner().write(b"more", 100, false).unwrap();
    assert_eq!(read(&*memory, 100, 4), b"more");
}
