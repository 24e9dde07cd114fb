//! What the command says of itself.

use crate::common::nbd;

#[test]
fn each_shell_gets_a_script() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let run = nbd(["completion", shell]).ok();
        for word in ["request-size", "max-connections", "demo", "dead-timeout", "detach"] {
            assert!(run.text().contains(word), "{shell}: {word}");
        }
    }
    assert_eq!(nbd(["completion", "cmd.exe"]).code, Some(1));
}

#[test]
fn help_has_examples_and_bounds() {
    for command in ["", "info", "copy", "serve", "attach", "detach", "status", "demo", "completion"] {
        let args = [command, "--help"].into_iter().filter(|arg| !arg.is_empty());
        let run = nbd(args).ok();
        assert!(run.text().contains("Examples:"), "{command:?}");
    }
    for command in ["info", "copy"] {
        let help = nbd([command, "--help"]).ok().text().split_whitespace().collect::<Vec<_>>().join(" ");
        for bound in ["5 seconds", "30 seconds", "65,536", "32 MiB"] {
            assert!(help.contains(bound), "{command}: {bound}");
        }
    }
}

#[test]
fn the_version_is_told() {
    for command in [&["--version"][..], &["-V"], &["info", "--version"], &["copy", "-V"], &["serve", "-V"]] {
        assert!(nbd(command).ok().text().ends_with(concat!(env!("CARGO_PKG_VERSION"), "\n")), "{command:?}");
    }
}

#[test]
fn a_wrong_call_ends_with_1_since_2_is_the_answer_no() {
    for command in [
        &[][..],
        &["inof"],
        &["info"],
        &["info", "--can", "fly", "nbd://localhost"],
        &["info", "--size", "--map", "nbd://localhost"],
        &["info", "--list", "--size", "nbd://localhost"],
        &["info", "--totals", "nbd://localhost"],
        &["info", "--timeout", "0", "nbd://localhost"],
        &["info", "--timeout", "soon", "nbd://localhost"],
        &["copy", "a"],
        &["copy", "--request-size=1000", "a", "b"],
        &["copy", "--request-size=64M", "a", "b"],
        &["copy", "--sparse=1000", "a", "b"],
        &["copy", "--requests=0", "a", "b"],
        &["copy", "--queue-size=0", "a", "b"],
    ] {
        let run = nbd(command);
        assert_eq!(run.code, Some(1), "{command:?}");
        assert!(run.bytes.is_empty() && !run.errors.is_empty(), "{command:?}");
    }
}
