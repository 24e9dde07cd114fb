//! Which sockets the server listens on.

use std::io;
use std::path::PathBuf;

use anyhow::anyhow;
use nbd_driver_std::Error;
use nbd_driver_std::server::Listener;
use tempfile::TempDir;

use super::ServeArgs;
use super::address::{TcpAddress, UnixAddress};
use crate::private_dir;

pub(super) struct Listening {
    pub(super) sockets: Vec<Listener>,
    /// The socket at a path from the user, which goes with the server.
    pub(super) file: Option<PathBuf>,
    /// Where the socket is, if it is in a place of its own.
    pub(super) dir: Option<TempDir>,
}

/// Sockets from a service manager, where the user names none. To be called while there is one thread.
pub(super) fn inherited(args: &ServeArgs) -> anyhow::Result<Vec<Listener>> {
    match (&args.unix, &args.tcp) {
        (None, None) => Ok(Listener::inherited()?),
        _ => Ok(Vec::new()),
    }
}

pub(super) fn listen(args: &ServeArgs, inherited: Vec<Listener>) -> anyhow::Result<Listening> {
    let (mut dir, mut file) = (None, None);
    let sockets = match (&args.unix, &args.tcp) {
        (Some(UnixAddress::Path(path)), _) => {
            file = Some(path.clone());
            vec![Listener::unix(path).map_err(unusable)?]
        }
        (Some(UnixAddress::Abstract(name)), _) => vec![Listener::unix_abstract(name).map_err(unusable)?],
        (None, Some(address)) => vec![tcp(address)?],
        (None, None) if !inherited.is_empty() => inherited,
        (None, None) if args.run.is_some() => {
            let private = dir.insert(private_dir::new()?);
            vec![Listener::unix(private.path().join("socket"))?]
        }
        (None, None) => vec![tcp(&TcpAddress::default())?],
    };
    Ok(Listening { sockets, file, dir })
}

fn tcp(address: &TcpAddress) -> anyhow::Result<Listener> {
    let TcpAddress { host, port } = address;
    Listener::tcp((&host[..], *port)).map_err(|error| match error {
        Error::Io { source, .. } => unusable(Error::Io { step: format!("listening on {address}"), source }),
        error => error.into(),
    })
}

/// The hints for failures to connect would be of no help here.
fn unusable(error: Error) -> anyhow::Error {
    let Error::Io { step, source } = &error else { return error.into() };
    let hint = match source.kind() {
        // Who has looked knows that there is one.
        io::ErrorKind::AddrInUse if source.raw_os_error().is_some() => "is a server running there already?",
        io::ErrorKind::AddrNotAvailable => "is that an address of this machine?",
        io::ErrorKind::NotFound => "is there such a directory?",
        io::ErrorKind::PermissionDenied => "may this user listen there?",
        io::ErrorKind::AlreadyExists => "only a socket that nobody listens on is replaced",
        _ => return anyhow!("{step}: {source}"),
    };
    anyhow!("{step}: {source}; {hint}")
}
