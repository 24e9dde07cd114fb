//! `nbd serve`: disks for clients.

mod address;
mod backend;
mod command;
mod events;
mod listen;
mod stop;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser as _};
use nbd_driver_std::server::{Server, ServerOptions};
use nbd_proto::limits::MAX_STRING;
use nbd_proto::text::Escaped;

use crate::{link, output};
use address::{TcpAddress, UnixAddress};
use backend::{BackendSpec, NamedSpec};
use events::Events;
use listen::Listening;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ServeArgs {
    /// What clients get who ask for no export by name: `memory:SIZE`, `file:PATH`, or `null:SIZE`
    ///
    /// memory: is an empty disk that takes memory only for what is written, and is gone when the server ends. file:
    /// is a file or a block device that is there already. null: reads as zeroes, and forgets what is written.
    #[arg(
        required_unless_present = "exports",
        value_parser = OsStringValueParser::new().try_map(|text| BackendSpec::parse(&text))
    )]
    backend: Option<BackendSpec>,

    /// Listen on a Unix socket at PATH; @NAME is one in the abstract name space
    ///
    /// A socket that nobody listens on any more is replaced. It is removed at the end.
    #[arg(
        long,
        value_name = "PATH",
        group = "listen",
        value_parser = OsStringValueParser::new().try_map(|text| UnixAddress::parse(&text))
    )]
    unix: Option<UnixAddress>,

    /// Listen on TCP; the port may be 0 for any free one
    ///
    /// HOST alone takes port 10809, and :PORT alone takes 127.0.0.1. An IPv6 address stands in brackets. 0.0.0.0 or
    /// `[::]` serves the whole network: there is no TLS and no password, so whoever can connect can read and write.
    #[arg(long, value_name = "HOST:PORT", group = "listen", value_parser = TcpAddress::parse)]
    tcp: Option<TcpAddress>,

    /// Serve another disk under NAME; may be given again
    #[arg(
        long = "export",
        value_name = "NAME=BACKEND",
        value_parser = OsStringValueParser::new().try_map(|text| NamedSpec::parse(&text))
    )]
    exports: Vec<NamedSpec>,

    /// Let clients only read; files need no permission to write then
    #[arg(short, long)]
    read_only: bool,

    /// Words for people about BACKEND, told to clients who ask
    #[arg(long, value_name = "TEXT", requires = "backend", value_parser = description)]
    description: Option<String>,

    /// How many clients may use the disks at once; more are told so and turned away
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_connections: u32,

    /// How many requests a client may have in flight; more wait in its socket
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=65536))]
    max_requests: u32,

    /// How long a client may take for the handshake
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = link::seconds)]
    handshake_timeout: Duration,

    /// Hang up on a client that wants nothing for so long; without this option it may stay for ever
    #[arg(long, value_name = "SECONDS", value_parser = link::seconds)]
    idle_timeout: Option<Duration>,

    /// Do not offer extended headers, as servers before 2023; to test clients
    #[arg(long)]
    no_extended_headers: bool,

    /// Offer neither structured replies nor extended headers, as servers before 2018; to test clients
    #[arg(long)]
    no_structured_replies: bool,

    /// Run COMMAND with /bin/sh, and serve until it ends; its exit code is passed on
    ///
    /// $uri leads it to BACKEND, or to the first --export, and $unixsocket or $port to the server. A signal to stop
    /// goes to the command; if it has not ended 1.5 seconds later it is killed. On a terminal Ctrl-C is its own.
    #[arg(long, value_name = "COMMAND")]
    run: Option<OsString>,
}

const EXAMPLES: &str = "\
Without --unix and --tcp the server listens on the sockets that a service manager has passed on (systemd's socket \
activation, LISTEN_FDS). If there are none it is 127.0.0.1 port 10809, or with --run a Unix socket that only this user \
can reach. As soon as clients can connect, the NBD URI is printed, one line for each socket; but not with --run.

SIGTERM, SIGINT and SIGHUP end it: what clients have begun is finished, within 3 seconds; the exit code is 0. A \
second signal ends it at once.

Sizes may have a suffix: K, M, G, T.

Examples:
  nbd serve memory:1G
  nbd serve --unix /run/nbd.sock --read-only file:disk.img
  nbd serve --tcp '[::]:10809' --export a=file:a.img --export b=file:b.img
  nbd serve --run 'nbd info \"$uri\"' memory:1G
  nbd serve --run 'nbd copy disk.img \"$uri\" && nbd info --map \"$uri\"' memory:64M";

pub(crate) fn run(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    let server = server(args)?;
    // Signals come to a thread, and inherited sockets want none to be there yet.
    let inherited = listen::inherited(args)?;
    // Before there is anything to clean up.
    let events = Events::with_signals()?;
    let Listening { sockets, file, dir } = listen::listen(args, inherited)?;

    let export = first_name(args);
    let uris: Vec<_> = sockets.iter().map(|socket| socket.uri(export)).collect::<Result<_, _>>()?;
    let exit = match &args.run {
        None => {
            let running = server.start(sockets)?;
            announce(&uris);
            stop::on_signal(running, &events, file.as_deref())
        }
        Some(line) => {
            let mut command = command::prepare(line, &uris, &sockets);
            let running = server.start(sockets)?;
            let child = command::Child::start(&mut command, &events)?;
            stop::after_command(running, child, &events, file.as_deref())
        }
    };
    // The socket in it is used until here.
    drop(dir);
    exit
}

/// What `$uri` and the printed URIs lead to.
fn first_name(args: &ServeArgs) -> &str {
    match (&args.backend, args.exports.first()) {
        (None, Some(first)) => &first.name,
        _ => "",
    }
}

fn server(args: &ServeArgs) -> anyhow::Result<Server> {
    let grace = if args.run.is_none() { stop::GRACE } else { stop::GRACE_AFTER_COMMAND };
    let options = ServerOptions::new()
        .max_connections(args.max_connections as usize)
        .max_in_flight(args.max_requests as usize)
        .handshake_timeout(Some(args.handshake_timeout))
        .idle_timeout(args.idle_timeout)
        .structured_replies(!args.no_structured_replies)
        .extended_headers(!args.no_extended_headers && !args.no_structured_replies)
        .stop_grace(grace);
    let mut names = Vec::new();
    let mut server = Server::new(options);
    if let Some(backend) = &args.backend {
        let export = backend.export("", args.read_only)?.description(args.description.as_deref().unwrap_or_default());
        server = server.export(export);
        names.push("");
    }
    for NamedSpec { name, backend } in &args.exports {
        if names.contains(&&name[..]) {
            match &name[..] {
                "" => bail!("two exports have no name: BACKEND is the one without"),
                name => bail!("two exports are named \"{}\"", Escaped(name)),
            }
        }
        server = server.export(backend.export(name, args.read_only)?);
        names.push(name);
    }
    Ok(server)
}

/// Where nobody reads it, clients are served all the same.
fn announce(uris: &[String]) {
    let lines = uris.join("\n") + "\n";
    let told = output::open().and_then(|mut out| output::told(out.write_all(lines.as_bytes())));
    if let Err(error) = told {
        tracing::warn!("{error:#}");
    }
}

fn description(text: &str) -> Result<String, String> {
    if text.len() > MAX_STRING {
        return Err(format!("the text has {} bytes, and the protocol takes {MAX_STRING}", text.len()));
    }
    Ok(text.to_owned())
}
