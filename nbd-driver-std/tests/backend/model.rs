//! A disk as a plain vector of bytes, and a backend that is to be like it.

use nbd_driver_std::backend::{Backend, Features, ZeroMode};
use nbd_driver_std::nbd_proto::wire::number::ErrorValue;
use proptest::prelude::*;

use crate::support::{BASE_ALLOCATION, HOLE, KIB, MIB, ZERO, extents, is_zero, map, read, stripes};

/// More than two of the largest units that a backend of ours works in, and an odd number of bytes.
pub(crate) const SIZE: u64 = 9 * MIB + 13;

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Read,
    Write { seed: u64, fua: bool },
    WriteZeroes(ZeroMode),
    Trim { fua: bool },
    Flush,
    Cache,
    Extents { one: bool },
}

/// A request, and where.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    offset: u64,
    length: u64,
    step: Step,
}

fn step() -> impl Strategy<Value = Step> {
    let mode = (prop::bool::weighted(0.1), any::<bool>(), any::<bool>()).prop_map(|(fua, no_hole, fast)| ZeroMode {
        fua,
        no_hole,
        fast,
    });
    prop_oneof![
        2 => Just(Step::Read),
        4 => (any::<u64>(), prop::bool::weighted(0.1)).prop_map(|(seed, fua)| Step::Write { seed, fua }),
        4 => mode.prop_map(Step::WriteZeroes),
        2 => prop::bool::weighted(0.1).prop_map(|fua| Step::Trim { fua }),
        1 => Just(Step::Flush),
        1 => Just(Step::Cache),
        2 => any::<bool>().prop_map(|one| Step::Extents { one }),
    ]
}

/// Any number, often one at or beside a boundary that matters to a backend.
fn place() -> impl Strategy<Value = u64> {
    let beside = |unit: u64| (0..=SIZE / unit, 0..3_u64).prop_map(move |(n, off)| (n * unit + off).saturating_sub(1));
    prop_oneof![0..SIZE, beside(64 * KIB), beside(4 * MIB), beside(4 * KIB)]
}

pub(crate) fn requests() -> impl Strategy<Value = Vec<Request>> {
    let length = prop_oneof![1..2000_u64, 1..300_000_u64, (1..6_u64).prop_map(|n| n * 64 * KIB), place()];
    let request = (place(), length, step()).prop_map(|(offset, length, step)| {
        let offset = offset.min(SIZE - 1);
        Request { offset, length: length.clamp(1, SIZE - offset), step }
    });
    prop::collection::vec(request, 1..40)
}

/// Makes the requests of a backend of [`SIZE`] zero bytes (or more), and holds each answer to the model.
pub(crate) fn check(backend: &dyn Backend, requests: &[Request]) {
    let mut model = vec![0; usize::try_from(backend.size()).unwrap()];
    for Request { offset, length, step } in requests {
        let range = usize::try_from(*offset).unwrap()..usize::try_from(offset + length).unwrap();
        let expected = &mut model[range];
        match step {
            Step::Read => assert!(read(backend, *offset, *length) == expected, "read what was written"),
            Step::Write { seed, fua } => {
                expected.copy_from_slice(&stripes(expected.len(), *seed));
                backend.write(expected, *offset, *fua).unwrap();
            }
            Step::WriteZeroes(mode) => match backend.write_zeroes(*offset, *length, *mode) {
                Ok(()) => {
                    expected.fill(0);
                    if mode.no_hole && backend.features().contains(Features::IMMEDIATE) {
                        let found = map(backend, *offset, *length);
                        assert!(found.iter().all(|(_, flags)| *flags != HOLE), "a hole in {found:?}");
                    }
                }
                Err(failure) => {
                    assert!(mode.fast, "{failure}");
                    assert!(!backend.features().contains(Features::IMMEDIATE), "memory is always fast");
                    assert_eq!(failure.error, ErrorValue::ENOTSUP);
                }
            },
            Step::Trim { fua } => {
                backend.trim(*offset, *length, *fua).unwrap();
                // Each byte is what it was or 0, and stays that.
                let now = read(backend, *offset, *length);
                for (expected, now) in expected.chunks(512).zip(now.chunks(512)) {
                    let kept_or_gone = |(was, is): (&u8, &u8)| is == was || *is == 0;
                    assert!(expected == now || expected.iter().zip(now).all(kept_or_gone), "trim made other data");
                }
                expected.copy_from_slice(&now);
            }
            Step::Flush => backend.flush().unwrap(),
            Step::Cache => backend.cache(*offset, *length).unwrap(),
            Step::Extents { one } if !backend.contexts().is_empty() => {
                let mut rest = &expected[..];
                for (length, flags) in extents(backend, *offset, *length, *one) {
                    let (told, behind) = rest.split_at(usize::try_from(length).unwrap());
                    assert!(flags & ZERO == 0 || is_zero(told), "what is told to be zero is not");
                    rest = behind;
                }
            }
            Step::Extents { .. } => {}
        }
    }
    assert!(read(backend, 0, backend.size()) == model, "all is as in the model");
    if backend.contexts().iter().any(|context| context == BASE_ALLOCATION) {
        let mut rest = &model[..];
        for (length, flags) in map(backend, 0, backend.size()) {
            let (told, behind) = rest.split_at(usize::try_from(length).unwrap());
            assert!(flags & ZERO == 0 || is_zero(told), "what is told to be zero is not");
            rest = behind;
        }
        assert!(rest.is_empty(), "extents cover all");
    }
}
