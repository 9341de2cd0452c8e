//! Ctrl-C: the command ends at once, and says what it had written by then.

use std::io::IsTerminal as _;
use std::thread;

use crate::wire::Wire;
use crate::{progress, say};

/// The exit code after Ctrl-C, as shells have it: 128 and the number of the signal.
const INTERRUPTED: i32 = 130;

/// Waits for Ctrl-C beside the command, which may be waiting for an answer on the terminal.
pub(crate) fn watch(wire: Wire) {
    let wait = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build();
        // Without one the system ends the command, as it does before we are here.
        let Ok(runtime) = runtime else { return };
        if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            progress::clear();
            tell(&wire);
            std::process::exit(INTERRUPTED);
        }
    };
    drop(thread::spawn(wait));
}

/// A command that only reads ends quietly.
fn tell(wire: &Wire) {
    // What was typed stands in the line of a question, or of the terminal's ^C.
    if std::io::stderr().is_terminal() {
        say::note("");
    }
    let (written, under_way) = wire.written();
    if written.is_empty() && under_way.is_empty() {
        return;
    }
    say::warning("interrupted; what is done stays done");
    for line in written {
        say::note(&format!("  {line}"));
    }
    for line in under_way {
        say::note(&format!("  perhaps: {line} (no answer had come)"));
    }
}
