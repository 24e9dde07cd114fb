//! What many of these tests need.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nbd_driver_std::backend::{Backend, FileBackend, FileOptions, ZeroMode};
use nbd_driver_std::nbd_proto::wire::chunk::Descriptor;
use nbd_driver_std::nbd_proto::wire::flags::AllocationFlags;
use rustix::fs::FallocateFlags;
use tempfile::NamedTempFile;

pub(crate) const KIB: u64 = 1 << 10;
pub(crate) const MIB: u64 = 1 << 20;

pub(crate) const BASE_ALLOCATION: &str = "base:allocation";
pub(crate) const DATA: u64 = 0;
pub(crate) const ZERO: u64 = AllocationFlags::ZERO.bits();
pub(crate) const HOLE: u64 = AllocationFlags::HOLE.bits() | ZERO;

pub(crate) const NO_HOLE: ZeroMode = ZeroMode { fua: false, no_hole: true, fast: false };
pub(crate) const MAY_HOLE: ZeroMode = ZeroMode { fua: false, no_hole: false, fast: false };

/// One line that the harness does not swallow: this test cannot run here.
pub(crate) fn skip(why: &str) {
    std::io::stderr().write_all(format!("skipped: {why}\n").as_bytes()).ok();
}

/// Where files in memory are, if there is such a place.
pub(crate) fn shared_memory() -> Option<&'static Path> {
    let path = Path::new("/dev/shm");
    NamedTempFile::new_in(path).is_ok().then_some(path)
}

/// The directory for files on disk, and that for files in memory, where there is one.
pub(crate) fn directories() -> Vec<std::path::PathBuf> {
    [Some(std::env::temp_dir()), shared_memory().map(Into::into)].into_iter().flatten().collect()
}

/// Whether a file in this directory knows a mode of `fallocate`.
pub(crate) fn can(directory: &Path, mode: FallocateFlags) -> bool {
    let file = sparse_file(directory, MIB);
    rustix::fs::fallocate(&file, mode | FallocateFlags::KEEP_SIZE, 0, 64 * KIB).is_ok()
}

/// A file without any data.
pub(crate) fn sparse_file(directory: &Path, size: u64) -> NamedTempFile {
    let file = NamedTempFile::new_in(directory).unwrap();
    file.as_file().set_len(size).unwrap();
    file
}

pub(crate) fn open(path: impl AsRef<Path>) -> FileBackend {
    FileBackend::open(path, FileOptions::default()).unwrap()
}

/// How many bytes of its file system a file takes now.
pub(crate) fn allocated(file: &File) -> u64 {
    // What was written may be given its place only now.
    file.sync_all().unwrap();
    file.metadata().unwrap().blocks() * 512
}

pub(crate) fn read(backend: &dyn Backend, offset: u64, length: u64) -> Vec<u8> {
    // Not zeroes, so that what is not filled is seen.
    let mut buffer = vec![0xa5; usize::try_from(length).unwrap()];
    backend.read(&mut buffer, offset).unwrap();
    buffer
}

pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    // Compared by the block, as a build for tests is slow byte by byte.
    bytes.chunks(4096).all(|block| *block == [0; 4096][..block.len()])
}

/// Bytes without a zero that differ from place to place and from seed to seed, made by the block too.
pub(crate) fn stripes(length: usize, seed: u64) -> Vec<u8> {
    let mut stripe: Vec<u8> = (1..=251).collect();
    stripe.rotate_left((seed % 251) as usize);
    stripe.push((seed / 251 % 255) as u8 + 1);
    let mut stripes = stripe.repeat(length / stripe.len() + 1);
    stripes.truncate(length);
    stripes
}

/// What one call says, as pairs of length and flags; held to what any answer must be.
pub(crate) fn extents(backend: &dyn Backend, offset: u64, length: u64, one: bool) -> Vec<(u64, u64)> {
    // What is in the vector before is of another context, and none of the backend's business.
    let other = Descriptor { length: 7, flags: HOLE };
    let mut found = vec![other];
    backend.extents(BASE_ALLOCATION, offset, length, one, &mut found).unwrap();
    assert_eq!(found.remove(0), other, "the answer is appended");
    assert!(!found.is_empty(), "at least one extent");
    assert!(!one || found.len() == 1, "one extent was asked for, not {}", found.len());
    assert!(found.iter().all(|extent| extent.length > 0), "an empty extent in {found:?}");
    let covered: u64 = found.iter().map(|extent| extent.length).sum();
    assert!(covered <= length, "{covered} bytes told of {length}");
    assert!(found.windows(2).all(|pair| pair[0].flags != pair[1].flags), "neighbours are alike in {found:?}");
    found.into_iter().map(|extent| (extent.length, extent.flags)).collect()
}

/// Everything said of a range, by as many calls as it takes.
pub(crate) fn map(backend: &dyn Backend, offset: u64, length: u64) -> Vec<(u64, u64)> {
    let mut all = Vec::new();
    let mut at = offset;
    while at < offset + length {
        let found = extents(backend, at, offset + length - at, false);
        at += found.iter().map(|(length, _)| length).sum::<u64>();
        all.extend(found);
    }
    all
}
