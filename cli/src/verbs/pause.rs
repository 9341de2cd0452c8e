//! `pause` and `resume`: leave a group alone for a time.

use rulekeeper_cli::operator;
use rulekeeper_cli::operator::PauseLength;

use super::changes::{self, Done};
use crate::args::{Consent, Pause, Resume};
use crate::confirm::{self, declined};
use crate::failure::{Failure, Status};
use crate::output::Output;
use crate::render;
use crate::session::Session;

pub(super) async fn run(
    session: &Session,
    output: Output,
    pause: &Pause,
) -> Result<Status, Failure> {
    let Some(group) = &pause.group else {
        let question = "Leave every group alone until then?";
        return all(
            session,
            output,
            Some(pause.length),
            Some(&pause.reason),
            (pause.consent, question),
        )
        .await;
    };
    let group = session.address(group).await?;
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
    let Some(group) = &resume.group else {
        let consent = (resume.following.consent, "End the pause of every group?");
        return all(session, output, None, resume.reason.as_deref(), consent).await;
    };
    let group = session.address(group).await?;
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

async fn all(
    session: &Session,
    output: Output,
    length: Option<PauseLength>,
    reason: Option<&str>,
    (consent, question): (Consent, &str),
) -> Result<Status, Failure> {
    if !confirm::agreed(consent.yes, String::new, question)? {
        return Ok(declined());
    }
    let author = session.author().await?;
    let done = operator::pause_all(&session.table().await?, length, reason, &author).await?;
    output.show_one(&done, || match (done.changed, done.paused_until) {
        (true, Some(until)) => format!("every group is paused until {until:.0}\n"),
        (true, None) => "no group is paused by the settings any more; the next sweep puts back what went missing\n".to_owned(),
        (false, _) => "there is no pause of all groups; nothing was written\n".to_owned(),
    })?;
    Ok(Status::Done)
}
