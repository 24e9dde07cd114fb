//! What the guest tells the host: lines that begin with the run's nonce, so that nothing else that gets onto the
//! serial port is taken for one.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// How a test ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    Failed(String),
}

pub(crate) fn begun(nonce: &str, test: &str) -> String {
    format!("{nonce} begin {test}\n")
}

pub(crate) fn ended(nonce: &str, test: &str, outcome: &Outcome, millis: u128) -> String {
    match outcome {
        Outcome::Passed => format!("{nonce} ok {test} {millis}\n"),
        Outcome::Failed(output) => format!("{nonce} FAILED {test} {millis} {}\n", to_hex(output)),
    }
}

pub(crate) fn all_ended(nonce: &str) -> String {
    format!("{nonce} end\n")
}

/// All that came through.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) outcomes: BTreeMap<String, Outcome>,
    /// The test that was begun last.
    pub(crate) last: Option<String>,
    pub(crate) complete: bool,
}

impl Report {
    /// A line that was cut short counts for nothing.
    pub(crate) fn parse(nonce: &str, received: &str) -> Self {
        let mut report = Self::default();
        for line in received.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            let words: Vec<_> = line.trim_end_matches('\r').split(' ').collect();
            match words[..] {
                [first, ..] if first != nonce => {}
                [_, "begin", test] => report.last = Some(test.to_owned()),
                [_, "ok", test, _] => {
                    report.outcomes.insert(test.to_owned(), Outcome::Passed);
                }
                [_, "FAILED", test, _, output] => {
                    let output = from_hex(output).unwrap_or_else(|| "(its output came through garbled)".to_owned());
                    report.outcomes.insert(test.to_owned(), Outcome::Failed(output));
                }
                [_, "end"] => report.complete = true,
                _ => {}
            }
        }
        report
    }
}

/// A serial port passes digits on unchanged, whatever its mode.
fn to_hex(text: &str) -> String {
    text.bytes().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a String takes everything");
        hex
    })
}

fn from_hex(hex: &str) -> Option<String> {
    let digits = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = hex.as_bytes().chunks(2).map(digits).collect();
    Some(String::from_utf8_lossy(&bytes?).into_owned())
}

#[cfg(test)]
mod tests {
    use super::{Outcome, Report, all_ended, begun, ended};

    #[test]
    fn what_is_told_arrives() {
        let failure = Outcome::Failed("thread 'main' panicked\r\nleft: \"ä\"\0\n".to_owned());
        let text = [
            begun("77", "a::one"),
            ended("77", "a::one", &Outcome::Passed, 12),
            begun("77", "a::two"),
            ended("77", "a::two", &failure, 1),
            all_ended("77"),
        ]
        .concat();
        // As a terminal sends it.
        let report = Report::parse("77", &text.replace('\n', "\r\n"));
        assert_eq!(report.outcomes["a::one"], Outcome::Passed);
        assert_eq!(report.outcomes["a::two"], failure);
        assert_eq!(report.last.as_deref(), Some("a::two"));
        assert!(report.complete);
    }

    #[test]
    fn a_test_that_says_nothing_is_told_too() {
        let silent = Outcome::Failed(String::new());
        let report = Report::parse("77", &ended("77", "a::one", &silent, 1));
        assert_eq!(report.outcomes["a::one"], silent);
    }

    #[test]
    fn other_text_and_cut_lines_count_for_nothing() {
        assert_eq!(Report::parse("77", "[ 0.1] kernel\n78 ok a 1\n77 ok a\n77 end"), Report::default());
    }
}
