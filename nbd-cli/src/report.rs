//! How a failure is told: one line, and nothing in it that could play tricks on a terminal.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::panic::PanicHookInfo;
use std::process::ExitCode;

use nbd_driver_std::Error;
use nbd_proto::error::{Ended, Unavailable};
use nbd_proto::wire::number::ReplyType;

/// What a shell shows for a program that was ended by SIGPIPE.
const BROKEN_PIPE: u8 = 141;

/// Prints why the command failed, and returns its exit code.
pub(crate) fn failure(error: &anyhow::Error) -> ExitCode {
    if is_broken_pipe(error) {
        // Whoever read our output has seen enough, which is no news.
        return ExitCode::from(BROKEN_PIPE);
    }
    notice(&line(error));
    ExitCode::FAILURE
}

/// Prints a line on standard error. Where that is closed, the exit code has to do.
pub(crate) fn notice(text: &str) {
    let _ = writeln!(io::stderr(), "nbd: {}", one_line(text));
}

/// Tells of a bug of ours as the standard library does, but in one line: what it was about may be anybody's text.
pub(crate) fn panicked(panic: &PanicHookInfo<'_>) {
    notice(&panic.to_string());
    let trace = Backtrace::capture();
    if trace.status() == BacktraceStatus::Captured {
        let _ = write!(io::stderr(), "{trace}");
    }
}

/// Why the command failed and what to do about it, not escaped.
pub(crate) fn line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        // Some say what their cause says, too, and some what to do behind that.
        if !line.ends_with(&cause) && !line.contains(&format!(": {cause};")) {
            let separator = if line.is_empty() { "" } else { ": " };
            let _ = write!(line, "{separator}{cause}");
        }
    }
    if let Some(hint) = error.chain().find_map(of_cause) {
        // Some ask themselves.
        if !line.ends_with(hint) {
            let _ = write!(line, "; {hint}");
        }
    }
    line
}

/// A closed standard output. Broken pipes to servers are wrapped by the driver and do not look like this.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let kind = |cause: &(dyn std::error::Error + 'static)| cause.downcast_ref::<io::Error>().map(io::Error::kind);
    kind(error.root_cause()) == Some(io::ErrorKind::BrokenPipe)
        && !error.chain().any(|cause| cause.is::<Error>() || cause.is::<nbd_kernel::Error>())
}

fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    match cause.downcast_ref() {
        // Its `--timeout` is about requests.
        Some(nbd_kernel::Error::Connect(error)) => {
            hint(error).map(|hint| if hint == PATIENCE { "--wait tries until it does" } else { hint })
        }
        _ => hint(cause.downcast_ref()?),
    }
}

/// The hint about the command's own patience.
const PATIENCE: &str = "--timeout sets how long to wait";

/// What can be done about it.
fn hint(error: &Error) -> Option<&'static str> {
    match error {
        Error::Io { source, .. } => match source.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => Some("is the server running there?"),
            io::ErrorKind::PermissionDenied => Some("may this user connect to it?"),
            io::ErrorKind::TimedOut => Some(PATIENCE),
            _ => None,
        },
        Error::Timeout { .. } => Some(PATIENCE),
        Error::NotRestored { .. } => Some("--retry=SECONDS sets for how long to try"),
        Error::NoSuchContext { .. } => Some("`nbd info URI` shows the contexts that the server has"),
        Error::Connection(nbd_proto::error::Error::Ended(Ended::GivenUp { reason })) if reason.contains("within") => {
            Some(PATIENCE)
        }
        Error::Connection(nbd_proto::error::Error::InvalidMessage(_)) => Some("is this an NBD server?"),
        // It will have nothing else either.
        Error::Connection(nbd_proto::error::Error::Unavailable(Unavailable::Refused(refusal)))
            if refusal.reply == ReplyType::ERR_SHUTDOWN =>
        {
            None
        }
        Error::Connection(nbd_proto::error::Error::Unavailable(Unavailable::ServerRequiresTls(_))) => {
            Some("this program cannot do TLS yet")
        }
        Error::Connection(nbd_proto::error::Error::Unavailable(
            Unavailable::Refused(_) | Unavailable::NoSuchExport { .. } | Unavailable::ExportNameRejected { .. },
        )) => Some("`nbd info --list URI` shows the exports that the server has"),
        _ => None,
    }
}

/// Escapes what would not print, or would move the cursor. Backslashes and quotes stay: text from a peer that
/// is in here may have been escaped before.
pub(crate) fn one_line(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\'' | '\\' => shown.push(c),
            _ => shown.extend(c.escape_debug()),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::{env, panic, thread};

    use nbd_driver_std::Error;
    use nbd_proto::error::{Refusal, Unavailable};
    use nbd_proto::wire::number::{OptionCode, ReplyType};

    use super::{hint, one_line, panicked};

    const NASTY: &str = "a\u{1b}[2J\u{9b}31m\u{202e}\nnbd: all is well";

    /// A process of its own, since the hook is the whole process's.
    #[test]
    fn a_panic_is_told_in_one_line() {
        const VARIABLE: &str = "NBD_TEST_PANICS";
        if env::var_os(VARIABLE).is_some() {
            panic::set_hook(Box::new(panicked));
            assert!(thread::spawn(|| panic!("{NASTY}")).join().is_err());
            return;
        }
        let mut child = Command::new(env::current_exe().unwrap());
        child.args(["--exact", "report::tests::a_panic_is_told_in_one_line", "--nocapture"]);
        let output = child.env(VARIABLE, "1").env("RUST_BACKTRACE", "0").output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && errors.starts_with("nbd: panicked at "), "{errors}");
        assert!(errors.contains("a\\u{1b}[2J\\u{9b}31m\\u{202e}\\nnbd: all"), "{errors}");
        assert!(errors.trim_end().lines().count() == 1 && !errors.trim_end().contains(char::is_control), "{errors:?}");
    }

    #[test]
    fn the_list_helps_unless_the_server_goes_away() {
        for (reply, helps) in [(ReplyType::ERR_UNKNOWN, true), (ReplyType::ERR_SHUTDOWN, false)] {
            let refusal = Refusal { option: OptionCode::GO, reply, message: String::new() };
            let error = Error::Connection(Unavailable::Refused(refusal).into());
            assert_eq!(hint(&error).is_some_and(|hint| hint.contains("--list")), helps);
        }
    }

    #[test]
    fn a_message_is_one_line_without_control_characters() {
        assert_eq!(one_line("a\nb\u{1b}[2J \"c\" d\\u{1b}"), "a\\nb\\u{1b}[2J \"c\" d\\u{1b}");
    }
}
