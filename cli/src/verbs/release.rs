//! `release` and `unpin`: stop keeping rules, or a whole group.

use rulekeeper_cli::operator;
use rulekeeper_cli::operator::Written;

use super::changes::{self, Done};
use crate::args::{Release, Unpin};
use crate::confirm::{self, declined};
use crate::failure::{Failure, Status};
use crate::output::Output;
use crate::render;
use crate::session::Session;

pub(super) async fn run(
    session: &Session,
    output: Output,
    release: &Release,
) -> Result<Status, Failure> {
    let group = session.address(&release.group).await?;
    let table = session.table().await?;
    let reason = release.reason.as_deref();
    let draft = operator::release(&table, &group, &release.rules, reason).await?;
    if !changes::agreed(release.consent.yes, &draft, "Release these rules?")? {
        return Ok(declined());
    }
    show(output, &changes::write(session, draft).await?)
}

pub(super) async fn unpin(
    session: &Session,
    output: Output,
    unpin: &Unpin,
) -> Result<Status, Failure> {
    let group = session.address(&unpin.group).await?;
    let table = session.table().await?;
    let unpinning = operator::unpin(&table, &group, unpin.reason.as_deref()).await?;
    let shown = || {
        let rules = unpinning.rules().iter();
        let rules: String = rules.map(|rule| format!("  - {rule}\n")).collect();
        format!("{group}:\n{rules}")
    };
    if !confirm::agreed(unpin.consent.yes, shown, "Stop keeping this group?")? {
        return Ok(declined());
    }
    let author = session.author().await?;
    show(
        output,
        &unpinning.write(&session.table().await?, &author).await?,
    )
}

fn show(output: Output, written: &Written) -> Result<Status, Failure> {
    output.show_one(&Done::to_record_only(written), || {
        render::written(written)
            + "the live rules are untouched; released rules are not put back when somebody revokes them\n"
    })?;
    Ok(Status::Done)
}
