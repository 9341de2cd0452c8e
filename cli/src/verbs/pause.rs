//! `pause` and `resume`: leave a group alone for a time.

use rulekeeper_cli::operator;

use super::changes::{self, Done};
use crate::args::{Pause, Resume};
use crate::confirm::declined;
use crate::failure::{Failure, Status};
use crate::output::Output;
use crate::render;
use crate::session::Session;

pub(super) async fn run(
    session: &Session,
    output: Output,
    pause: &Pause,
) -> Result<Status, Failure> {
    let group = session.address(&pause.group).await?;
    let now = session.author().await?.now;
    let table = session.table().await?;
    let draft = operator::pause(&table, &group, pause.length, &pause.reason, now).await?;
    if !changes::agreed(
        pause.consent.yes,
        &draft,
        "Leave this group alone until then?",
    )? {
        return Ok(declined());
    }
    let until = draft.record().pause.as_ref().map(|pause| pause.until);
    let written = changes::write(session, draft).await?;
    output.show_one(&Done::of(&written, None), || {
        let until = until.map(|until| format!("paused until {until}\n"));
        render::written(&written) + &until.unwrap_or_default()
    })?;
    Ok(Status::Done)
}

pub(super) async fn resume(
    session: &Session,
    output: Output,
    resume: &Resume,
) -> Result<Status, Failure> {
    let group = session.address(&resume.group).await?;
    // Before anything is written: without a way to the group's account nothing could be put back.
    if !resume.following.no_restore {
        session.reach(&group.scope.account).await?;
    }
    let now = session.author().await?.now;
    let table = session.table().await?;
    let reason = resume.reason.as_deref();
    let draft = operator::resume(&table, &group, reason, now).await?;
    if draft.changes_nothing() {
        let unchanged = changes::write(session, draft).await?;
        output.show_one(&Done::of(&unchanged, None), || {
            format!("{group} is not paused; nothing was written\n")
        })?;
        return Ok(Status::Done);
    }
    let consent = resume.following.consent;
    if !changes::agreed(consent.yes, &draft, "End the pause?")? {
        return Ok(declined());
    }
    let written = changes::write(session, draft).await?;
    changes::restore(session, output, &written, resume.following).await
}
