//! What is said on standard error: errors, warnings and hints, with their first word in colour where that can be seen.
//!
//! `anstream` decides about colour: a terminal that knows it, unless `NO_COLOR` is set; everywhere if `CLICOLOR_FORCE` is.

use std::io::Write as _;

use anstyle::{AnsiColor, Style};

use crate::steering::spelled_out;

/// Says why a command failed.
pub fn error(text: &str) {
    tell("error", AnsiColor::Red, text);
}

/// Says what a person should look at.
pub fn warning(text: &str) {
    tell("warning", AnsiColor::Yellow, text);
}

/// Says what to do, after a blank line.
pub fn hint(text: &str) {
    note("");
    tell("hint", AnsiColor::Cyan, text);
}

/// Says something else. Nobody may be there to hear it (`2>&1 | head -1`), and that is no failure.
pub fn note(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{}", spelled_out(text));
}

fn tell(word: &str, color: AnsiColor, text: &str) {
    let style = Style::new().bold().fg_color(Some(color.into()));
    let text = spelled_out(text);
    let _ = writeln!(anstream::stderr().lock(), "{style}{word}:{style:#} {text}");
}
