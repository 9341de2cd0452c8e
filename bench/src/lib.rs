//! What the demo, the replays of outages and the measurements at scale share.
//!
//! | module | holds |
//! | --- | --- |
//! | `programs` | the function and the CLI to run |
//! | `stack` | the local stack as the programs start it, and the CLI on it |
//! | `client` | EC2 as one principal calls it, and the table |
//! | `probe`, `journal` | what happens to a group; what the stack recorded |
//! | `screen`, `time` | text on standard output; times, measured and in words |

use std::process::ExitCode;

pub mod client;
pub mod journal;
pub mod probe;
pub mod programs;
pub mod screen;
pub mod stack;
pub mod time;

/// Why a program stops, as text for the user.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// A result of which the user reads the error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The exit code for a result; prints the error.
pub fn exit_code(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nFAILED: {error}");
            ExitCode::FAILURE
        }
    }
}
