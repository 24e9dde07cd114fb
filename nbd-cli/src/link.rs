//! How servers are reached, and how long they may take.

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use nbd_driver_std::{Client, ConnectOptions, Reconnect, ReconnectEvent};
use nbd_proto::handshake::Listing;
use nbd_proto::text::Escaped;
use nbd_proto::uri::NbdUri;

use crate::report;

#[derive(Clone, Debug, Args)]
pub(crate) struct LinkArgs {
    /// How long to wait for a server: to connect, for the whole handshake, and for each reply
    ///
    /// Without this option, a server has 10 seconds to accept, 5 seconds for each byte of the handshake and 30
    /// seconds for all of it; `info` waits 30 seconds for each reply after that (with this option, it bounds a whole map too), `copy` as long as it takes. In any
    /// case one question of the handshake may bring at most 65,536 answers, and all answers together at most 32 MiB.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,
}

impl LinkArgs {
    /// Options for a connection, where a reply may take as long as `patience` unless the user says otherwise.
    pub(crate) fn options(&self, patience: Option<Duration>) -> ConnectOptions {
        let options = ConnectOptions::new();
        match self.timeout {
            None => options.request_timeout(patience),
            timeout => options
                .connect_timeout(timeout)
                .handshake_idle_timeout(timeout)
                .handshake_timeout(timeout)
                .request_timeout(timeout),
        }
    }
}

/// Tries for so long to connect anew, and tells the user of it.
pub(crate) fn reconnect(time: Duration, uri: &NbdUri) -> Reconnect {
    let name = uri.to_string();
    Reconnect::new().total_time(Some(time)).on_event(move |event| match event {
        ReconnectEvent::Lost { error } => report::notice(&format!("{name}: {error}; connecting anew")),
        ReconnectEvent::Restored { .. } => report::notice(&format!("{name}: connected anew, going on")),
        _ => {}
    })
}

pub(crate) fn parse(uri: &str) -> anyhow::Result<NbdUri> {
    NbdUri::parse(uri).map_err(nbd_driver_std::Error::from).with_context(|| Escaped(uri).to_string())
}

pub(crate) fn connect(options: &ConnectOptions, uri: &NbdUri) -> anyhow::Result<Client> {
    options.connect_uri(uri).with_context(|| uri.to_string())
}

pub(crate) fn list(options: &ConnectOptions, uri: &NbdUri) -> anyhow::Result<Listing> {
    options.list_uri(uri).with_context(|| uri.to_string())
}

/// A time on the command line.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| "expected a number of seconds, such as 10 or 0.5".to_owned())?;
    match Duration::try_from_secs_f64(number) {
        Ok(duration) if duration.as_millis() > 0 && number < 1e9 => Ok(duration),
        _ => Err("expected a time from 0.001 to 999999999 seconds".to_owned()),
    }
}
