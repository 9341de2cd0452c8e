//! Colour in results for people. It says nothing that the words do not say.
//!
//! Text is marked with characters that take no room and that nobody else's text can hold, because
//! [`spelled_out`](crate::steering::spelled_out) replaces them there. The marks become colour when the text is printed on a
//! terminal, and nothing anywhere else.

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

/// A text in a tone.
pub fn marked(tone: Tone, text: &str) -> String {
    let mut marks = MARKS.iter().filter(|(_, of)| *of == tone);
    match marks.next() {
        Some((mark, _)) => format!("{mark}{text}{END}"),
        None => text.to_owned(),
    }
}

/// An outcome, a state or an action, in the tone that it has everywhere; other words stay as they are.
pub fn outcome(word: &str) -> String {
    let tone = match word {
        "ok" | "restored" | "restored_elsewhere" | "already_present" | "converged" | "enforce"
        | "live" => Tone::Good,
        "failed" | "missing" | "orphaned" | "unreadable" | "unrestorable" | "no_room"
        | "no room" => Tone::Bad,
        "held" | "contested" | "observed" | "observe" | "paused" | "partial" | "pending"
        | "reopened" | "unexpected" | "wait" | "waiting" | "warning" | "drifted" | "drift" => {
            Tone::Doubt
        }
        "skipped" | "ignored" | "unmanaged" | "leave" | "superseded" => Tone::Faint,
        _ => return word.to_owned(),
    };
    marked(tone, word)
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
    use crate::steering::{spelled_out, spelled_out_around_marks};

    #[test]
    fn words_have_their_colour_and_other_peoples_text_cannot_make_any() {
        let text = format!("{} {}", outcome("failed"), outcome("web"));
        assert_eq!(colored(&text), "\u{1b}[31mfailed\u{1b}[0m web");
        assert_eq!(spelled_out_around_marks(&text), text);
        let hostile = spelled_out("a\u{fff2}b\u{fff8}");
        assert_eq!(hostile, "a\\u{fff2}b\\u{fff8}");
        assert_eq!(colored("a\u{fff8}b"), "ab", "an end without a beginning");
    }
}
