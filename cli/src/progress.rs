//! The progress bar: on standard error, and only when that is a terminal.

use std::sync::{Mutex, PoisonError};

use indicatif::{ProgressBar, ProgressStyle};

/// The bar that is shown, for those who end the program.
static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Removes the bar that is shown, if one is.
pub(crate) fn clear() {
    let shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(bar) = shown {
        bar.finish_and_clear();
    }
}

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
        *SHOWN.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar.clone());
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
