//! Questions before a change. They are asked on a terminal only.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use crate::failure::{Failure, Status};
use crate::paint::colored;
use crate::say;
use crate::steering::spelled_out_around_marks;

/// Whether to go on: yes, unless the answer on the terminal is no. `shown` is printed before the question.
///
/// # Errors
/// When somebody could answer and cannot see the question.
pub(crate) fn agreed(
    yes: bool,
    shown: impl FnOnce() -> String,
    question: &str,
) -> Result<bool, Failure> {
    if yes || !on_terminal() {
        return Ok(true);
    }
    if !io::stderr().is_terminal() {
        return Err(Failure::failed(
            "this command asks a question, and standard error is no terminal",
        )
        .hint("Give --yes to go on without the question."));
    }
    let shown = colored(&spelled_out_around_marks(&shown()));
    let mut err = anstream::stderr().lock();
    write!(err, "{shown}{question} [y/N] ")?;
    err.flush()?;
    drop(err);
    let mut answer = String::new();
    // The end of input is no answer, and no answer is no.
    io::stdin().lock().read_line(&mut answer)?;
    if !answer.ends_with('\n') {
        say::note("");
    }
    let answer = answer.trim().to_lowercase();
    Ok(answer == "y" || answer == "yes")
}

/// Whether standard input is a terminal, where somebody can answer.
pub(crate) fn on_terminal() -> bool {
    io::stdin().is_terminal()
}

/// How a command ends after a no.
pub(crate) fn declined() -> Status {
    say::note("nothing was written");
    Status::Failed
}
