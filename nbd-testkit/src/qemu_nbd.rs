//! `qemu-nbd`: several meta contexts, dirty bitmaps and, from 8.2 on, extended headers.

use std::ffi::OsString;
use std::ops::Range;

use crate::disk::{Bitmap, Disk};
use crate::guard::Guard;
use crate::listener::Transport;
use crate::server::{Common, Server};
use crate::tool::{Tool, require};

/// Describes a `qemu-nbd` to start. It serves on until it is dropped, and several clients at once.
#[derive(Debug, Clone)]
pub struct QemuNbd {
    common: Common,
    disk: Disk,
    qcow2: bool,
    bitmaps: Vec<Bitmap>,
    shared: usize,
    at_least: Option<(u32, u32)>,
    options: Vec<OsString>,
}

impl QemuNbd {
    /// One that serves a raw file with these contents.
    pub fn new(disk: Disk) -> Self {
        Self {
            common: Common::default(),
            disk,
            qcow2: false,
            bitmaps: Vec::new(),
            shared: 8,
            at_least: None,
            options: Vec::new(),
        }
    }

    /// Serves a qcow2 image, made with the disk's contents.
    #[must_use]
    pub fn qcow2(mut self) -> Self {
        self.qcow2 = true;
        self
    }

    /// Adds a bitmap with exactly these parts of the disk dirty, and serves it as the context
    /// `qemu:dirty-bitmap:NAME`. The granularity is a power of two, 512 or more; parts should be
    /// multiples of it. Makes it a qcow2 image. May be called again for further bitmaps.
    #[must_use]
    pub fn bitmap(mut self, name: &str, granularity: u32, dirty: &[Range<u64>]) -> Self {
        self.bitmaps.push(Bitmap { name: name.to_owned(), granularity, dirty: dirty.to_vec() });
        self.option("-B").option(name).qcow2()
    }

    /// Serves the context `qemu:allocation-depth`.
    #[must_use]
    pub fn allocation_depth(self) -> Self {
        self.option("-A")
    }

    /// Sets the export's name. Only this name is served.
    #[must_use]
    pub fn export(mut self, name: &str) -> Self {
        name.clone_into(&mut self.common.export);
        self
    }

    /// Sets the export's description.
    #[must_use]
    pub fn description(self, text: &str) -> Self {
        self.option("-D").option(text)
    }

    /// Sets how many clients are served at once (8 if not set).
    #[must_use]
    pub fn shared(mut self, clients: usize) -> Self {
        self.shared = clients;
        self
    }

    /// Allows no writes.
    #[must_use]
    pub fn readonly(self) -> Self {
        self.option("-r")
    }

    /// Adds any other option.
    #[must_use]
    pub fn option(mut self, option: impl Into<OsString>) -> Self {
        self.options.push(option.into());
        self
    }

    /// Listens on a free TCP port, not on a Unix socket.
    #[must_use]
    pub fn tcp(mut self) -> Self {
        self.common.transport = Transport::Tcp;
        self
    }

    /// Counts as not installed if it is older than this.
    #[must_use]
    pub fn at_least(mut self, major: u32, minor: u32) -> Self {
        self.at_least = Some((major, minor));
        self
    }

    /// Needs one that speaks extended headers, which came with 8.2.
    #[must_use]
    pub fn extended_headers(self) -> Self {
        self.at_least(8, 2)
    }

    /// Starts it, or says that it is not installed.
    pub fn start(self) -> Option<Server> {
        let tools: &[Tool] = match (self.qcow2, self.bitmaps.is_empty()) {
            (_, false) => &[Tool::QemuNbd, Tool::QemuImg, Tool::QemuIo],
            (true, true) => &[Tool::QemuNbd, Tool::QemuImg],
            (false, true) => &[Tool::QemuNbd],
        };
        if !require(tools) {
            return None;
        }
        if let Some((major, minor)) = self.at_least {
            if !Tool::QemuNbd.at_least(major, minor) {
                return None;
            }
        }
        let guard = Guard::new();
        let (format, data) = if self.qcow2 {
            ("qcow2", self.disk.qcow2(guard.dir(), &self.bitmaps))
        } else {
            ("raw", self.disk.raw(&guard.dir().join("disk.raw")))
        };
        let mut pid_file = OsString::from("--pid-file=");
        pid_file.push(guard.dir().join("pid"));
        let mut args = vec![pid_file, "-t".into(), "-f".into(), format.into()];
        args.extend(["-e".into(), self.shared.to_string().into()]);
        args.extend(["-x".into(), self.common.export.clone().into()]);
        args.extend(self.options);
        args.push(data.clone().into());
        Some(Server::activated(Tool::QemuNbd, self.common, guard, Some(data), args))
    }
}
