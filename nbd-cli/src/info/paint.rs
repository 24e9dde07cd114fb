//! Colours.

use std::io::IsTerminal as _;

/// Whether there are colours at all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint(bool);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    /// What a block of lines is about.
    Name,
    /// Something that is there.
    Yes,
}

impl Paint {
    /// By default there are colours on a terminal, unless the environment has `NO_COLOR`.
    pub(crate) fn new(always: bool, never: bool) -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self(always || (!never && !unwanted && std::io::stdout().is_terminal()))
    }

    /// What stands before and behind text of this tone.
    pub(crate) fn around(self, tone: Tone) -> (&'static str, &'static str) {
        match tone {
            Tone::Name if self.0 => ("\x1b[1m", "\x1b[0m"),
            Tone::Yes if self.0 => ("\x1b[32m", "\x1b[0m"),
            Tone::Plain | Tone::Name | Tone::Yes => ("", ""),
        }
    }
}
