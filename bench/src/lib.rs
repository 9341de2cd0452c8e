//! What the demo, the replays of outages and the measurements at scale share.

use std::process::ExitCode;

pub mod client;
pub mod journal;
pub mod probe;
pub mod programs;
pub mod screen;
pub mod stack;
pub mod times;

/// Why a program stops, as text for the user.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The exit code for a result; prints the failure.
pub fn exit_code(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\nFAILED: {failure}");
            ExitCode::FAILURE
        }
    }
}
