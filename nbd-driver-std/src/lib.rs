//! Blocking NBD client.
