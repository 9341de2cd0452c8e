//! What `plan` and `restore` share: they run the function's own code.

use std::collections::BTreeMap;

use rulekeeper_core::event::{Evidence, GroupLocator, Lookup, Sweep, Trigger, TriggerKind};
use rulekeeper_core::function::Answer;
use rulekeeper_core::model::{GroupId, Scope};
use rulekeeper_core::ports::Budget;
use rulekeeper_core::report::GroupOutcome;

use crate::failure::{Failure, Status};
use crate::output::Document;
use crate::progress::Progress;
use crate::session::{GROUP_TIME, SWEEP_TIME, Session};

/// What is done with groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Does {
    /// Nothing.
    Look,
    /// What is missing and does not wait is put back.
    Restore,
    /// Everything that is missing is put back.
    RestoreNow,
}

/// Reconciles the groups of a scope, or every recorded group when none is named.
pub(super) async fn answers(
    session: &Session,
    scope: &Scope,
    groups: &[GroupId],
    does: Does,
) -> Result<Vec<Answer>, Failure> {
    let clients = session.clients().await?;
    session.reach(&scope.account).await?;
    let home = session.home().await?;
    let principal = Some(session.caller().await?.arn.clone());
    let trigger = Trigger {
        kind: TriggerKind::Operator,
        principal,
        now: does == Does::RestoreNow,
        ..Trigger::default()
    };
    let handler = session.handler(clients, does != Does::Look);

    let mut answers = Vec::new();
    if groups.is_empty() {
        let request = Sweep {
            account: Some(scope.account.clone()),
            region: Some(scope.region.clone()),
            trigger,
            ..Sweep::default()
        };
        let progress = Progress::of("groups");
        let tell = |done, total| progress.tell(done, total);
        answers.push(
            handler
                .sweep(&request, &home, Budget::of(SWEEP_TIME), &tell)
                .await,
        );
    } else {
        let progress = Progress::of("groups");
        for id in groups {
            let lookup = Lookup {
                scope: scope.clone(),
                group: GroupLocator::Id(id.clone()),
                trigger: trigger.clone(),
                call: None,
                evidence: Evidence::default(),
            };
            answers.push(
                handler
                    .reconcile(&lookup, &home, Budget::of(GROUP_TIME))
                    .await,
            );
            if groups.len() > 1 {
                progress.tell(answers.len(), groups.len());
            }
        }
    }
    Ok(answers)
}

/// A document with the counts of sweeps, and why they are not finished.
pub(super) fn of_sweeps<'d, 'a, T>(
    document: Document<'d, T>,
    sweeps: impl Iterator<Item = (&'a BTreeMap<String, u64>, Option<&'a str>)>,
) -> Result<Document<'d, T>, Failure> {
    let (mut counts, mut reasons) = (BTreeMap::new(), Vec::new());
    for (swept, reason) in sweeps {
        for (name, count) in swept {
            *counts.entry(name).or_insert(0) += count;
        }
        reasons.extend(reason);
    }
    let counts = (!counts.is_empty()).then_some(counts);
    let reason = (!reasons.is_empty()).then(|| reasons.join("; "));
    document.with("sweep", counts)?.with("reason", reason)
}

/// How a command ends that names groups: one without a record is a failure, be it a typing error or a record that was taken
/// out.
pub(super) fn named(answers: &[Answer]) -> Status {
    let reports = answers.iter().flat_map(Answer::reports);
    let mut unmanaged = reports.filter(|report| report.outcome == GroupOutcome::Unmanaged);
    match unmanaged.next() {
        Some(_) => Status::Failed,
        None => Status::Done,
    }
}
