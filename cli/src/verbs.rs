//! The verbs, one to a file.

use crate::args::{Cli, Verb};
use crate::failure::{Failure, Status};
use crate::output::Output;
use crate::session::Session;

mod apply;
mod export;
mod list;
mod pin;
mod plan;
mod reconcile;
mod replay;
mod restore;
mod show;

/// Does what the command line asks for.
pub(crate) async fn run(cli: Cli) -> Result<Status, Failure> {
    let output = Output::new(cli.global.output);
    let session = Session::new(cli.global);
    let result = match cli.verb {
        Verb::Pin(pin) => pin::run(&session, output, pin).await,
        Verb::Apply(apply) => apply::run(&session, output, &apply).await,
        Verb::Show(show) => show::run(&session, output, &show).await,
        Verb::Export(export) => export::run(&session, output, &export).await,
        Verb::List => list::run(&session, output).await,
        Verb::Plan(plan) => plan::run(&session, output, &plan.groups).await,
        Verb::Restore(restore) => restore::run(&session, output, &restore.groups).await,
        Verb::Replay(replay) => replay::run(&session, output, &replay).await,
    };
    match result {
        Err(failure) if failure.unanswered => Err(session.explain(failure).await),
        result => result,
    }
}
