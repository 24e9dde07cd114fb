//! What is to be done, out of what was asked for.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use nbd_kernel::{Attach, Connection, Device, Interface, SECTOR, Step};
use nbd_proto::uri::{NbdUri, Transport};

use super::AttachArgs;
use crate::{link, size};

/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The same with `--persist`: soon enough to find another connection while whoever asked is still waiting.
const PERSIST_TIMEOUT: Duration = Duration::from_secs(30);

/// How long requests wait for a server to come back: longer than one takes to start anew, or its machine.
const PERSIST_DEAD_TIMEOUT: Duration = Duration::from_secs(120);

/// What the kernel's identifier may have.
const LONGEST_IDENTIFIER: usize = 4000;

pub(super) struct Plan {
    pub(super) uri: NbdUri,
    pub(super) connections: u16,
    attach: Attach,
    /// Whether it is ioctl for want of netlink.
    fell_back: bool,
    /// What the ioctl interface cannot do.
    needs_netlink: Option<&'static str>,
    pub(super) foreground: bool,
    pub(super) persist: bool,
    pub(super) follow_size: bool,
    /// Whether a process is needed as long as the device is attached.
    pub(super) stays: bool,
}

impl Plan {
    pub(super) fn new(args: &AttachArgs) -> anyhow::Result<Self> {
        let needs_netlink = needs_netlink(args);
        if let (true, Some(option)) = (args.ioctl, needs_netlink) {
            bail!("{option} cannot be had with --ioctl: that interface has no way to replace a connection");
        }
        let uri = absolute(link::parse(&args.uri)?)?;
        let interface = interface(args);
        let (timeout, dead_timeout) =
            if args.persist { (PERSIST_TIMEOUT, PERSIST_DEAD_TIMEOUT) } else { (TIMEOUT, Duration::ZERO) };
        let given = |time: Duration| Some(time).filter(|time| !time.is_zero());
        let text = uri.to_string();
        let mut attach = Attach::new()
            .interface(interface)
            .timeout(given(args.timeout.unwrap_or(timeout)))
            .dead_timeout(given(args.dead_timeout.unwrap_or(dead_timeout)))
            .read_only(args.read_only)
            .origin(&text);
        if let Some(device) = args.device {
            attach = attach.device(device);
        }
        if let Some(bytes) = args.block_size {
            attach = attach.block_size(bytes);
        }
        if interface == Interface::Netlink && text.len() <= LONGEST_IDENTIFIER {
            attach = attach.identifier(text);
        }
        Ok(Self {
            uri,
            connections: args.connections,
            attach,
            fell_back: interface == Interface::Ioctl && !args.ioctl,
            needs_netlink,
            foreground: args.foreground,
            persist: args.persist,
            follow_size: args.follow_size,
            stays: args.persist || args.foreground || interface == Interface::Ioctl,
        })
    }

    pub(super) fn attach(&self, connections: Vec<Connection>) -> anyhow::Result<Device> {
        if self.fell_back {
            tracing::info!("the kernel does not show its netlink interface here: the device is made by ioctl");
        }
        let attached = self.attach.attach(connections);
        let no_netlink = matches!(&attached, Err(nbd_kernel::Error::Step { step, .. }) if *step == Step::OpenNetlink);
        match self.needs_netlink.filter(|_| no_netlink) {
            Some(option) => attached.with_context(|| format!("{option} needs the kernel's netlink interface")),
            None => Ok(attached?),
        }
    }
}

/// By ioctl only where it is asked for, or where there is nothing else and it can do all that is asked for.
fn interface(args: &AttachArgs) -> Interface {
    if args.ioctl {
        return Interface::Ioctl;
    }
    if args.netlink || needs_netlink(args).is_some() || nbd_kernel::netlink_available() {
        return Interface::Netlink;
    }
    Interface::Ioctl
}

fn needs_netlink(args: &AttachArgs) -> Option<&'static str> {
    let needs = [(args.persist, "--persist"), (args.dead_timeout.is_some(), "--dead-timeout")];
    needs.into_iter().find_map(|(asked, option)| asked.then_some(option))
}

/// A process in the background has another working directory.
fn absolute(uri: NbdUri) -> anyhow::Result<NbdUri> {
    let Transport::Unix { path } = uri.transport() else { return Ok(uri) };
    if path.starts_with(b"/") {
        return Ok(uri);
    }
    let whole = path::absolute(OsStr::from_bytes(path)).with_context(|| uri.to_string())?;
    let export = uri.export_name();
    let rebuilt = NbdUri::unix(whole.into_os_string().into_vec()).and_then(|uri| uri.with_export_name(export));
    Ok(rebuilt.with_context(|| uri.to_string())?.with_tls(uri.tls()))
}

/// The largest block that any kernel takes.
const LARGEST_BLOCK: u64 = 65_536;

pub(super) fn block_size(text: &str) -> Result<u32, String> {
    let bytes = size::bytes(text)?;
    match u32::try_from(bytes) {
        Ok(block) if bytes.is_power_of_two() && (SECTOR.into()..=LARGEST_BLOCK).contains(&bytes) => Ok(block),
        _ => Err(format!("expected a power of two from {SECTOR} to {LARGEST_BLOCK}")),
    }
}

/// A time-out that may be none.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    match text {
        "0" => Ok(Duration::ZERO),
        text => link::seconds(text),
    }
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::time::Duration;

    use nbd_proto::uri::NbdUri;

    use super::{absolute, block_size, seconds};

    #[test]
    fn a_block_size_is_a_power_of_two_that_some_kernel_takes() {
        for (text, bytes) in [("512", 512), ("4k", 4096), ("65536", 65536)] {
            assert_eq!(block_size(text), Ok(bytes));
        }
        for wrong in ["0", "256", "1000", "128k", "4294967808", "x"] {
            assert!(block_size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_time_out_of_0_is_none() {
        assert_eq!(seconds("0"), Ok(Duration::ZERO));
        assert_eq!(seconds("1.5"), Ok(Duration::from_millis(1500)));
        assert!(seconds("-1").is_err() && seconds("soon").is_err());
    }

    #[test]
    fn a_socket_is_found_again_from_another_directory() {
        let shown = |text| absolute(NbdUri::parse(text).unwrap()).unwrap().to_string();
        let here = NbdUri::unix(env::current_dir().unwrap().join("a/s").into_os_string().into_encoded_bytes());
        let here = here.unwrap().with_export_name("disk").unwrap();
        assert_eq!(shown("nbd+unix:///disk?socket=a/s"), here.to_string());
        for same in ["nbd+unix:///disk?socket=/a/s", "nbd+unix:///?socket=%00s", "nbd://host/disk"] {
            assert_eq!(shown(same), same);
        }
        assert!(shown("nbds+unix:///?socket=s").starts_with("nbds+unix:///?socket=/"));
    }
}
