//! The commands `nbd attach`, `nbd detach` and `nbd status` on a real kernel, each test by ioctl and by netlink where
//! both can do it.

mod background;
mod choice;
mod force;
mod foreground;
mod leaks;
mod persist;
mod race;
mod refusals;
mod run;
mod settings;
mod status;

use nbd_kernel::Interface;
use nbd_testkit::guest_test;
use nbd_testkit::vm::GuestTest;

use crate::both::by_both;
use background::a_dead_server_ends_an_ioctl_device_and_is_in_the_log;
use force::{
    force_ends_a_device_without_a_process_after_its_time_out, force_ends_a_persistent_device_whose_server_hangs,
    force_ends_an_ioctl_device_whose_server_hangs,
};
use persist::{
    a_grown_export_is_followed_when_asked, an_outage_of_ten_seconds_is_outlasted_by_default,
    requests_fail_when_the_server_stays_away, who_persists_ends_with_the_device, writes_survive_restarts_of_the_server,
};
use refusals::without_the_module_it_is_named;
use status::idle_devices_are_shown_when_asked;

by_both![
    background::who_stays_holds_nothing_of_who_started_it,
    background::who_stays_ends_with_the_device,
    background::a_signal_to_who_stays_ends_the_device,
    background::a_mounted_device_stays_until_the_second_signal,
    choice::a_device_can_be_chosen_by_any_of_its_names,
    choice::without_a_device_the_first_free_one_is_taken,
    choice::an_attached_device_is_refused_with_who_has_it,
    foreground::a_signal_ends_it_with_0,
    foreground::systemd_is_told_when_it_is_ready,
    foreground::it_fails_when_the_server_is_gone,
    foreground::it_ends_with_0_when_another_detaches_the_device,
    leaks::thirty_rounds_leave_nothing_behind,
    race::of_two_that_want_the_same_device_one_gets_it,
    race::two_that_want_any_device_get_different_ones,
    refusals::a_mounted_device_is_detached_only_by_force,
    refusals::a_device_that_nobody_hears_of_is_detached_again,
    refusals::nobody_else_may_attach_and_detach,
    refusals::an_idle_device_is_not_detached,
    settings::a_device_can_be_read_only_though_the_export_is_not,
    settings::the_block_size_can_be_chosen,
    settings::several_connections_are_made,
    settings::what_cannot_be_reached_is_told,
    settings::it_can_wait_for_the_server,
    status::it_shows_what_is_attached,
    status::its_json_has_every_field,
    status::text_that_plays_tricks_is_escaped,
];

pub(crate) const TESTS: &[GuestTest] = &[
    guest_test!(without_the_module_it_is_named).without_module(),
    guest_test!(idle_devices_are_shown_when_asked),
    guest_test!(a_dead_server_ends_an_ioctl_device_and_is_in_the_log),
    guest_test!(force_ends_an_ioctl_device_whose_server_hangs),
    guest_test!(force_ends_a_persistent_device_whose_server_hangs),
    guest_test!(force_ends_a_device_without_a_process_after_its_time_out),
    guest_test!(writes_survive_restarts_of_the_server),
    guest_test!(an_outage_of_ten_seconds_is_outlasted_by_default).limit(500),
    guest_test!(requests_fail_when_the_server_stays_away),
    guest_test!(who_persists_ends_with_the_device),
    guest_test!(a_grown_export_is_followed_when_asked),
];
