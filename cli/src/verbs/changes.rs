//! What the verbs that change a record share: showing the change, asking, and restoring afterwards.

use rulekeeper_cli::operator::{Draft, Written};
use rulekeeper_core::function::Answer;
use serde::Serialize;

use super::reconcile::{self, Does};
use crate::args::Following;
use crate::confirm;
use crate::failure::{Failure, Status};
use crate::output::{self, Output};
use crate::session::Session;
use crate::{render, say};

/// What was done, in one document.
#[derive(Serialize)]
pub(super) struct Done<'a> {
    #[serde(flatten)]
    written: &'a Written,
    #[serde(skip_serializing_if = "Option::is_none")]
    restore: Option<&'a Answer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    live_rules: Option<&'static str>,
}

impl<'a> Done<'a> {
    pub(super) fn of(written: &'a Written, restore: Option<&'a Answer>) -> Self {
        Self {
            written,
            restore,
            live_rules: None,
        }
    }

    /// What was done to a record, and to nothing else.
    pub(super) fn to_record_only(written: &'a Written) -> Self {
        Self {
            live_rules: Some("untouched"),
            ..Self::of(written, None)
        }
    }
}

/// Shows what differs and asks whether to write a draft.
pub(super) fn agreed(yes: bool, draft: &Draft, question: &str) -> Result<bool, Failure> {
    let shown = || {
        let difference = render::difference(&draft.difference(), "  ");
        format!("{}:\n{difference}", draft.group())
    };
    confirm::agreed(yes, shown, question)
}

/// Writes a draft. A new table client has a new time budget: the answer may have taken a while.
pub(super) async fn write(session: &Session, draft: Draft) -> Result<Written, Failure> {
    let author = session.author().await?;
    Ok(draft.write(&session.table().await?, &author).await?)
}

/// Shows what was written, and restores unless told not to.
pub(super) async fn restore(
    session: &Session,
    output: Output,
    written: &Written,
    following: Following,
) -> Result<Status, Failure> {
    if output.is_table() {
        output::print(&crate::steering::spelled_out(&render::written(written)))?;
    }
    let answer = match answer(session, written, following).await {
        Ok(answer) => answer,
        // The record is written all the same, and that has to be said.
        Err(failure) if !output.is_table() => {
            output.show_one(&Done::of(written, None), String::new)?;
            return Err(failure);
        }
        Err(failure) => return Err(failure),
    };
    if let Some(answer) = answer.as_ref().filter(|_| output.is_table()) {
        render::warn(answer);
    }
    output.show_one(&Done::of(written, answer.as_ref()), || {
        let text = |answer| render::answer(answer, None);
        answer.as_ref().map(text).unwrap_or_default()
    })?;
    Ok(answer.as_ref().map_or(Status::Done, Status::of_answer))
}

async fn answer(
    session: &Session,
    written: &Written,
    following: Following,
) -> Result<Option<Answer>, Failure> {
    let id = &written.group.id;
    let wanted = !following.no_restore
        && confirm::agreed(
            following.consent.yes,
            String::new,
            "Put back now what is missing?",
        )?;
    if !wanted {
        say::note(&format!(
            "nothing is put back now; `rulekeeper restore {id}` does that, or the function when it next looks at the group"
        ));
        return Ok(None);
    }
    let group = std::slice::from_ref(id);
    let answers = reconcile::answers(session, &written.group.scope, group, Does::Restore).await;
    Ok(answers?.pop())
}
