//! `plan`: what a restore would do now with each missing rule, and why.

use std::collections::BTreeSet;

use rulekeeper_cli::operator;
use rulekeeper_core::event::{Evidence, GroupLocator, Lookup, Trigger, TriggerKind};
use rulekeeper_core::function::Answer;
use rulekeeper_core::model::{GroupAddress, Scope};
use rulekeeper_core::ports::Budget;
use rulekeeper_core::reconcile::GroupResult;
use rulekeeper_core::report::{GroupOutcome, SweepReport};

use super::reconcile::{self, Does};
use super::scopes;
use crate::args::Plan;
use crate::failure::{Failure, Status};
use crate::output::Output;
use crate::planned::{Planned, PlannedGroup, PlannedGroups, PlannedItem};
use crate::progress::Progress;
use crate::render;
use crate::session::{GROUP_TIME, Session};

pub(super) async fn run(
    session: &Session,
    output: Output,
    asked: &Plan,
) -> Result<Status, Failure> {
    let (mut plans, mut status) = (Vec::new(), Status::Done);
    let groups = session.ids(&asked.groups).await?;
    for scope in scopes(session, asked.all_scopes).await? {
        let answers = reconcile::answers(session, &scope, &groups, Does::Look).await?;
        status = status.max(reconcile::named(&answers));
        for answer in answers {
            plans.push(of_answer(session, answer).await?);
        }
    }
    if output.is_table() {
        plans.iter().for_each(render::warn_of_plan);
    }
    let items: Vec<PlannedItem<'_>> = plans.iter().flat_map(Planned::items).collect();
    let swept = plans.iter().filter_map(Planned::swept);
    let swept = swept.map(|all| (&all.sweep, all.reason.as_deref()));
    let document = reconcile::of_sweeps(output.document(&items), swept)?;
    output.show_document(&document, || {
        let texts = plans.iter().map(|plan| render::plan(plan, None));
        texts.collect::<Vec<_>>().join("\n")
    })?;
    let statuses = plans.iter().map(Planned::status);
    Ok(statuses.fold(status, Status::max))
}

/// The plan of an answer that changed nothing.
pub(super) async fn of_answer(session: &Session, answer: Answer) -> Result<Planned, Failure> {
    match answer {
        Answer::Group(result) => Ok(Planned::Group(Box::new((*result).into()))),
        Answer::Sweep(sweep) => Ok(Planned::Groups(of_sweep(session, sweep.report).await?)),
        other => Ok(Planned::Other(Box::new(other))),
    }
}

/// A sweep tells which groups there is something to say about. They are looked at again, one by one.
async fn of_sweep(session: &Session, sweep: SweepReport) -> Result<PlannedGroups, Failure> {
    let (mut plans, mut groups): (Vec<PlannedGroup>, BTreeSet<GroupAddress>) = Default::default();
    for report in sweep.reports.into_iter().chain(sweep.remarks) {
        let is_known = !matches!(
            report.outcome,
            GroupOutcome::Failed | GroupOutcome::Orphaned
        );
        match &report.group {
            Some(group) if is_known => {
                groups.insert(group.clone());
            }
            _ => plans.push(GroupResult::from(report).into()),
        }
    }
    let scope = match sweep.of {
        Some(of) => Scope {
            account: of.account,
            region: of.region,
        },
        None => session.scope().await?,
    };
    groups.extend(operator::reopened(&session.table().await?, &scope).await?);
    let (handler, home) = (
        session.handler(session.clients().await?, false),
        session.home().await?,
    );
    let progress = Progress::of("groups");
    let total = groups.len();
    for (place, group) in groups.into_iter().enumerate() {
        let lookup = Lookup {
            scope: group.scope.clone(),
            group: GroupLocator::Id(group.id.clone()),
            trigger: Trigger {
                kind: TriggerKind::Operator,
                ..Trigger::default()
            },
            call: None,
            evidence: Evidence::default(),
        };
        let answer = handler.reconcile(&lookup, &home, Budget::of(GROUP_TIME));
        if let Answer::Group(result) = answer.await {
            plans.extend(Some(PlannedGroup::from(*result)).filter(PlannedGroup::tells));
        }
        progress.tell(place + 1, total);
    }
    plans.sort_by(|one, other| one.group.cmp(&other.group));
    Ok(PlannedGroups::new(sweep.sweep, plans, sweep.reason))
}
