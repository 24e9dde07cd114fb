//! The libraries a program is linked to.

use std::path::{Path, PathBuf};
use std::process::Command;

/// All that `ldd` names, the loader too; none for a static program.
pub(crate) fn libraries(program: &Path) -> Vec<PathBuf> {
    let output = Command::new("ldd").arg(program).env("LC_ALL", "C").output().expect("run ldd");
    parse(&String::from_utf8_lossy(&output.stdout))
}

/// A line is `name => /path (address)`, or `/path (address)` for the loader.
fn parse(text: &str) -> Vec<PathBuf> {
    text.lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
        .map(PathBuf::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::parse;
    use std::path::Path;

    #[test]
    fn paths_are_found_in_what_ldd_prints() {
        let text = "\tlinux-vdso.so.1 (0x00007ffe)\n\
                    \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f1c)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f1d)\n";
        let expected = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"].map(Path::new);
        assert_eq!(parse(text), expected);
        assert!(parse("\tnot a dynamic executable\n").is_empty());
    }
}
