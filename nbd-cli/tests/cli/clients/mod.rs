//! Clients of other projects use `nbd serve`, in each way in which they can meet it. Tried with libnbd 1.14, QEMU 10.0
//! and fio 3.33.

mod cut;
mod fio;
mod life;
mod many;
mod nbdcopy;
mod nbdinfo;
mod nbdinfo_map;
mod nbdsh;
mod nbdsh_failures;
mod nbdsh_options;
mod nbdsh_refusals;
mod no_hole;
mod qemu_convert;
mod qemu_img;
mod qemu_io;
mod site;
