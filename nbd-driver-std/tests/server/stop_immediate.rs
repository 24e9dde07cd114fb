//! A stop while a connection's own thread is in a backend that said that it never waits.

use crate::disk::TestDisk;
use crate::stop::is_left_behind;

#[test]
fn a_backend_that_hangs_does_not_hold_it_up_either() {
    is_left_behind(TestDisk::immediate);
}
