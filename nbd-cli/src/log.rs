//! Tracing, if it was asked for, or of a process that stays.

use std::env;
use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::sync::Arc;

use syslog_tracing::{Facility, Options, Syslog};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::{DefaultFields, Format, Writer};
use tracing_subscriber::fmt::writer::{BoxMakeWriter, MakeWriterExt as _};
use tracing_subscriber::fmt::{FormatFields, MakeWriter, SubscriberBuilder};

use crate::report;

/// The environment variable with a filter, such as `debug`.
const VARIABLE: &str = "NBD_LOG";

/// What a process that stays tells in any case.
const STAYING: &str = "info";

/// Where a process that stays tells what becomes of the device.
#[derive(Debug)]
pub(crate) enum Place {
    StandardError,
    /// If there is none, it is not told.
    Syslog,
    File(File),
}

/// For most commands: on standard error, if it was asked for.
pub(crate) fn init(verbose: bool) {
    if let Some(filter) = wanted(verbose) {
        on_standard_error(filter);
    }
}

/// For a process that stays. What `--verbose` asks for is shown on standard error as well, as long as there is one.
pub(crate) fn init_staying(verbose: bool, place: Place) {
    let filter = wanted(verbose).unwrap_or_else(|| EnvFilter::new(STAYING));
    let format = format().with_ansi(false);
    match place {
        Place::StandardError => on_standard_error(filter),
        Place::File(file) => format.with_env_filter(filter).with_writer(shown(verbose, Arc::new(file))).init(),
        Place::Syslog => {
            // There is none only if there is one already.
            if let Some(syslog) = Syslog::new(c"nbd", Options::LOG_PID, Facility::Daemon) {
                // Time and level are in what it makes of it.
                let format = format.without_time().with_level(false);
                format.with_env_filter(filter).with_writer(shown(verbose, syslog)).init();
            }
        }
    }
}

fn wanted(verbose: bool) -> Option<EnvFilter> {
    match env::var(VARIABLE) {
        Ok(filter) if !filter.is_empty() => match EnvFilter::try_new(&filter) {
            Ok(filter) => return Some(filter),
            // It would complain by itself, and repeat the text as it is.
            Err(error) => report::notice(&format!("{VARIABLE}={filter} does not count: {error}")),
        },
        _ => {}
    }
    verbose.then(|| EnvFilter::new("trace"))
}

/// The words of an event, and its values: what plays tricks on a terminal is escaped, whoever it came from.
struct Escaping;

impl<'w> FormatFields<'w> for Escaping {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut plain = String::new();
        DefaultFields::new().format_fields(Writer::new(&mut plain), fields)?;
        writer.write_str(&report::one_line(&plain))
    }
}

/// A line that cannot be written, as on a full disk, is lost and stops nothing: the complaint about it would go to
/// standard error, and a panic follows where that is the one that is full or closed.
fn format() -> SubscriberBuilder<Escaping, Format> {
    tracing_subscriber::fmt().with_target(false).log_internal_errors(false).fmt_fields(Escaping)
}

fn on_standard_error(filter: EnvFilter) {
    let colours = io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    format().with_ansi(colours).with_env_filter(filter).with_writer(io::stderr).init();
}

fn shown(verbose: bool, writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static) -> BoxMakeWriter {
    if verbose { BoxMakeWriter::new(writer.and(io::stderr)) } else { BoxMakeWriter::new(writer) }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_event_is_one_line_whatever_stands_in_it() {
        const NASTY: &str = "a\u{1b}[2J\u{7f}\u{9b}31m\u{202e}\u{2066}\u{200b}\u{2028}\r\nb";
        for colours in [false, true] {
            let written = Written::default();
            let writer = written.clone();
            let subscriber = super::format().with_ansi(colours).with_writer(move || writer.clone()).finish();
            tracing::subscriber::with_default(subscriber, || {
                tracing::warn!(debugged = ?NASTY, shown = %NASTY, plain = NASTY, "{NASTY}");
                let _within = tracing::info_span!("span", %NASTY).entered();
                tracing::warn!("{}", NASTY);
            });
            let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
            // Our own colours, and no others.
            let plain = ["\u{1b}[0m", "\u{1b}[1m", "\u{1b}[2m", "\u{1b}[3m", "\u{1b}[33m"]
                .iter()
                .fold(text.clone(), |text, colour| text.replace(colour, ""));
            assert_eq!(text == plain, !colours);
            assert_eq!(plain.lines().count(), 2, "{plain:?}");
            let bad = |c: char| c != '\n' && (c.is_control() || "\u{202e}\u{2066}\u{200b}\u{2028}".contains(c));
            assert!(!plain.contains(bad), "{plain:?}");
            assert_eq!(plain.matches("\\u{202e}\\u{2066}").count(), 6, "each was told: {plain:?}");
        }
    }
}
