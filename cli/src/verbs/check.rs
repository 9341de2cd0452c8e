//! `check`: which recorded rules could not come back if they were dropped now.

use rulekeeper_cli::operator;
use rulekeeper_cli::operator::Checks;
use rulekeeper_core::ports::ScopeTable as _;

use crate::args::Group;
use crate::failure::{Failure, Status};
use crate::output::Output;
use crate::progress::Progress;
use crate::session::{SWEEP_TIME, Session};
use crate::{render, say};

pub(super) async fn run(
    session: &Session,
    output: Output,
    groups: &[Group],
) -> Result<Status, Failure> {
    let scope = session.scope().await?;
    let groups = session.ids(groups).await?;
    let (ec2, table) = session.in_scope_for(&scope, SWEEP_TIME).await?;
    let progress = Progress::of("groups");
    let tell = |done, total| progress.tell(done, total);
    let limits = (session.never(), session.rules_per_group());
    let mut checks = operator::check((&ec2, &table), limits, &scope, &groups, &tell).await?;
    match table.known_scopes().await {
        Ok(mut known) => checks.role = known.refused.remove(&scope),
        Err(error) => {
            let unknown = format!("whether the function's role may authorize: {error}");
            checks.unknown.insert(unknown);
        }
    }
    drop(progress);
    for unknown in &checks.unknown {
        say::warning(&format!("it is not known {}", render::plain(unknown)));
    }
    let document = output
        .document(&checks.groups)
        .with("checked", checks.checked)?;
    let document = document.with("role", &checks.role)?;
    let document = document.with("unknown", &checks.unknown)?;
    output.show_document(&document, || render::check(&scope, &checks))?;
    Ok(status(&checks))
}

fn status(checks: &Checks) -> Status {
    let has_problem = checks.groups.iter().any(|group| group.problem.is_some());
    if has_problem || !checks.unknown.is_empty() {
        Status::Failed
    } else if checks.groups.is_empty() && checks.role.is_none() {
        Status::Done
    } else {
        Status::Drift
    }
}
