//! What points to a backend hands each call on, also those that have a default.

use std::sync::{Arc, Mutex};

use nbd_driver_std::backend::{Backend, Failure, Features, ZeroMode};
use nbd_driver_std::nbd_proto::wire::chunk::Descriptor;
use nbd_driver_std::nbd_proto::wire::info::BlockSizes;

use crate::support::MAY_HOLE;

const SIZES: BlockSizes = BlockSizes { minimum: 512, preferred: 1024, maximum: 2048 };

/// Notes what it is asked, and does nothing as a default would.
#[derive(Default)]
pub(crate) struct Probe(Mutex<Vec<&'static str>>);

impl Probe {
    fn note(&self, call: &'static str) {
        self.0.lock().unwrap().push(call);
    }

    pub(crate) fn calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Backend for Probe {
    fn size(&self) -> u64 {
        4096
    }

    fn features(&self) -> Features {
        Features::all()
    }

    fn block_sizes(&self) -> BlockSizes {
        SIZES
    }

    fn read(&self, _buffer: &mut [u8], _offset: u64) -> Result<(), Failure> {
        self.note("read");
        Ok(())
    }

    fn try_read(&self, _buffer: &mut [u8], _offset: u64) -> Option<Result<(), Failure>> {
        self.note("try_read");
        Some(Ok(()))
    }

    fn write(&self, _data: &[u8], _offset: u64, _fua: bool) -> Result<(), Failure> {
        self.note("write");
        Ok(())
    }

    fn flush(&self) -> Result<(), Failure> {
        self.note("flush");
        Ok(())
    }

    fn trim(&self, _offset: u64, _length: u64, _fua: bool) -> Result<(), Failure> {
        self.note("trim");
        Ok(())
    }

    fn write_zeroes(&self, _offset: u64, _length: u64, _mode: ZeroMode) -> Result<(), Failure> {
        self.note("write_zeroes");
        Ok(())
    }

    fn cache(&self, _offset: u64, _length: u64) -> Result<(), Failure> {
        self.note("cache");
        Ok(())
    }

    fn contexts(&self) -> Vec<String> {
        vec!["x-test:".into()]
    }

    fn extents(
        &self,
        _context: &str,
        _offset: u64,
        _length: u64,
        _one: bool,
        _extents: &mut Vec<Descriptor>,
    ) -> Result<(), Failure> {
        self.note("extents");
        Ok(())
    }
}

/// Not through `dyn`: what the pointer's own type does is tested.
fn use_all<B: Backend>(backend: B, probe: &Probe) {
    assert_eq!((backend.size(), backend.features(), backend.block_sizes()), (4096, Features::all(), SIZES));
    assert_eq!(backend.contexts(), ["x-test:"]);
    backend.read(&mut [0], 0).unwrap();
    backend.try_read(&mut [0], 0).unwrap().unwrap();
    backend.write(&[0], 0, false).unwrap();
    backend.flush().unwrap();
    backend.trim(0, 1, false).unwrap();
    backend.write_zeroes(0, 1, MAY_HOLE).unwrap();
    backend.cache(0, 1).unwrap();
    backend.extents("x-test:", 0, 1, false, &mut Vec::new()).unwrap();
    assert_eq!(probe.calls(), ["read", "try_read", "write", "flush", "trim", "write_zeroes", "cache", "extents"]);
}

#[test]
fn each_kind_of_pointer_hands_each_call_on() {
    let probe = Arc::new(Probe::default());
    use_all(&*probe, &probe);
    use_all(Arc::clone(&probe), &probe);
    use_all(Arc::clone(&probe) as Arc<dyn Backend>, &probe);
    use_all(Box::new(Arc::clone(&probe)), &probe);
    use_all(Box::new(Arc::clone(&probe)) as Box<dyn Backend>, &probe);
}
