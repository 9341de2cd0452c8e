//! Text on standard output, at most 80 columns wide.

use std::cell::Cell;
use std::io::{IsTerminal as _, Result, Write as _};

/// The width of the narrowest common terminal.
const WIDTH: usize = 80;

/// Keeps a number and its unit on one line; printed as a space.
pub const NBSP: char = '\u{a0}';

/// Standard output, with bold headings on a terminal that supports them.
#[derive(Debug)]
pub struct Screen {
    bold: bool,
    blank: Cell<bool>,
}

impl Screen {
    /// Follows `NO_COLOR` and `TERM`.
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

    /// An empty line, unless the last line is empty.
    pub fn gap(&self) -> Result<()> {
        if self.blank.get() {
            return Ok(());
        }
        self.line("")
    }

    /// An underlined heading.
    pub fn heading(&self, text: &str) -> Result<()> {
        self.gap()?;
        self.line(&self.emphasised(text))?;
        self.line(&"=".repeat(text.chars().count()))
    }

    /// A heading of the second level.
    pub fn subheading(&self, text: &str) -> Result<()> {
        self.gap()?;
        self.line(&self.emphasised(&format!("--- {text}")))
    }

    /// A wrapped paragraph.
    pub fn paragraph(&self, text: &str) -> Result<()> {
        self.gap()?;
        wrapped(text, WIDTH)
            .iter()
            .try_for_each(|line| self.line(line))
    }

    /// A label with text beside it. The text is wrapped if it is too long; if it fits, its spaces stay.
    pub fn hanging(&self, label: &str, text: &str) -> Result<()> {
        let indent = label.chars().count();
        if indent + text.chars().count() <= WIDTH {
            return self.line(&format!("{label}{}", text.replace(NBSP, " ")));
        }
        let inner = text.len() - text.trim_start().len();
        let mut label = format!("{label}{}", " ".repeat(inner));
        for line in wrapped(text, WIDTH - indent - inner) {
            self.line(&format!("{label}{line}"))?;
            label = " ".repeat(indent + inner);
        }
        Ok(())
    }

    /// A command as the user types it, and what it printed.
    pub fn command(&self, command: &str, output: &str) -> Result<()> {
        self.gap()?;
        self.line(&format!("    $ {command}"))?;
        for line in output.lines() {
            self.line(&format!("    {line}"))?;
        }
        self.gap()
    }

    /// Three columns with a head; cells are wrapped.
    pub fn table(&self, rows: &[[String; 3]]) -> Result<()> {
        const WIDTHS: [usize; 3] = [24, 25, 27];
        for (number, row) in rows.iter().enumerate() {
            let cells = [0, 1, 2].map(|column| wrapped(&row[column], WIDTHS[column]));
            let height = cells.iter().map(Vec::len).max().unwrap_or(0);
            self.gap()?;
            for at in 0..height {
                let parts = [0, 1, 2].map(|column: usize| {
                    let text = cells[column].get(at).map_or("", String::as_str);
                    format!("{text:width$}", width = WIDTHS[column])
                });
                let line = parts.join("  ");
                match number {
                    0 => self.line(&self.emphasised(line.trim_end()))?,
                    _ => self.line(line.trim_end())?,
                }
            }
        }
        Ok(())
    }

    /// The head of a Markdown table of numbers.
    pub fn markdown_head<C: AsRef<str>>(&self, names: &[C]) -> Result<()> {
        self.line(&markdown_row(names))?;
        self.line(&markdown_row(&vec!["--:"; names.len()]))
    }

    fn emphasised(&self, text: &str) -> String {
        if self.bold {
            format!("\x1b[1m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// A row of a Markdown table.
pub fn markdown_row<C: AsRef<str>>(cells: &[C]) -> String {
    let cells: Vec<&str> = cells.iter().map(AsRef::as_ref).collect();
    format!("| {} |", cells.join(" | "))
}

/// Lines of at most this many characters; a longer word is a line of its own.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let word = word.replace(NBSP, " ");
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
