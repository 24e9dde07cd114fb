//! Each call on a node fails in its turn.

use nbd_proto::wire::flags::TransmissionFlags;
use rustix::io::Errno;

use super::support::{by_ioctl, device, errno_of, step_of};
use crate::error::{Error, Step};
use crate::recorded::{FIRST, Kernel, Offer};

/// The call, how often it goes well before, and what the error says.
const STEPS: [(&str, usize, Step); 8] = [
    ("open", 0, Step::OpenNode),
    ("SET_SOCK", 0, Step::SetSock),
    ("SET_SOCK", 1, Step::SetSock),
    ("SET_BLKSIZE", 0, Step::SetBlkSize),
    ("SET_SIZE_BLOCKS", 0, Step::SetSizeBlocks),
    ("SET_TIMEOUT", 0, Step::SetTimeout),
    ("SET_FLAGS", 0, Step::SetFlags),
    ("BLKROSET", 0, Step::SetReadOnly),
];

/// Tries to attach with two connections.
fn attach(kernel: &Kernel) -> Error {
    let (ours, _servers): (Vec<_>, Vec<_>) =
        [(); 2].map(|()| Offer::default().flags(TransmissionFlags::READ_ONLY).shared().connect()).into_iter().unzip();
    by_ioctl().device(device(2)).attach_on(&kernel.system(), ours).unwrap_err()
}

/// What has to come behind the call that failed.
fn clean_up(call: &str, spared: usize) -> Vec<String> {
    let close = format!("close {}", FIRST + 2);
    match (call, spared) {
        ("open", _) => vec![],
        // The device is not ours: to clear it would end another's.
        ("SET_SOCK", 0) => vec![close],
        _ => vec!["CLEAR_SOCK".to_owned(), close],
    }
}

// K2
#[test]
fn each_failure_names_its_step_device_and_errno_and_is_the_last_call_but_for_the_clean_up() {
    for (call, spared, step) in STEPS {
        for errno in [Errno::IO, Errno::NOMEM, Errno::PERM] {
            let kernel = Kernel::new();
            kernel.fail_times(call, errno, spared, 1);
            if call == "BLKROSET" {
                kernel.fail("SET_FLAGS", Errno::NOTTY);
            }
            let error = attach(&kernel);
            assert_eq!((step_of(&error), errno_of(&error)), (Some(step), Some(errno)), "{error}");
            let text = error.to_string();
            assert!(text.starts_with(&format!("{}: {step}: ", device(2))), "{text}");
            assert_eq!(text.contains("CAP_SYS_ADMIN"), errno == Errno::PERM, "{text}");

            let calls = kernel.calls();
            let place = calls.iter().rposition(|kept| kept.split(' ').next() == Some(call)).unwrap();
            assert_eq!(calls[place + 1..], clean_up(call, spared), "{call} {spared}");
            assert!(!calls.contains(&"DO_IT".to_owned()));
        }
    }
}

// K2, K3
#[test]
fn the_first_errno_survives_a_clean_up_that_fails() {
    for (call, spared, step) in STEPS {
        let kernel = Kernel::new();
        kernel.fail_times(call, Errno::NOMEM, spared, 1);
        kernel.fail("CLEAR_SOCK", Errno::IO);
        if call == "BLKROSET" {
            kernel.fail("SET_FLAGS", Errno::NOTTY);
        }
        let error = attach(&kernel);
        assert_eq!((step_of(&error), errno_of(&error)), (Some(step), Some(Errno::NOMEM)), "{error}");
    }
}

// K3
#[test]
fn a_device_that_is_not_started_is_cleared_and_its_errno_survives() {
    for errno in [Errno::INVAL, Errno::BUSY] {
        let kernel = Kernel::new();
        kernel.fail("DO_IT", errno);
        kernel.fail("CLEAR_QUE", Errno::IO);
        kernel.fail("CLEAR_SOCK", Errno::NOMEM);
        let error = attach(&kernel);
        assert_eq!((step_of(&error), errno_of(&error)), (Some(Step::DoIt), Some(errno)), "{error}");
        let calls = kernel.calls();
        let place = calls.iter().position(|call| call == "DO_IT").unwrap();
        assert_eq!(calls[place + 1..], ["CLEAR_QUE", "CLEAR_SOCK", &format!("close {}", FIRST + 2)]);
    }
}

#[test]
fn a_block_size_that_the_kernel_refuses_is_explained() {
    let kernel = Kernel::new();
    kernel.fail("SET_BLKSIZE", Errno::INVAL);
    let text = attach(&kernel).to_string();
    assert!(text.contains("does not take such a block size"), "{text}");
}
