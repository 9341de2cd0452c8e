//! What only the demo writes.

use std::io::Result;
use std::time::Duration;

use crate::support::screen::{Screen, TIE, wrapped};

impl Screen {
    /// The title of a part of a part.
    pub(crate) fn subheading(&self, text: &str) -> Result<()> {
        self.gap()?;
        self.line(&self.emphasised(&format!("--- {text}")))
    }

    /// A command as typed, and what it printed.
    pub(crate) fn command(&self, command: &str, output: &str) -> Result<()> {
        self.gap()?;
        self.line(&format!("    $ {command}"))?;
        for line in output.lines() {
            self.line(&format!("    {line}"))?;
        }
        self.gap()
    }

    /// Three columns whose cells may take several lines.
    pub(crate) fn table(&self, rows: &[[String; 3]]) -> Result<()> {
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
}

/// `12.3 ms`, tied.
pub(crate) fn millis(duration: Duration) -> String {
    format!("{:.1}{TIE}ms", duration.as_secs_f64() * 1_000.0)
}

/// `2.31 s`, tied.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{:.2}{TIE}s", duration.as_secs_f64())
}
