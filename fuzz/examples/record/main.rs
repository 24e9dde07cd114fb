//! Records sessions of real peers, with each other's and with our clients and servers, as `recordings/*.rec`.
//!
//! Needs nbdkit, qemu-nbd 8.2 or newer, nbd-server, libnbd's and QEMU's tools. Each run writes all files anew, or those
//! only whose names begin with the argument. What differs from run to run is the order of replies, and what a newer
//! version of a peer says otherwise.

mod book;
mod libnbd;
mod ours;
mod qemu;
mod served;

use book::Book;

fn main() {
    let book = Book::new(std::env::args().nth(1).unwrap_or_default());
    ours::record(&book);
    libnbd::record(&book);
    qemu::record(&book);
    println!("{} files in {}", book.written(), book.folder().display());
}
