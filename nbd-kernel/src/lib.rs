//! Hands NBD connections to the Linux kernel, and owns the life of the device that comes of it.
//!
//! ```no_run
//! use nbd_driver_std::ConnectOptions;
//! use nbd_driver_std::nbd_proto::uri::NbdUri;
//! use nbd_kernel::{Attach, Connection};
//!
//! let uri = NbdUri::parse("nbd://localhost/disk")?;
//! let connection = Connection::open(&uri, &ConnectOptions::new())?;
//! let device = Attach::new().attach([connection])?;
//! println!("{}", device.id()); // /dev/nbd0
//! // … as long as it is needed …
//! device.detach()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | want | look at |
//! |---|---|
//! | what the kernel can take, and why not | [`Connection`], [`NotForKernel`], [`Geometry`] |
//! | which device, time-outs, block size, interface | [`Attach`] |
//! | resize, replace a connection, wait for the end, leave it attached | [`Device`] |
//! | live through restarts of the server | [`Supervisor`] |
//! | what is attached here, to what, by whom, since when | [`Status`], [`Usage`] |
//! | end a device of another process, or one that hangs | [`Detach`] |
//!
//! Everything but looking needs `CAP_SYS_ADMIN`. The crate's README tells in which order the kernel wants things, and
//! which time-outs do what.

#![deny(unsafe_code)]

mod advice;
mod attach;
mod bounded;
mod connection;
mod detach;
mod device;
mod device_id;
mod error;
mod export;
#[cfg(feature = "_fuzzing")]
pub mod fuzzing;
mod geometry;
mod holders;
mod ioctl;
mod links;
mod linux;
mod netlink;
mod owned;
mod owner;
mod record;
#[cfg(test)]
mod recorded;
mod settings;
mod socket;
mod status;
mod stopper;
mod supervisor;
mod system;
#[cfg(test)]
mod tests;
mod waiting;

pub use attach::{Attach, Interface, netlink_available};
pub use connection::{Connection, NotForKernel};
pub use detach::{Detach, Detached};
pub use device::{Device, Ended};
pub use device_id::{DeviceId, NotADevice};
pub use error::{Error, Step};
pub use export::{Export, Mismatch};
pub use geometry::{BadGeometry, Geometry, SECTOR};
pub use holders::dependents;
pub use status::{Queue, Status, Usage};
pub use stopper::Stopper;
pub use supervisor::Supervisor;

/// The README's example, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// The examples of the project's front page, compiled here, where all the libraries are known.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct FrontPage;
