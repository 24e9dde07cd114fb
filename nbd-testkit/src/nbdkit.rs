//! `nbdkit`, in every style of handshake.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::disk::Disk;
use crate::guard::Guard;
use crate::listener::Transport;
use crate::server::{Common, Server};
use crate::tool::{Tool, require};

/// The style of handshake that a server offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Handshake {
    /// No options, one export.
    Oldstyle,
    /// Options, but not FIXED: only `EXPORT_NAME` may be sent. Nor `NO_ZEROES`.
    Newstyle,
    /// FIXED, but not `NO_ZEROES`.
    FixedWithZeroes,
    /// FIXED and `NO_ZEROES`: what servers offer today.
    #[default]
    Fixed,
}

impl Handshake {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Oldstyle, Self::Newstyle, Self::FixedWithZeroes, Self::Fixed];
}

/// Describes an `nbdkit` to start.
#[derive(Debug, Clone)]
pub struct Nbdkit {
    common: Common,
    options: Vec<OsString>,
    plugin: OsString,
    args: Vec<OsString>,
    disk: Option<Disk>,
}

impl Nbdkit {
    /// One that runs this plugin.
    pub fn new(plugin: impl Into<OsString>) -> Self {
        Self { common: Common::default(), options: Vec::new(), plugin: plugin.into(), args: Vec::new(), disk: None }
    }

    /// A disk of zeroes in the server's memory, with a size such as `64M`.
    pub fn memory(size: &str) -> Self {
        Self::new("memory").arg(size)
    }

    /// A file with these contents.
    pub fn disk(disk: Disk) -> Self {
        Self { disk: Some(disk), ..Self::new("file") }
    }

    /// This file, where it is.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::disk(Disk::file(path))
    }

    /// Adds a parameter for the plugin or a filter, such as `error-rate=10%`.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds an option for the server itself, such as `--swap`.
    #[must_use]
    pub fn option(mut self, option: impl Into<OsString>) -> Self {
        self.options.push(option.into());
        self
    }

    /// Puts a filter in front of the plugin. The first one added is next to the client.
    #[must_use]
    pub fn filter(self, name: &str) -> Self {
        self.option(format!("--filter={name}"))
    }

    /// Sets the style of handshake.
    #[must_use]
    pub fn mode(self, handshake: Handshake) -> Self {
        match handshake {
            Handshake::Oldstyle => self.option("--oldstyle"),
            Handshake::Newstyle => self.option("--mask-handshake=0"),
            Handshake::FixedWithZeroes => self.option("--mask-handshake=1"),
            Handshake::Fixed => self,
        }
    }

    /// Refuses structured replies.
    #[must_use]
    pub fn no_structured_replies(self) -> Self {
        self.option("--no-sr")
    }

    /// Allows no writes.
    #[must_use]
    pub fn readonly(self) -> Self {
        self.option("--readonly")
    }

    /// Sets how many requests of one connection run at once.
    #[must_use]
    pub fn threads(self, threads: usize) -> Self {
        self.option(format!("--threads={threads}"))
    }

    /// Sets the export name in the URI. (Most plugins serve every name.)
    #[must_use]
    pub fn export(mut self, name: &str) -> Self {
        name.clone_into(&mut self.common.export);
        self
    }

    /// Listens on a free TCP port, not on a Unix socket.
    #[must_use]
    pub fn tcp(mut self) -> Self {
        self.common.transport = Transport::Tcp;
        self
    }

    /// Starts it, or says that it is not installed.
    pub fn start(self) -> Option<Server> {
        if !require(&[Tool::Nbdkit]) {
            return None;
        }
        let guard = Guard::new();
        let data = self.disk.as_ref().map(|disk| disk.raw(&guard.dir().join("disk.raw")));
        let mut args: Vec<OsString> = vec!["--foreground".into(), "--pidfile".into()];
        args.push(guard.dir().join("pid").into());
        args.extend(self.options);
        args.push(self.plugin);
        args.extend(data.as_ref().map(|path| {
            let mut arg = OsString::from("file=");
            arg.push(path);
            arg
        }));
        args.extend(self.args);
        Some(Server::activated(Tool::Nbdkit, self.common, guard, data, args))
    }
}
