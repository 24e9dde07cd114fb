//! One connection, from its first byte to its last.

use std::panic::{AssertUnwindSafe, catch_unwind};

use nbd_proto::error::{Ended, Error as Over};
use nbd_proto::text::Escaped;

use super::connections::Place;
use super::handshake;
use super::site::Site;
use super::transmission::{self, End};
use crate::error::Error;

/// Runs a connection to its end, which is told to whoever listens to the traces.
pub(super) fn run(place: &Place, site: &Site) -> Result<(), Error> {
    let peer = &place.link.peer[..];
    tracing::debug!(peer, "a client connected");
    // Backends are called under guards of their own, but they may panic when they are dropped.
    let result = catch_unwind(AssertUnwindSafe(|| serve(place, site)));
    place.link.stream.hang_up();
    match result {
        Ok(Ok(())) => Ok(()),
        Ok(Err(Error::Connection(Over::Ended(Ended::AtBoundary { awaiting })))) => {
            // Whoever only looks whether the server is there does so.
            tracing::debug!(peer, "the client hung up while {awaiting} was awaited");
            Ok(())
        }
        Ok(Err(error)) => {
            tracing::warn!(peer, "the connection was given up: {error}");
            Err(error)
        }
        Err(_) => {
            tracing::error!(peer, "the connection panicked");
            Err(Over::from(Ended::GivenUp { reason: "the connection panicked".to_owned() }).into())
        }
    }
}

fn serve(place: &Place, site: &Site) -> Result<(), Error> {
    let peer = &place.link.peer[..];
    let Some(client) = handshake::run(place, site)? else {
        tracing::debug!(peer, "the client left in the handshake");
        return Ok(());
    };
    let negotiated = client.accepted.negotiated();
    let (replies, bytes) = (negotiated.reply_style, negotiated.info.size);
    tracing::info!(peer, export = %Escaped(&negotiated.export), %replies, bytes, "a client uses an export");
    let reason = match transmission::run(place, &site.options, client)? {
        End::Disconnected => "the client said goodbye",
        End::HungUp => "the client hung up without a goodbye",
        End::Stopped => "the server is being stopped",
    };
    tracing::info!(peer, "the connection ended: {reason}");
    Ok(())
}
