//! The kernel's side is a script here, but in `kernel`.

mod acknowledgements;
mod answers;
mod events;
mod family;
mod kernel;
mod lengths;
pub(crate) mod octets;
mod requests;
mod script;
mod status;
