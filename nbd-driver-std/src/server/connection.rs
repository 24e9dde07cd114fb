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
            Err(Error::Unsupported("the connection's thread panicked"))
        }
    }
}

fn serve(place: &Place, site: &Site) -> Result<(), Error> {
    let peer = &place.link.peer[..];
    let Some(admitted) = handshake::run(place, site)? else {
        tracing::debug!(peer, "the client left in the handshake");
        return Ok(());
    };
    let negotiated = admitted.accepted.negotiated();
    let (replies, size) = (negotiated.reply_style, negotiated.info.size);
    tracing::info!(peer, export = %Escaped(&negotiated.export), %replies, size, "a client uses an export");
    let how = match transmission::run(place, &site.options, admitted)? {
        End::Disconnected => "the client said goodbye",
        End::HungUp => "the client hung up without a goodbye",
        End::Stopped => "the server is being stopped",
    };
    tracing::info!(peer, "the connection ended: {how}");
    Ok(())
}
