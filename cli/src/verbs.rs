//! The verbs, one to a file.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rulekeeper_cli::operator;
use rulekeeper_cli::operator::{OperatorError, guardrail_remarks};
use rulekeeper_core::desired::DesiredRecord;
use rulekeeper_core::model::{GroupAddress, Scope};
use rulekeeper_core::ports::ScopeTable as _;

use crate::args::{Cli, Verb};
use crate::failure::{Failure, Status};
use crate::output::Output;
use crate::session::Session;
use crate::{interrupt, render, say};

mod apply;
mod changes;
mod check;
mod completions;
mod confirm;
mod doctor;
mod export;
mod history;
mod import;
mod incidents;
mod list;
mod man;
mod pause;
mod pin;
mod plan;
mod principal;
mod reconcile;
mod release;
mod replay;
mod restore;
mod rollback;
mod schema;
mod show;
mod status;

/// Does what the command line asks for.
pub(crate) async fn run(cli: Cli) -> Result<Status, Failure> {
    let output = Output::new(cli.verb.name(), cli.global.output);
    let session = Session::new(cli.global);
    interrupt::watch(session.wire());
    let asks_doctor = matches!(cli.verb, Verb::Doctor(_));
    let looks_at_groups = cli.verb.looks_at_groups();
    let result = match cli.verb {
        Verb::Pin(pin) => pin::run(&session, output, pin).await,
        Verb::Apply(apply) => apply::run(&session, output, &apply).await,
        Verb::Show(show) => show::run(&session, output, &show).await,
        Verb::Export(export) => export::run(&session, output, &export).await,
        Verb::Import(import) => import::run(&session, output, &import),
        Verb::List(list) => list::run(&session, output, &list).await,
        Verb::Status(status) => status::run(&session, output, &status).await,
        Verb::Plan(plan) => plan::run(&session, output, &plan).await,
        Verb::Check(check) => check::run(&session, output, &check.groups).await,
        Verb::Confirm(confirm) => confirm::run(&session, output, confirm).await,
        Verb::Restore(restore) => restore::run(&session, output, &restore).await,
        Verb::Pause(pause) => pause::run(&session, output, &pause).await,
        Verb::Resume(resume) => pause::resume(&session, output, &resume).await,
        Verb::Release(release) => release::run(&session, output, &release).await,
        Verb::Unpin(unpin) => release::unpin(&session, output, &unpin).await,
        Verb::History(history) => history::run(&session, output, &history).await,
        Verb::Rollback(rollback) => rollback::run(&session, output, &rollback).await,
        Verb::Incidents(incidents) => incidents::run(&session, output, &incidents).await,
        Verb::Doctor(doctor) => doctor::run(&session, output, &doctor).await,
        Verb::Principal(principal) => principal::run(&session, output, principal).await,
        Verb::Replay(replay) => replay::run(&session, output, &replay).await,
        Verb::Schema(_) => schema::run(),
        Verb::Completions(completions) => completions::run(&completions),
        Verb::Man(man) => man::run(output, &man),
    };
    match result {
        Err(failure) => Err(session.explain(failure).await),
        // The doctor's findings say it all.
        Ok(status) if asks_doctor => Ok(status),
        Ok(status) => {
            if looks_at_groups {
                tell_of_pause(&session).await;
            }
            session.advise(status);
            Ok(status)
        }
    }
}

/// Says what a person should know of a record's rules before they are needed.
fn warn_of(session: &Session, group: &GroupAddress, record: &DesiredRecord) {
    for remark in guardrail_remarks(session.never(), record) {
        say::warning(&format!("{}: {}", group.id, render::plain(&remark)));
    }
}

/// The account and Region that the command line means, or all that the table knows.
async fn scopes(session: &Session, all: bool) -> Result<Vec<Scope>, Failure> {
    let own = session.scope().await?;
    if !all {
        return Ok(vec![own]);
    }
    let known = session.table().await?.known_scopes().await;
    let known = known.map_err(OperatorError::from)?;
    let mut scopes: BTreeSet<Scope> = known.scopes.into_keys().collect();
    scopes.insert(own);
    Ok(scopes.into_iter().collect())
}

/// Says that every group is paused, if so. A verb says itself what cannot be found out of the table.
async fn tell_of_pause(session: &Session) {
    let Ok(table) = session.table().await else {
        return;
    };
    if let Ok(Some(pause)) = operator::paused_all(&table, Timestamp::now()).await {
        let reason = pause
            .reason
            .map(|reason| format!(": {}", render::plain(&reason)));
        let reason = reason.unwrap_or_default();
        say::warning(&format!(
            "every group is paused until {:.0}{reason}",
            pause.until
        ));
    }
}
