//! What `NBD_DO_IT` comes to, and what that means.

use rustix::io::Errno;

use super::support::{by_ioctl, device, errno_of, step_of};
use crate::device::{Device, Ended};
use crate::error::{Error, Step};
use crate::geometry::Geometry;
use crate::ioctl::{Claim, Running};
use crate::record;
use crate::recorded::{FIRST, Kernel, Offer};
use crate::settings::Settings;

/// However a device ends; 0 stands for all of it on newer kernels.
const ENDS: [Result<(), Errno>; 5] =
    [Ok(()), Err(Errno::PIPE), Err(Errno::INTR), Err(Errno::TIMEDOUT), Err(Errno::NOMEM)];

fn attach(kernel: &Kernel) -> (Device, std::os::unix::net::UnixStream) {
    let (connection, server) = Offer::default().connect();
    (by_ioctl().device(device(0)).attach_on(&kernel.system(), vec![connection]).unwrap(), server)
}

// K3
#[test]
fn an_end_that_nobody_asked_for_is_the_servers() {
    for result in ENDS {
        let kernel = Kernel::new();
        kernel.end_with(result);
        let (mut device, server) = attach(&kernel);
        drop(server);
        assert_eq!(device.wait(None).unwrap(), Some(Ended::ServerGone), "{result:?}");
        // It is over: nothing is left to be done.
        let calls = kernel.calls();
        assert_eq!(device.wait(None).unwrap(), Some(Ended::ServerGone));
        drop(device);
        assert_eq!(kernel.calls(), calls);
    }
}

// K3, K4
#[test]
fn an_end_that_was_asked_for_is_a_success_whatever_do_it_says() {
    for result in ENDS {
        let kernel = Kernel::new();
        kernel.end_with(result);
        let (device, _server) = attach(&kernel);
        assert_eq!(device.detach().unwrap().still_held, [] as [&str; 0], "{result:?}");
        assert!(!kernel.is_attached(FIRST));
    }
}

// K3
#[test]
fn it_is_remembered_whether_the_end_was_asked_for() {
    for result in ENDS {
        for (ask, expected) in [
            (Some(Running::disconnect as fn(&Running) -> Result<(), Error>), Ended::Detached),
            (Some(Running::clear), Ended::Detached),
            (None, Ended::ServerGone),
        ] {
            let kernel = Kernel::new();
            kernel.end_with(result);
            let (connection, server) = Offer::default().connect();
            let geometry = Geometry::of_size(1 << 20, 512).unwrap();
            let settings = Settings { geometry, timeout: 0, flags: connection.export().flags };
            let claim = Claim::stake(&kernel.system(), device(0), &connection).unwrap();
            let running = claim.start(&[connection], &settings).unwrap();
            kernel.await_call("DO_IT", 1);
            ask.map_or_else(|| drop(server), |ask| ask(&running).unwrap());
            assert_eq!(running.wait(None).unwrap().unwrap(), expected, "{result:?}");
        }
    }
}

// K3
#[test]
fn an_end_that_says_it_never_began_is_an_error_asked_for_or_not() {
    for errno in [Errno::INVAL, Errno::BUSY] {
        let kernel = Kernel::new();
        kernel.end_with(Err(errno));
        let (mut device, server) = attach(&kernel);
        drop(server);
        let error = device.wait(None).unwrap_err();
        assert_eq!((step_of(&error), errno_of(&error)), (Some(Step::DoIt), Some(errno)));

        let (device, _server) = attach(&kernel);
        assert_eq!(errno_of(&device.detach().unwrap_err()), Some(errno));
    }
}

#[test]
fn an_end_before_the_device_could_be_used_is_told_as_such() {
    let kernel = Kernel::new();
    kernel.set(FIRST, "size", "0");
    let (connection, server) = Offer::default().connect();
    drop(server);
    let error = by_ioctl().device(device(0)).attach_on(&kernel.system(), vec![connection]).unwrap_err();
    assert!(matches!(error, Error::EndedEarly(_)), "{error}");
    assert_eq!(kernel.calls().iter().filter(|call| *call == "CLEAR_SOCK").count(), 1);
}

#[test]
fn a_wait_that_is_over_before_the_device_is_tells_so() {
    let kernel = Kernel::new();
    let (mut device, _server) = attach(&kernel);
    assert_eq!(device.wait(Some(std::time::Duration::ZERO)).unwrap(), None);
    device.detach().unwrap();
}

#[test]
fn an_end_that_another_process_wants_is_made_by_the_owner() {
    let kernel = Kernel::new();
    let (connection, _server) = Offer::default().connect();
    let attach = by_ioctl().device(device(0)).origin("nbd://here");
    let mut device = attach.attach_on(&kernel.system(), vec![connection]).unwrap();
    kernel.take_calls();
    record::request_end(&*kernel.system(), device.id());
    assert_eq!(device.wait(None).unwrap(), Some(Ended::Detached));
    assert!(kernel.calls().contains(&"DISCONNECT".to_owned()));
    drop(device);
    assert_eq!(std::fs::read_dir(kernel.notes_dir()).unwrap().count(), 0);
}
