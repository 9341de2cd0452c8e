//! What is written on the terminal, and how wide.

use std::cell::Cell;
use std::io::{IsTerminal as _, Result, Write as _};
use std::time::Duration;

/// Fits the narrowest terminal that people keep.
const WIDTH: usize = 80;

/// Standard output, with bold headings if it is a terminal that wants them.
#[derive(Debug)]
pub struct Screen {
    bold: bool,
    blank: Cell<bool>,
}

impl Screen {
    /// Nothing is written yet.
    pub fn stdout() -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self {
            bold: std::io::stdout().is_terminal() && !set("NO_COLOR") && !dumb,
            blank: Cell::new(false),
        }
    }

    /// One line.
    pub fn line(&self, text: &str) -> Result<()> {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{text}")?;
        self.blank.set(text.is_empty());
        out.flush()
    }

    /// An empty line, unless there is one already.
    pub fn gap(&self) -> Result<()> {
        if self.blank.get() {
            return Ok(());
        }
        self.line("")
    }

    /// The title of a part.
    pub fn heading(&self, text: &str) -> Result<()> {
        let rule = "=".repeat(text.chars().count());
        self.gap()?;
        self.line(&self.emphasised(text))?;
        self.line(&rule)
    }

    /// Sentences, broken into lines.
    pub fn paragraph(&self, text: &str) -> Result<()> {
        self.gap()?;
        for line in wrapped(text, WIDTH) {
            self.line(&line)?;
        }
        Ok(())
    }

    /// A head, and next to it text, broken into lines if it is too long. As long as it fits, spaces within it stay.
    pub fn hanging(&self, head: &str, text: &str) -> Result<()> {
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

    /// The title of a part of a part.
    pub fn subheading(&self, text: &str) -> Result<()> {
        self.gap()?;
        self.line(&self.emphasised(&format!("--- {text}")))
    }

    /// A command as typed, and what it printed.
    pub fn command(&self, command: &str, output: &str) -> Result<()> {
        self.gap()?;
        self.line(&format!("    $ {command}"))?;
        for line in output.lines() {
            self.line(&format!("    {line}"))?;
        }
        self.gap()
    }

    /// Three columns whose cells may take several lines.
    pub fn table(&self, rows: &[[String; 3]]) -> Result<()> {
        const WIDTHS: [usize; 3] = [24, 25, 27];
        for (number, row) in rows.iter().enumerate() {
            let cells = [0, 1, 2].map(|at| wrapped(&row[at], WIDTHS[at]));
            let height = cells.iter().map(Vec::len).max().unwrap_or(0);
            self.gap()?;
            for at in 0..height {
                let parts = [0, 1, 2].map(|column: usize| {
                    let text = cells[column].get(at).map_or("", String::as_str);
                    format!("{text:width$}", width = WIDTHS[column])
                });
                let line = parts.join("  ");
                let line = line.trim_end();
                if number == 0 {
                    self.line(&self.emphasised(line))?;
                } else {
                    self.line(line)?;
                }
            }
        }
        Ok(())
    }

    /// The head of a Markdown table of numbers.
    pub fn markdown_head(&self, names: &[&str]) -> Result<()> {
        self.line(&format!("| {} |", names.join(" | ")))?;
        self.line(&format!("| {} |", vec!["--:"; names.len()].join(" | ")))
    }

    /// A row of a Markdown table.
    pub fn markdown_row(&self, cells: &[String]) -> Result<()> {
        self.line(&format!("| {} |", cells.join(" | ")))
    }

    /// In bold, if the terminal has it.
    pub fn emphasised(&self, text: &str) -> String {
        if self.bold {
            format!("\x1b[1m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Keeps a number and its unit on one line; written as an ordinary space.
pub const TIE: char = '\u{a0}';

/// Words in lines of at most so many characters; a longer word stands alone.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
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

/// `12.3 ms`, tied.
pub fn millis(duration: Duration) -> String {
    format!("{:.1}{TIE}ms", duration.as_secs_f64() * 1_000.0)
}

/// `2.31 s`, tied.
pub fn seconds(duration: Duration) -> String {
    format!("{:.2}{TIE}s", duration.as_secs_f64())
}
