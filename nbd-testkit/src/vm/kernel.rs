//! The kernels that are there to be booted.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The series that every test runs on, and what they are called in names of trials.
pub(crate) const SERIES: [Series; 2] =
    [Series { prefix: "6.1.", name: "linux_6_1" }, Series { prefix: "6.12.", name: "linux_6_12" }];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Series {
    prefix: &'static str,
    pub(crate) name: &'static str,
}

/// A directory with the files `vmlinuz` and `nbd.ko`.
#[derive(Debug, Clone)]
pub(crate) struct Kernel {
    dir: PathBuf,
}

impl Kernel {
    /// The newest one of the series in the cache.
    pub(crate) fn find(series: Series) -> Option<Self> {
        Self::find_in(&cache()?, series)
    }

    fn find_in(cache: &Path, series: Series) -> Option<Self> {
        fs::read_dir(cache)
            .ok()?
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let version = entry.file_name().into_string().ok()?;
                let kernel = Self { dir: entry.path() };
                let usable = version.starts_with(series.prefix) && kernel.image().exists() && kernel.module().exists();
                usable.then(|| (numbers(&version), kernel))
            })
            .max_by(|(a, _), (b, _)| a.cmp(b))
            .map(|(_, kernel)| kernel)
    }

    pub(crate) fn image(&self) -> PathBuf {
        self.dir.join("vmlinuz")
    }

    pub(crate) fn module(&self) -> PathBuf {
        self.dir.join("nbd.ko")
    }
}

/// Where `.ci/install kernel-vm` puts them.
fn cache() -> Option<PathBuf> {
    let base = match env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()) {
        Some(dir) => PathBuf::from(dir),
        None => Path::new(&env::var_os("HOME")?).join(".cache"),
    };
    Some(base.join("nbd-vm"))
}

/// Of a version, to compare by.
fn numbers(version: &str) -> Vec<u32> {
    version.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::{Kernel, SERIES};
    use std::fs;

    #[test]
    fn the_newest_complete_kernel_of_a_series_is_found() {
        let cache = tempfile::tempdir().unwrap();
        for version in ["6.1.0-9-cloud-amd64", "6.1.0-56-cloud-amd64", "6.12.117+deb12-cloud-amd64"] {
            let dir = cache.path().join(version);
            fs::create_dir(&dir).unwrap();
            fs::write(dir.join("vmlinuz"), "").unwrap();
            fs::write(dir.join("nbd.ko"), "").unwrap();
        }
        fs::create_dir(cache.path().join("6.1.0-57-cloud-amd64")).unwrap();
        let [old, new] = SERIES.map(|series| Kernel::find_in(cache.path(), series).unwrap().dir);
        assert!(old.ends_with("6.1.0-56-cloud-amd64"), "{}", old.display());
        assert!(new.ends_with("6.12.117+deb12-cloud-amd64"), "{}", new.display());
    }
}
