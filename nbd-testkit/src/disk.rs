//! What a server serves: known bytes.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::tool::Tool;

/// `len` bytes that look random, are never zero, and are the same for the same seed.
pub fn pattern(len: usize, seed: u64) -> Vec<u8> {
    // xorshift64*; the seed is spread first, so that small seeds differ and zero is fine too.
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d;
    if state == 0 {
        state = 1;
    }
    let mut bytes = Vec::with_capacity(len.next_multiple_of(8));
    while bytes.len() < len {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        let word = state.wrapping_mul(0x2545_f491_4f6c_dd1d);
        bytes.extend(word.to_le_bytes().map(|byte| if byte == 0 { 0xa5 } else { byte }));
    }
    bytes.truncate(len);
    bytes
}

/// Makes a file of `len` bytes with these bytes at these offsets and holes elsewhere.
pub fn sparse_file<B: AsRef<[u8]>>(path: &Path, len: u64, data: &[(u64, B)]) {
    let file = File::create(path).unwrap_or_else(|error| panic!("create {}: {error}", path.display()));
    file.set_len(len).expect("set the size of a file");
    for (offset, bytes) in data {
        file.write_all_at(bytes.as_ref(), *offset).expect("write a file");
    }
}

/// A disk whose every byte the test knows. The server's `start` makes a file of it.
#[derive(Debug, Clone)]
pub struct Disk(Source);

#[derive(Debug, Clone)]
enum Source {
    Known { len: u64, data: Vec<(u64, Vec<u8>)> },
    File(PathBuf),
}

impl Disk {
    /// A disk without data: one hole.
    pub fn empty(len: u64) -> Self {
        Self(Source::Known { len, data: Vec::new() })
    }

    /// A disk full of [`pattern`].
    pub fn patterned(len: usize, seed: u64) -> Self {
        Self::empty(len as u64).data(0, pattern(len, seed))
    }

    /// A file that exists; it stays where it is.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Source::File(path.into()))
    }

    /// Adds bytes at an offset. Whatever has none is a hole.
    #[must_use]
    pub fn data(mut self, offset: u64, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        match &mut self.0 {
            Source::Known { len, data } => {
                assert!(offset + bytes.len() as u64 <= *len, "data past the end of the disk");
                data.push((offset, bytes));
            }
            Source::File(path) => panic!("{} is served as it is", path.display()),
        }
        self
    }

    /// All bytes of the disk as it was at the start.
    pub fn contents(&self) -> Vec<u8> {
        match &self.0 {
            Source::Known { len, data } => {
                let mut all = vec![0; usize::try_from(*len).expect("a disk that fits in memory")];
                for (offset, bytes) in data {
                    let start = usize::try_from(*offset).expect("an offset within the disk");
                    all[start..start + bytes.len()].copy_from_slice(bytes);
                }
                all
            }
            Source::File(path) => std::fs::read(path).expect("read the disk's file"),
        }
    }

    /// A raw file with these contents: a new one at `path`, or the one that exists.
    pub(crate) fn raw(&self, path: &Path) -> PathBuf {
        match &self.0 {
            Source::Known { len, data } => {
                sparse_file(path, *len, data);
                path.to_owned()
            }
            Source::File(path) => path.clone(),
        }
    }

    /// A new qcow2 file with these contents, and bitmaps.
    pub(crate) fn qcow2(&self, dir: &Path, bitmaps: &[Bitmap]) -> PathBuf {
        let raw = self.raw(&dir.join("disk.raw"));
        let path = dir.join("disk.qcow2");
        let path_text = path.to_str().expect("a path in UTF-8");
        let raw_text = raw.to_str().expect("a path in UTF-8");
        run(Tool::QemuImg, &["convert", "-f", "raw", "-O", "qcow2", raw_text, path_text]);
        for Bitmap { name, granularity, dirty } in bitmaps {
            let granularity = granularity.to_string();
            let add = ["bitmap", "--add", "-g", &granularity, "-f", "qcow2", path_text, name];
            run(Tool::QemuImg, &add);
            self.rewrite(dir, path_text, dirty);
            // Later writes, be it for the next bitmap or by clients, must not count for this one.
            run(Tool::QemuImg, &["bitmap", "--disable", "-f", "qcow2", path_text, name]);
        }
        path
    }

    /// Writes what is there already. It makes bitmaps dirty and leaves the contents known.
    fn rewrite(&self, dir: &Path, qcow2: &str, ranges: &[Range<u64>]) {
        if ranges.is_empty() {
            return;
        }
        let contents = self.contents();
        let mut args = vec!["-f".to_owned(), "qcow2".to_owned()];
        for Range { start, end } in ranges {
            let part = dir.join(format!("part-{start}-{end}"));
            let bytes = usize::try_from(*start).expect("an offset within the disk")
                ..usize::try_from(*end).expect("an offset within the disk");
            std::fs::write(&part, &contents[bytes]).expect("write a file");
            args.push("-c".to_owned());
            args.push(format!("write -q -s {} {start} {}", part.display(), end - start));
        }
        args.push(qcow2.to_owned());
        run(Tool::QemuIo, &args);
    }
}

/// A dirty bitmap inside a qcow2 file.
#[derive(Debug, Clone)]
pub(crate) struct Bitmap {
    pub(crate) name: String,
    pub(crate) granularity: u32,
    pub(crate) dirty: Vec<Range<u64>>,
}

fn run(tool: Tool, args: &[impl AsRef<std::ffi::OsStr>]) {
    let output = tool.command_unchecked().args(args).output().expect("run a program");
    assert!(
        output.status.success(),
        "{tool} failed: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[cfg(test)]
mod tests {
    use super::{Disk, pattern};

    #[test]
    fn patterns_are_deterministic_different_and_without_zeroes() {
        assert_eq!(pattern(100, 1), pattern(100, 1));
        assert_eq!(pattern(100, 1)[..50], pattern(50, 1));
        assert_ne!(pattern(100, 1), pattern(100, 2));
        assert_ne!(pattern(100, 0), pattern(100, 1));
        assert!(pattern(100_000, 3).iter().all(|&byte| byte != 0));
    }

    #[test]
    fn a_disk_has_holes_where_it_has_no_data() {
        let disk = Disk::empty(10).data(2, *b"ab").data(9, *b"z");
        assert_eq!(disk.contents(), b"\0\0ab\0\0\0\0\0z");
    }
}
