//! Colour in results for people. It says nothing that the words do not say.
//!
//! Where colour can be seen, text is marked with characters that take no room and that nobody else's text can hold, because
//! they are spelled out there like those that steer a terminal. The marks become colour when the text is printed.

use std::sync::atomic::{AtomicBool, Ordering};

use anstyle::{AnsiColor, Style};

/// What a coloured word means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// All is well.
    Good,
    /// Something waits, or needs a look.
    Doubt,
    /// Something is broken.
    Bad,
    /// Of less interest.
    Faint,
    /// A heading.
    Strong,
}

/// Unassigned characters that Unicode reserves for being ignored: no text has a reason to hold them.
const MARKS: [(char, Tone); 5] = [
    ('\u{fff0}', Tone::Good),
    ('\u{fff1}', Tone::Doubt),
    ('\u{fff2}', Tone::Bad),
    ('\u{fff3}', Tone::Faint),
    ('\u{fff4}', Tone::Strong),
];

/// The end of every tone.
const END: char = '\u{fff8}';

/// Whether a character is a mark.
pub fn is_mark(c: char) -> bool {
    ('\u{fff0}'..=END).contains(&c)
}

/// Whether anybody can see colour.
static SEEN: AtomicBool = AtomicBool::new(false);

/// Marks text from now on, if standard output or standard error shows colour. `anstream` knows: a terminal, unless `NO_COLOR`
/// is set, or anything if `CLICOLOR_FORCE` is.
pub fn begin() {
    use anstream::{AutoStream, ColorChoice};
    let choices = [
        AutoStream::choice(&std::io::stdout()),
        AutoStream::choice(&std::io::stderr()),
    ];
    let seen = choices.iter().any(|choice| *choice != ColorChoice::Never);
    SEEN.store(seen, Ordering::Relaxed);
}

/// A text in a tone, where that can be seen.
pub fn marked(tone: Tone, text: &str) -> String {
    match SEEN.load(Ordering::Relaxed) {
        true => mark(tone, text),
        false => text.to_owned(),
    }
}

/// A text in a tone.
pub fn mark(tone: Tone, text: &str) -> String {
    let mut marks = MARKS.iter().filter(|(_, of)| *of == tone);
    match marks.next() {
        Some((mark, _)) => format!("{mark}{text}{END}"),
        None => text.to_owned(),
    }
}

/// An outcome, a state or an action, in the tone that it has everywhere; other words stay as they are.
pub fn outcome(word: &str) -> String {
    tone(word).map_or_else(|| word.to_owned(), |tone| marked(tone, word))
}

/// The tone of an outcome, a state or an action.
pub fn tone(word: &str) -> Option<Tone> {
    Some(match word {
        "ok" | "restored" | "restored_elsewhere" | "already_present" | "converged" | "enforce"
        | "live" => Tone::Good,
        "failed" | "missing" | "orphaned" | "unreadable" | "unrestorable" | "no_room" => Tone::Bad,
        "held" | "contested" | "observed" | "observe" | "paused" | "partial" | "pending"
        | "reopened" | "unexpected" | "wait" | "waiting" | "warning" | "drifted" => Tone::Doubt,
        "skipped" | "ignored" | "unmanaged" | "leave" | "superseded" => Tone::Faint,
        _ => return None,
    })
}

/// The text with colours in place of its marks.
pub fn colored(text: &str) -> String {
    let mut made = String::new();
    let mut open = None;
    for c in text.chars() {
        match MARKS.iter().find(|(mark, _)| *mark == c) {
            Some((_, tone)) => {
                made += &style(*tone).to_string();
                open = Some(*tone);
            }
            None if c == END => {
                let ended = open.take().map(|tone| format!("{:#}", style(tone)));
                made += &ended.unwrap_or_default();
            }
            None => made.push(c),
        }
    }
    made
}

fn style(tone: Tone) -> Style {
    let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
    match tone {
        Tone::Good => colour(AnsiColor::Green),
        Tone::Doubt => colour(AnsiColor::Yellow),
        Tone::Bad => colour(AnsiColor::Red),
        Tone::Faint => Style::new().dimmed(),
        Tone::Strong => Style::new().bold(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_have_their_colour_and_ends_without_a_beginning_none() {
        let text = format!("{} web", mark(Tone::Bad, "failed"));
        assert_eq!(colored(&text), "\u{1b}[31mfailed\u{1b}[0m web");
        assert_eq!(tone("restored"), Some(Tone::Good));
        assert_eq!(tone("web"), None);
        assert_eq!(colored("a\u{fff8}b"), "ab");
        // Nobody asked for colour.
        assert_eq!(outcome("failed"), "failed");
    }
}
