//! The library `nbd-kernel` on a real kernel, each test by ioctl and by netlink where both can do it.

mod attach;
mod busy;
mod detach;
mod files;
mod geometry;
mod io;
mod leaks;
mod lost;
mod reconnect;
mod resize;

use nbd_kernel::Interface;
use nbd_testkit::guest_test;
use nbd_testkit::vm::GuestTest;

use crate::both::by_both;

by_both![
    attach::a_device_has_the_exports_shape,
    attach::the_first_free_device_is_taken,
    attach::a_device_can_be_chosen_and_reports_who_has_it,
    attach::a_read_only_export_refuses_writes,
    attach::a_device_can_be_read_only_though_the_export_is_not,
    attach::requests_are_no_longer_than_the_server_takes,
    attach::it_works_over_tcp,
    busy::an_attached_device_is_refused_at_once,
    busy::a_device_that_is_held_open_is_refused_with_the_holders_name,
    busy::a_passing_opener_is_waited_for,
    busy::of_two_that_race_for_a_device_one_gets_it,
    detach::a_device_is_free_after_its_end,
    detach::dropping_a_device_ends_it,
    detach::a_device_in_use_is_not_detached_by_others,
    detach::force_ends_a_device_in_use,
    detach::an_idle_device_is_not_attached,
    files::a_file_system_keeps_its_files,
    geometry::a_tail_that_fills_no_block_is_out_of_reach,
    geometry::the_servers_minimum_block_size_is_the_devices,
    geometry::a_larger_block_size_can_be_chosen,
    geometry::an_export_without_a_whole_block_is_refused,
    geometry::a_block_larger_than_a_page_is_refused_before_the_first_call,
    io::what_is_written_is_read_back,
    io::trimmed_and_zeroed_ranges_read_as_zeroes,
    io::errors_of_the_server_are_errors_of_the_request,
    leaks::a_hundred_rounds_leave_nothing_behind,
    lost::a_device_ends_when_its_server_is_gone,
    lost::requests_fail_when_the_server_hangs,
    lost::a_device_is_detached_though_its_server_takes_nothing,
    lost::one_of_two_connections_may_die,
    resize::a_device_grows_and_shrinks,
];

/// What only netlink can do.
pub(crate) mod recovery {
    use super::{GuestTest, guest_test, reconnect};
    use reconnect::{
        a_connection_is_replaced_once_it_is_dead, a_dead_time_out_ends_in_errors,
        a_grown_export_is_followed_when_asked, another_export_is_not_handed_over, the_backend_is_shown_and_needed,
        the_end_of_a_supervised_device_is_seen, writes_survive_restarts_of_the_server,
    };

    pub(crate) const TESTS: &[GuestTest] = &[
        guest_test!(a_connection_is_replaced_once_it_is_dead),
        guest_test!(a_dead_time_out_ends_in_errors),
        guest_test!(a_grown_export_is_followed_when_asked),
        guest_test!(another_export_is_not_handed_over),
        guest_test!(the_backend_is_shown_and_needed),
        guest_test!(the_end_of_a_supervised_device_is_seen),
        guest_test!(writes_survive_restarts_of_the_server),
    ];
}
