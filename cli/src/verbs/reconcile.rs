//! What `plan` and `restore` share: they run the function's own code.

use std::collections::BTreeSet;

use rulekeeper_core::event::{Evidence, GroupLocator, Lookup, Sweep, Trigger, TriggerKind};
use rulekeeper_core::function::Answer;
use rulekeeper_core::model::GroupId;
use rulekeeper_core::ports::Budget;

use crate::failure::Failure;
use crate::progress::Progress;
use crate::session::{GROUP_TIME, SWEEP_TIME, Session};

/// Reconciles the groups, or every recorded group when none is named; or only looks at them, unless it `acts`.
pub(super) async fn answers(
    session: &Session,
    groups: &[GroupId],
    acts: bool,
) -> Result<Vec<Answer>, Failure> {
    let clients = session.clients().await?;
    let scope = session.scope().await?;
    session.reach(&scope.account).await?;
    let home = session.home().await?;
    let principal = Some(session.caller().await?.arn.clone());
    let trigger = Trigger {
        kind: TriggerKind::Operator,
        principal,
        ..Trigger::default()
    };
    let handler = session.handler(clients, acts);

    let mut answers = Vec::new();
    if groups.is_empty() {
        let request = Sweep {
            account: Some(scope.account),
            region: Some(scope.region),
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
        let mut seen = BTreeSet::new();
        let groups: Vec<&GroupId> = groups.iter().filter(|id| seen.insert(*id)).collect();
        let progress = Progress::of("groups");
        for id in &groups {
            let lookup = Lookup {
                scope: scope.clone(),
                group: GroupLocator::Id((*id).clone()),
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
