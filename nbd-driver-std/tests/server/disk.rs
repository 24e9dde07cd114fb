//! A disk in memory that remembers what was asked of it, and does to each call what a test wants.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use crate::driver::backend::{Backend, Failure, Features, ZeroMode};
use crate::driver::nbd_proto::wire::chunk::Descriptor;
use crate::driver::nbd_proto::wire::info::BlockSizes;
use crate::support::stripes;

/// What is asked of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Read { offset: u64, length: usize },
    TryRead { offset: u64, length: usize },
    Write { offset: u64, length: usize, fua: bool },
    Flush,
    Trim { offset: u64, length: u64, fua: bool },
    WriteZeroes { offset: u64, length: u64, mode: ZeroMode },
    Cache { offset: u64, length: u64 },
    Extents { context: String, offset: u64, length: u64, one: bool },
}

type Hook = dyn Fn(&Call) -> Result<(), Failure> + Send + Sync;

pub(crate) struct TestDisk {
    bytes: Mutex<Vec<u8>>,
    features: Features,
    sizes: BlockSizes,
    contexts: Vec<String>,
    calls: Mutex<Vec<Call>>,
    hook: Box<Hook>,
    /// Reads below this offset need not wait.
    cached: u64,
}

pub(crate) const BASE: &str = "base:allocation";
const BLOCK: usize = 4096;

impl TestDisk {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        let features = Features::all() - Features::IMMEDIATE - Features::ROTATIONAL;
        let sizes = BlockSizes { minimum: 1, preferred: 4096, maximum: 32 << 20 };
        let contexts = vec![BASE.to_owned()];
        let hook = Box::new(|_: &Call| Ok(()));
        Self { bytes: Mutex::new(bytes), features, sizes, contexts, calls: Mutex::default(), hook, cached: 0 }
    }

    pub(crate) fn empty(size: u64) -> Self {
        Self::new(vec![0; size as usize])
    }

    pub(crate) fn patterned(size: u64, seed: u64) -> Self {
        Self::new(stripes(size as usize, seed))
    }

    pub(crate) fn features(mut self, features: Features) -> Self {
        self.features = features;
        self
    }

    /// Called by the connection's own thread.
    pub(crate) fn immediate(mut self) -> Self {
        self.features |= Features::IMMEDIATE;
        self
    }

    /// Reads below this offset need not wait.
    pub(crate) fn cached(mut self, end: u64) -> Self {
        self.cached = end;
        self
    }

    pub(crate) fn sizes(mut self, minimum: u32, preferred: u32, maximum: u32) -> Self {
        self.sizes = BlockSizes { minimum, preferred, maximum };
        self
    }

    pub(crate) fn contexts(mut self, contexts: &[&str]) -> Self {
        self.contexts = contexts.iter().map(|&context| context.into()).collect();
        self
    }

    /// Runs this before each call; an error is the call's.
    pub(crate) fn hook(mut self, hook: impl Fn(&Call) -> Result<(), Failure> + Send + Sync + 'static) -> Self {
        self.hook = Box::new(hook);
        self
    }

    pub(crate) fn share(self) -> Arc<Self> {
        Arc::new(self)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().clone()
    }

    /// What was asked since the last time.
    pub(crate) fn calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    fn note(&self, call: Call) -> Result<(), Failure> {
        let result = (self.hook)(&call);
        self.calls.lock().unwrap().push(call);
        result
    }

    fn zero(&self, offset: u64, length: u64) {
        self.bytes.lock().unwrap()[range(offset, length)].fill(0);
    }
}

fn range(offset: u64, length: u64) -> Range<usize> {
    offset as usize..(offset + length) as usize
}

impl Backend for TestDisk {
    fn size(&self) -> u64 {
        self.bytes.lock().unwrap().len() as u64
    }

    fn features(&self) -> Features {
        self.features
    }

    fn block_sizes(&self) -> BlockSizes {
        self.sizes
    }

    fn read(&self, buffer: &mut [u8], offset: u64) -> Result<(), Failure> {
        self.note(Call::Read { offset, length: buffer.len() })?;
        buffer.copy_from_slice(&self.bytes.lock().unwrap()[range(offset, buffer.len() as u64)]);
        Ok(())
    }

    fn try_read(&self, buffer: &mut [u8], offset: u64) -> Option<Result<(), Failure>> {
        if offset >= self.cached {
            // A part of it may be there.
            buffer[0] = 0xee;
            return None;
        }
        let result = self.note(Call::TryRead { offset, length: buffer.len() });
        buffer.copy_from_slice(&self.bytes.lock().unwrap()[range(offset, buffer.len() as u64)]);
        Some(result)
    }

    fn write(&self, data: &[u8], offset: u64, fua: bool) -> Result<(), Failure> {
        self.note(Call::Write { offset, length: data.len(), fua })?;
        self.bytes.lock().unwrap()[range(offset, data.len() as u64)].copy_from_slice(data);
        Ok(())
    }

    fn flush(&self) -> Result<(), Failure> {
        self.note(Call::Flush)
    }

    fn trim(&self, offset: u64, length: u64, fua: bool) -> Result<(), Failure> {
        self.note(Call::Trim { offset, length, fua })?;
        self.zero(offset, length);
        Ok(())
    }

    fn write_zeroes(&self, offset: u64, length: u64, mode: ZeroMode) -> Result<(), Failure> {
        self.note(Call::WriteZeroes { offset, length, mode })?;
        self.zero(offset, length);
        Ok(())
    }

    fn cache(&self, offset: u64, length: u64) -> Result<(), Failure> {
        self.note(Call::Cache { offset, length })
    }

    fn contexts(&self) -> Vec<String> {
        self.contexts.clone()
    }

    /// Blocks of zeroes are holes; in any other context, everything has the status 7.
    fn extents(
        &self,
        context: &str,
        offset: u64,
        length: u64,
        one: bool,
        extents: &mut Vec<Descriptor>,
    ) -> Result<(), Failure> {
        self.note(Call::Extents { context: context.into(), offset, length, one })?;
        if context != BASE {
            extents.push(Descriptor { length, flags: 7 });
            return Ok(());
        }
        for block in self.bytes.lock().unwrap()[range(offset, length)].chunks(BLOCK) {
            let flags = if block.iter().all(|byte| *byte == 0) { 3 } else { 0 };
            match extents.last_mut() {
                Some(last) if last.flags == flags => last.length += block.len() as u64,
                Some(_) if one => break,
                _ => extents.push(Descriptor { length: block.len() as u64, flags }),
            }
        }
        Ok(())
    }
}
