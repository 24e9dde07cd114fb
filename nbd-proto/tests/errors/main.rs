//! Every variant of every error, provoked through the public interface, with the words in which it is told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail by panicking")]

macro_rules! variants {
    ($($error:ident { $($variant:ident),+ })+) => {
        /// Each enum, and its variants.
        const VARIANTS: &[(&str, &[&str])] = &[$((stringify!($error), &[$(stringify!($variant)),+])),+];
    };
}
include!("variants.rs");

#[path = "../handshake_server/bytes.rs"]
#[allow(dead_code, reason = "its own tests use the rest")]
mod bytes;
mod client;
mod command_error;
mod handshake_client;
mod handshake_server;
#[path = "../transmission/harness.rs"]
#[allow(dead_code, reason = "its own tests use the rest")]
mod harness;
mod invalid_message;
#[path = "../common/octets.rs"]
mod octets;
mod over;
mod refused;
mod resume;
#[path = "../resume/support.rs"]
#[allow(dead_code, reason = "its own tests use the rest")]
mod resuming;
#[path = "../transmission/server.rs"]
#[allow(dead_code, reason = "its own tests use the rest")]
mod server;
#[path = "../handshake_server/session.rs"]
#[allow(dead_code, reason = "its own tests use the rest")]
mod session;
#[path = "../transmission_server/setup.rs"]
#[allow(dead_code, reason = "its own tests use the rest")]
mod setup;
mod transmission;
mod unavailable;
mod uri;

use std::any::type_name;
use std::error::Error;

/// An error as it came, and the words it has to be told in.
struct Provoked {
    error: &'static str,
    variant: String,
    told: String,
    words: &'static str,
}

/// A row of a table.
fn row<E: Error>(variant: &str, error: &E, words: &'static str) -> Provoked {
    let (_, name) = type_name::<E>().rsplit_once("::").unwrap();
    let shown = format!("{error:?}");
    let came = shown.split(|c: char| !c.is_alphanumeric()).next().unwrap();
    assert_eq!(came, variant, "another {name} than the one to be provoked: {shown}");
    Provoked { error: name, variant: variant.to_owned(), told: error.to_string(), words }
}

fn all() -> Vec<Provoked> {
    [
        over::table(),
        invalid_message::table(),
        handshake_client::table(),
        handshake_server::table(),
        transmission::table(),
        unavailable::table(),
        refused::table(),
        command_error::table(),
        resume::table(),
        uri::table(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[test]
fn every_variant_can_be_provoked() {
    let provoked = all();
    for (error, variants) in VARIANTS {
        for variant in *variants {
            let rows = provoked.iter().filter(|row| row.error == *error && row.variant == *variant);
            assert!(rows.count() > 0, "nothing here provokes {error}::{variant}");
        }
    }
}

#[test]
fn every_error_is_told_in_one_line_of_these_words() {
    for Provoked { error, variant, told, words } in all() {
        assert_eq!(told, words, "{error}::{variant}");
        assert!(!told.contains(char::is_control) && told.trim() == told, "{error}::{variant} is no plain line: {told}");
    }
}
