//! `nbd demo`: a server and a client in this process, and a picture of what they say to each other.

mod map;
mod pattern;
mod picture;
mod requests;
mod speed;

use std::fs::File;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use nbd_driver_std::backend::Memory;
use nbd_driver_std::server::{Export, Listener, Server, ServerOptions};
use nbd_driver_std::{Client, ConnectOptions};
use nbd_proto::wire::flags::BASE_ALLOCATION;

use crate::{output, private_dir, size};
use pattern::Pattern;
use picture::Recorder;

/// The name of the disk.
const EXPORT: &str = "demo";

/// The smallest disk that has room for everything that is shown.
const SMALLEST: u64 = 4 << 20;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DemoArgs {
    /// Size of the disk, 4M or more; it takes memory only for what is written, 300 MiB at most
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = disk_size)]
    size: u64,

    /// Talk over TCP on 127.0.0.1, not over a Unix socket
    #[arg(long)]
    tcp: bool,
}

const EXAMPLES: &str = "\
Starts a server with a disk in memory, and a client that connects to it over a socket. Shows each step of the \
handshake, requests with their answers, which parts of the disk hold data, and how fast it is. What is \
read back is compared with what was written: the exit code is 0 only if it is the same.

Examples:
  nbd demo
  nbd demo --tcp --size 1T";

pub(crate) fn run(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    let mut out = output::open()?;
    say(&mut out, "nbd demo: a disk over a socket, with the server and the client in one program.\n")?;

    // Nobody needs the socket's file once the client is connected: then an interruption leaves nothing behind.
    let dir = if args.tcp { None } else { Some(private_dir::new()?) };
    let listener = match &dir {
        None => Listener::tcp(("127.0.0.1", 0))?,
        Some(dir) => Listener::unix(dir.path().join("socket"))?,
    };
    let uri = listener.uri(EXPORT)?;
    let disk = Export::shared(EXPORT, Arc::new(Memory::new(args.size))).description("a disk that is gone in a moment");
    let running = Server::new(ServerOptions::new()).export(disk).start([listener])?;
    let human = size::human(args.size);
    say(&mut out, &format!("1. A server with an empty disk of {human} in memory\n\n   {uri}\n"))?;

    say(&mut out, "2. A client connects, and both agree how to talk\n")?;
    let recorder = Recorder::default();
    let client = ConnectOptions::new().meta_context(BASE_ALLOCATION).observer(recorder.observer()).connect(&uri)?;
    drop(dir);
    say(&mut out, &recorder.picture())?;
    say(&mut out, &agreed(&client))?;

    say(&mut out, "3. Requests\n")?;
    let pattern = Pattern::new();
    requests::show(&client, &recorder, &pattern, &mut out)?;

    say(&mut out, "4. Which parts of the disk hold data\n")?;
    say(&mut out, &map::show(&client)?)?;

    say(&mut out, "5. How fast: one connection, 16 requests of 256 KiB in flight\n")?;
    speed::show(&client, &pattern, &mut out)?;

    client.shutdown()?;
    running.stop();
    running.wait()?;
    say(&mut out, NEXT)?;
    Ok(ExitCode::SUCCESS)
}

const NEXT: &str = "\
All that was read is what was written. Now yours, in two terminals:

   nbd serve memory:1G                     serves such a disk, or file:disk.img
   nbd info nbd://127.0.0.1                shows what the server offers
   nbd copy disk.img nbd://127.0.0.1       copies a disk to it
   nbd --help                              has more";

fn say(out: &mut File, text: &str) -> anyhow::Result<()> {
    output::told(writeln!(out, "{text}"))
}

/// What the handshake ended in.
fn agreed(client: &Client) -> String {
    let negotiated = client.negotiated();
    let contexts: Vec<_> = negotiated.contexts.iter().map(|context| &context.name[..]).collect();
    format!(
        "   Agreed: {} replies; a request carries up to {} of data;\n   where data is and where holes are, {} tells.\n",
        negotiated.reply_style,
        size::human(negotiated.maximum_payload().into()),
        contexts.join(", "),
    )
}

fn disk_size(text: &str) -> Result<u64, String> {
    match size::disk(text)? {
        size if size < SMALLEST => Err("expected 4M or more".to_owned()),
        size => Ok(size),
    }
}
