//! Each request fails in its turn.

use netlink_packet_core::NLMSG_ERROR;
use rustix::io::Errno;

use super::support::{by_netlink, count, device, errno_of, step_of};
use crate::attach::Attach;
use crate::error::{Error, Step};
use crate::netlink::tests::octets::{FAMILY, answer, attribute, connected, ended, message};
use crate::recorded::{Answer, FIRST, Kernel, Offer};

fn attach(kernel: &Kernel, how: &Attach) -> Error {
    let (connection, _server) = Offer::default().connect();
    how.clone().device(device(0)).attach_on(&kernel.system(), vec![connection]).unwrap_err()
}

#[test]
fn each_failure_names_its_step_device_and_errno_and_is_the_last_request() {
    let steps = [
        ("netlink", Step::OpenNetlink, &[] as &[&str]),
        ("GETFAMILY", Step::OpenNetlink, &["GETFAMILY"]),
        ("join", Step::NetlinkEvents, &["GETFAMILY", "join"]),
        ("CONNECT", Step::NetlinkConnect, &["GETFAMILY", "join", "CONNECT"]),
    ];
    for (call, step, made) in steps {
        for errno in [Errno::PERM, Errno::NOMEM, Errno::BADF] {
            let kernel = Kernel::new();
            kernel.fail(call, errno);
            let error = attach(&kernel, &by_netlink());
            assert_eq!((step_of(&error), errno_of(&error)), (Some(step), Some(errno)), "{error}");
            let text = error.to_string();
            assert!(text.starts_with(&format!("{}: {step}: ", device(0))), "{text}");
            assert_eq!(text.contains("CAP_SYS_ADMIN"), errno == Errno::PERM, "{text}");
            let names: Vec<_> = kernel.calls().iter().map(|call| call.split(' ').next().unwrap().to_owned()).collect();
            assert_eq!(names, made);
        }
    }
}

#[test]
fn a_device_that_cannot_be_made_as_wanted_is_taken_back() {
    for (call, errno, step) in [
        ("open", Errno::IO, Step::OpenNode),
        ("RECONFIGURE", Errno::INVAL, Step::NetlinkReconfigure),
        ("pid", Errno::IO, Step::Sysfs("pid")),
        ("size", Errno::IO, Step::Sysfs("size")),
        ("queue/max_sectors_kb", Errno::IO, Step::Sysfs("queue/max_sectors_kb")),
    ] {
        let kernel = Kernel::new();
        // Before the attach, who has the device is looked at, whatever comes of it.
        kernel.fail_times(call, errno, usize::from(call == "pid"), 1);
        let error = attach(&kernel, &by_netlink().disconnect_on_close(true));
        assert_eq!((step_of(&error), errno_of(&error)), (Some(step), Some(errno)), "{error}");
        assert_eq!(kernel.calls().last().unwrap(), &format!("NL_DISCONNECT index={FIRST}"));
        assert!(!kernel.is_attached(FIRST));
    }
}

#[test]
fn a_device_that_never_shows_its_size_is_taken_back() {
    let kernel = Kernel::new();
    kernel.set(FIRST, "size", "8");
    let error = attach(&kernel, &by_netlink());
    assert!(matches!(error, Error::TimedOut { what: "its size", .. }), "{error}");
    assert!(!kernel.is_attached(FIRST));
}

#[test]
fn an_answer_that_makes_no_sense_is_told_and_not_believed() {
    let odd: [(Answer, &str); 6] = [
        (|sequence| vec![ended(sequence, 0)], "is missing"),
        (|sequence| vec![connected(sequence, 1), ended(sequence, 0)], "1 answers"),
        (|sequence| vec![connected(sequence, FIRST), connected(sequence, FIRST), ended(sequence, 0)], "comes twice"),
        (|sequence| vec![answer(FAMILY, sequence, 1, &[attribute(1, &[0; 3])])], "has 3 bytes"),
        (|sequence| vec![ended(sequence, 5)], "5 is no error number"),
        (|sequence| vec![message(NLMSG_ERROR, 0, sequence, 77, &[])[..10].to_vec()], "does not fit"),
    ];
    for (with, expected) in odd {
        let kernel = Kernel::new();
        kernel.answer("CONNECT", with);
        let error = attach(&kernel, &by_netlink());
        assert_eq!(step_of(&error), Some(Step::NetlinkConnect), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(count(&kernel, "CONNECT"), 1);
    }
}

#[test]
fn a_kernel_that_does_not_answer_is_an_error() {
    let kernel = Kernel::new();
    kernel.answer("CONNECT", |_| Vec::new());
    let error = attach(&kernel, &by_netlink());
    let Error::Step { step: Step::NetlinkConnect, source, .. } = error else { panic!("{error}") };
    assert_eq!(source.kind(), std::io::ErrorKind::TimedOut);
}
