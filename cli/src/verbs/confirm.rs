//! `confirm`: let go what a change closed and the record still holds.

use rulekeeper_cli::operator;

use super::changes::{self, Done};
use crate::args::Confirm;
use crate::confirm::declined;
use crate::failure::{Failure, Status};
use crate::output::Output;
use crate::render;
use crate::session::Session;

pub(super) async fn run(
    session: &Session,
    output: Output,
    confirm: Confirm,
) -> Result<Status, Failure> {
    let group = session.address(&confirm.group).await?;
    let table = session.table().await?;
    let draft = operator::confirm(&table, &group, confirm.reason.as_deref()).await?;
    if !draft.changes_nothing()
        && !changes::agreed(confirm.consent.yes, &draft, "Let go of these rules?")?
    {
        return Ok(declined());
    }
    let written = changes::write(session, draft).await?;
    output.show_one(&Done::to_record_only(&written), || match written.changed {
        false => format!("{group}: nothing is pending; nothing was written\n"),
        true => {
            render::written(&written)
                + "the live rules are untouched: what was closed stays closed, and is not put back\n"
        }
    })?;
    Ok(Status::Done)
}
