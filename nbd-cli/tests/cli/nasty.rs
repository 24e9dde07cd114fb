//! Text that plays tricks on a terminal, and what may come out of a command instead.

use std::ops::RangeInclusive;

use crate::common::Run;

/// Controls that move, clear, ring and switch; directions; what is not seen; other ends of lines.
const NASTY: [RangeInclusive<char>; 18] = [
    '\u{1}'..='\u{1f}',
    '\u{7f}'..='\u{a0}',
    '\u{ad}'..='\u{ad}',
    '\u{34f}'..='\u{34f}',
    '\u{61c}'..='\u{61c}',
    '\u{180e}'..='\u{180e}',
    '\u{2000}'..='\u{200f}',
    '\u{2028}'..='\u{202f}',
    '\u{205f}'..='\u{206f}',
    '\u{3000}'..='\u{3000}',
    '\u{e000}'..='\u{e000}',
    '\u{fe00}'..='\u{fe0f}',
    '\u{feff}'..='\u{feff}',
    '\u{fff9}'..='\u{fffb}',
    '\u{ffff}'..='\u{ffff}',
    '\u{1d173}'..='\u{1d17a}',
    '\u{e0001}'..='\u{e0001}',
    '\u{e0020}'..='\u{e007f}',
];

/// All of it, what a terminal would act on, and what quotes and escapes.
pub(crate) fn nasty() -> String {
    let each: String = NASTY.into_iter().flatten().collect();
    format!("x{each}\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m\r\nnbd: all is well\"'\\\\u{{1b}}\\x1b<é>y")
}

fn is_nasty(c: char) -> bool {
    c != '\n' && c != '\t' && (c.is_control() || NASTY.iter().any(|range| range.contains(&c)))
}

/// Nothing but text, and the ends of our own lines.
#[track_caller]
pub(crate) fn assert_harmless(bytes: &[u8], what: &str) {
    let text = std::str::from_utf8(bytes).unwrap_or_else(|error| panic!("{what}: {error}: {}", bytes.escape_ascii()));
    if let Some(at) = text.find(is_nasty) {
        let from = text[..at].char_indices().rev().nth(60).map_or(0, |(at, _)| at);
        panic!("{what}: {:?} in {:?}", text[at..].chars().next(), &text[from..at]);
    }
    assert!(
        !text.lines().any(|line| line.starts_with("nbd: all is well")),
        "{what}: a line of somebody else's: {text}"
    );
}

#[track_caller]
pub(crate) fn assert_run_harmless(run: &Run, what: &str) {
    assert_harmless(&run.bytes, &format!("{what}, standard output"));
    assert_harmless(run.errors.as_bytes(), &format!("{what}, standard error"));
}
