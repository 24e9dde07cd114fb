//! Errors of the system in the protocol's eight words (spec, *Error values*).

use std::io;

use nbd_driver_std::backend::Failure;
use nbd_driver_std::nbd_proto::wire::number::ErrorValue;
use rustix::io::Errno;

#[test]
fn each_error_of_the_system_has_its_value() {
    let table = [
        (Errno::PERM, ErrorValue::EPERM),
        (Errno::ACCESS, ErrorValue::EPERM),
        (Errno::ROFS, ErrorValue::EPERM),
        (Errno::IO, ErrorValue::EIO),
        (Errno::NOMEM, ErrorValue::ENOMEM),
        (Errno::INVAL, ErrorValue::EINVAL),
        (Errno::NOSPC, ErrorValue::ENOSPC),
        (Errno::DQUOT, ErrorValue::ENOSPC),
        (Errno::FBIG, ErrorValue::ENOSPC),
        (Errno::SHUTDOWN, ErrorValue::ESHUTDOWN),
        // Those two values are for one flag each, which is not what the system means.
        (Errno::OVERFLOW, ErrorValue::EINVAL),
        (Errno::OPNOTSUPP, ErrorValue::EINVAL),
        (Errno::NOSYS, ErrorValue::EINVAL),
        (Errno::BADF, ErrorValue::EIO),
        (Errno::NXIO, ErrorValue::EIO),
        (Errno::NODEV, ErrorValue::EIO),
        (Errno::REMOTEIO, ErrorValue::EIO),
        (Errno::STALE, ErrorValue::EIO),
        (Errno::TIMEDOUT, ErrorValue::EIO),
    ];
    for (errno, value) in table {
        assert_eq!(Failure::from(io::Error::from(errno)).error, value, "{errno:?}");
    }
}

#[test]
fn any_number_becomes_a_value_that_the_protocol_has() {
    for errno in 1..200 {
        let value = Failure::from(io::Error::from_raw_os_error(errno)).error;
        assert_eq!(value, value.known(), "{errno}");
        assert!(value != ErrorValue::ENOTSUP && value != ErrorValue::EOVERFLOW, "{errno}");
    }
}

#[test]
fn the_words_are_the_systems_and_the_place_is_unknown() {
    let failure = Failure::from(io::Error::from(Errno::NOSPC));
    assert!(failure.message.starts_with("No space left on device"), "{}", failure.message);
    assert_eq!(failure.offset, None);
    assert_eq!(failure.at(7).offset, Some(7));
}

#[test]
fn errors_without_a_number_go_by_their_kind() {
    let table = [
        (io::ErrorKind::PermissionDenied, ErrorValue::EPERM),
        (io::ErrorKind::WriteZero, ErrorValue::EIO),
        (io::ErrorKind::UnexpectedEof, ErrorValue::EIO),
        (io::ErrorKind::InvalidInput, ErrorValue::EINVAL),
        (io::ErrorKind::OutOfMemory, ErrorValue::ENOMEM),
    ];
    for (kind, value) in table {
        let failure = Failure::from(io::Error::new(kind, "some words"));
        assert_eq!(failure, Failure::new(value, "some words"), "{kind:?}");
    }
}
