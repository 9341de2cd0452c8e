//! `restore`: put back what is missing, now.

use rulekeeper_core::function::Answer;
use rulekeeper_core::report::Report;

use super::plan;
use super::reconcile::{self, Does};
use crate::args::Restore;
use crate::confirm::{self, declined, on_terminal};
use crate::failure::{Failure, Status};
use crate::output::Output;
use crate::render;
use crate::session::Session;

pub(super) async fn run(
    session: &Session,
    output: Output,
    asked: &Restore,
) -> Result<Status, Failure> {
    let scope = session.scope().await?;
    let groups = session.ids(&asked.groups).await?;
    if groups.is_empty() && !asked.consent.yes && on_terminal() {
        let answers = reconcile::answers(session, &scope, &[], Does::Look).await?;
        let mut shown = String::new();
        let mut missing = 0;
        for answer in answers {
            let plan = plan::of_answer(session, answer).await?;
            missing += plan.missing();
            shown += &render::plan(&plan, None);
        }
        let question = format!("Put back what is missing in {scope}?");
        if missing > 0 && !confirm::agreed(false, || shown, &question)? {
            return Ok(declined());
        }
    }
    let does = match asked.now {
        true => Does::RestoreNow,
        false => Does::Restore,
    };
    let answers = reconcile::answers(session, &scope, &groups, does).await?;
    if output.is_table() {
        answers.iter().for_each(render::warn);
    }
    let items: Vec<&Report> = answers.iter().flat_map(Answer::reports).collect();
    let swept = answers.iter().filter_map(|answer| match answer {
        Answer::Sweep(sweep) => Some((&sweep.report.sweep, sweep.report.reason.as_deref())),
        _ => None,
    });
    let document = reconcile::of_sweeps(output.document(&items), swept)?;
    output.show_document(&document, || {
        let texts = answers.iter().map(|answer| render::answer(answer, None));
        texts.collect::<Vec<_>>().join("\n")
    })?;
    Ok(Status::of_answers(&answers).max(reconcile::named(&answers)))
}
