//! The progress bar: on standard error, and only when that is a terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// How far a piece of work has come.
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar that counts things of this name. It appears with the first progress.
    pub(crate) fn of(things: &'static str) -> Self {
        let bar = ProgressBar::no_length();
        let template = format!("{{wide_bar}} {{pos}}/{{len}} {things}");
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style);
        }
        Self { bar }
    }

    /// Shows how many of all are done.
    pub(crate) fn tell(&self, done: usize, total: usize) {
        self.bar
            .set_length(u64::try_from(total).unwrap_or(u64::MAX));
        self.bar
            .set_position(u64::try_from(done).unwrap_or(u64::MAX));
    }
}

/// Removes the bar before the result is printed, also after an error.
impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
