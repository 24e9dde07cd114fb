//! Calls that fail, and calls that hang.

use rustix::io::Errno;

#[derive(Debug, Default)]
pub(super) struct Faults {
    failing: Vec<Fault>,
    hanging: Vec<&'static str>,
}

#[derive(Debug)]
struct Fault {
    call: &'static str,
    errno: Errno,
    /// How many times it goes well before.
    spared: usize,
    /// How many times it fails then.
    times: usize,
}

impl Faults {
    pub(super) fn add(&mut self, call: &'static str, errno: Errno, spared: usize, times: usize) {
        self.failing.push(Fault { call, errno, spared, times });
    }

    /// What a call fails with now.
    pub(super) fn strike(&mut self, call: &str) -> Result<(), Errno> {
        let Some(fault) = self.failing.iter_mut().find(|fault| fault.call == call && fault.times > 0) else {
            return Ok(());
        };
        if fault.spared > 0 {
            fault.spared -= 1;
            return Ok(());
        }
        fault.times -= 1;
        Err(fault.errno)
    }

    pub(super) fn hang(&mut self, call: &'static str) {
        self.hanging.push(call);
    }

    pub(super) fn hangs(&self, call: &str) -> bool {
        self.hanging.contains(&call)
    }

    pub(super) fn release(&mut self) {
        self.hanging.clear();
    }
}
