//! `completions`: the completion script of a shell.

use clap::CommandFactory as _;

use crate::args::{Cli, Completions};
use crate::failure::{Failure, Status};
use crate::output;

pub(super) fn run(completions: &Completions) -> Result<Status, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(
        completions.shell,
        &mut Cli::command(),
        "rulekeeper",
        &mut script,
    );
    let script = String::from_utf8(script).map_err(Failure::failed)?;
    output::print(&script)?;
    Ok(Status::Done)
}
