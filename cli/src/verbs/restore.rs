//! `restore`: put back what is missing, now.

use rulekeeper_core::function::Answer;
use rulekeeper_core::model::GroupId;

use super::reconcile;
use crate::failure::{Failure, Status};
use crate::output::Output;
use crate::render;
use crate::session::Session;

pub(super) async fn run(
    session: &Session,
    output: Output,
    groups: &[GroupId],
) -> Result<Status, Failure> {
    let answers = reconcile::answers(session, groups, true).await?;
    show(output, &answers, |answers| {
        let texts = answers.iter().map(|answer| render::answer(answer, None));
        texts.collect()
    })
}

/// Shows answers: one as it is, several as a list.
pub(super) fn show(
    output: Output,
    answers: &[Answer],
    texts: impl FnOnce(&[Answer]) -> Vec<String>,
) -> Result<Status, Failure> {
    let texts = || texts(answers).join("\n");
    if output.is_table() {
        answers.iter().for_each(render::warn);
    }
    output.show_each(answers, texts)?;
    Ok(Status::of_answers(answers))
}
