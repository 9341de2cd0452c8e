//! `rollback`: an earlier generation becomes current, and what it holds is put back.

use rulekeeper_cli::operator;

use super::changes::{self, Done};
use crate::args::Rollback;
use crate::confirm::declined;
use crate::failure::{Failure, Status};
use crate::output::Output;
use crate::render;
use crate::session::Session;

pub(super) async fn run(
    session: &Session,
    output: Output,
    rollback: &Rollback,
) -> Result<Status, Failure> {
    let group = session.address(&rollback.group).await?;
    // Before anything is written: without a way to the group's account nothing could be put back.
    if !rollback.following.no_restore {
        session.reach(&group.scope.account).await?;
    }
    let table = session.table().await?;
    let reason = rollback.reason.as_deref();
    let draft = operator::rollback(&table, &group, rollback.to, reason).await?;
    if draft.changes_nothing() {
        let unchanged = changes::write(session, draft).await?;
        output.show_one(&Done::of(&unchanged, None), || render::written(&unchanged))?;
        return Ok(Status::Done);
    }
    let question = format!("Make generation {} current again?", rollback.to);
    if !changes::agreed(rollback.following.consent.yes, &draft, &question)? {
        return Ok(declined());
    }
    let written = changes::write(session, draft).await?;
    changes::restore(session, output, &written, rollback.following).await
}
