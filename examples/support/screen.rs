//! What is written on the terminal, and how wide.

use std::cell::Cell;
use std::io::{IsTerminal as _, Result, Write as _};

/// Fits the narrowest terminal that people keep.
const WIDTH: usize = 80;

/// Standard output, with bold headings if it is a terminal that wants them.
#[derive(Debug)]
pub(crate) struct Screen {
    bold: bool,
    blank: Cell<bool>,
}

impl Screen {
    pub(crate) fn new() -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self {
            bold: std::io::stdout().is_terminal() && !set("NO_COLOR") && !dumb,
            blank: Cell::new(false),
        }
    }

    /// One line.
    pub(crate) fn line(&self, text: &str) -> Result<()> {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{text}")?;
        self.blank.set(text.is_empty());
        out.flush()
    }

    /// An empty line, unless there is one already.
    pub(crate) fn gap(&self) -> Result<()> {
        if self.blank.get() {
            return Ok(());
        }
        self.line("")
    }

    /// The title of a part.
    pub(crate) fn heading(&self, text: &str) -> Result<()> {
        let rule = "=".repeat(text.chars().count());
        self.gap()?;
        self.line(&self.emphasised(text))?;
        self.line(&rule)
    }

    /// Sentences, broken into lines.
    pub(crate) fn paragraph(&self, text: &str) -> Result<()> {
        self.gap()?;
        for line in wrapped(text, WIDTH) {
            self.line(&line)?;
        }
        Ok(())
    }

    /// A head, and next to it text, broken into lines if it is too long. As long as it fits, spaces within it stay.
    pub(crate) fn hanging(&self, head: &str, text: &str) -> Result<()> {
        let indent = head.chars().count();
        if indent + text.chars().count() <= WIDTH {
            return self.line(&format!("{head}{}", text.replace(TIE, " ")));
        }
        let inner = text.len() - text.trim_start().len();
        let mut head = format!("{head}{}", " ".repeat(inner));
        for line in wrapped(text, WIDTH - indent - inner) {
            self.line(&format!("{head}{line}"))?;
            head = " ".repeat(indent + inner);
        }
        Ok(())
    }

    /// In bold, if the terminal has it.
    pub(crate) fn emphasised(&self, text: &str) -> String {
        if self.bold {
            format!("\x1b[1m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Keeps a number and its unit on one line; written as an ordinary space.
pub(crate) const TIE: char = '\u{a0}';

/// Words in lines of at most so many characters; a longer word stands alone.
pub(crate) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let word = word.replace(TIE, " ");
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}
