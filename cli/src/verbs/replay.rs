//! `replay`: sample or saved events through the function's own code.

use std::cell::RefCell;
use std::collections::BTreeSet;

use rulekeeper::aws::Clients;
use rulekeeper_core::event::{GroupLocator, Intent, Lookup, Sweep, Trigger, intent};
use rulekeeper_core::function::{Answer, Handler, Home};
use rulekeeper_core::model::{AccountId, GroupAddress};
use rulekeeper_core::ports::Budget;
use rulekeeper_core::report::{GroupOutcome, Report};

use super::plan;
use crate::args::Replay;
use crate::events::{self, Saved};
use crate::failure::{Failure, Status};
use crate::output::Output;
use crate::planned::Planned;
use crate::progress::Progress;
use crate::session::{GROUP_TIME, SWEEP_TIME, Session};
use crate::{render, say};

pub(super) async fn run(
    session: &Session,
    output: Output,
    replay: &Replay,
) -> Result<Status, Failure> {
    let saved = events::read_all(&replay.files)?;
    let player = Player::new(session, &saved, replay.execute).await?;
    let mut answers = Vec::new();
    let progress = Progress::of("events");
    for event in &saved {
        answers.push(player.play(event).await?);
        if saved.len() > 1 {
            progress.tell(answers.len(), saved.len());
        }
    }
    drop(progress);
    let origins = saved.iter().map(|event| event.origin.as_str());
    // An item for each event.
    if replay.execute {
        if output.is_table() {
            answers.iter().for_each(render::warn);
        }
        output.show(&answers, || {
            let texts = origins.zip(&answers);
            let texts = texts.map(|(origin, answer)| render::answer(answer, Some(origin)));
            texts.collect::<Vec<_>>().join("\n")
        })?;
        return Ok(Status::of_answers(&answers));
    }
    let mut plans = Vec::new();
    for answer in answers {
        plans.push(plan::of_answer(session, answer).await?);
    }
    if output.is_table() {
        plans.iter().for_each(render::warn_of_plan);
    }
    output.show(&plans, || {
        let texts = origins.zip(&plans);
        let texts = texts.map(|(origin, plan)| render::plan(plan, Some(origin)));
        texts.collect::<Vec<_>>().join("\n")
    })?;
    let statuses = plans.iter().map(Planned::status);
    Ok(statuses.fold(Status::Done, Status::max))
}

/// Gives events to the handler.
struct Player<'a> {
    session: &'a Session,
    handler: Handler<Clients>,
    home: Home,
    execute: bool,
    /// Whether there is one event only.
    alone: bool,
    /// Accounts that were warned of.
    warned: RefCell<BTreeSet<AccountId>>,
}

impl<'a> Player<'a> {
    /// Events that ask for nothing are answered without an account, a table or a Region.
    async fn new(session: &'a Session, saved: &[Saved], execute: bool) -> Result<Self, Failure> {
        let calls = saved.iter().any(|saved| {
            matches!(
                intent(&saved.event),
                Intent::Reconcile(_) | Intent::Sweep(_)
            )
        });
        let (clients, home) = if calls {
            (session.clients().await?, session.home().await?)
        } else {
            (session.idle_clients().await, Home::default())
        };
        let handler = session.handler(clients, execute);
        Ok(Self {
            session,
            handler,
            home,
            execute,
            alone: saved.len() == 1,
            warned: RefCell::default(),
        })
    }

    async fn play(&self, saved: &Saved) -> Result<Answer, Failure> {
        let (trigger, group, account, sweep) = match intent(&saved.event) {
            Intent::Ignore(ignored) => (ignored.trigger, None, None, None),
            Intent::SweepTasks(_) => {
                let reason = "these are messages of a queue; replay the events in their bodies";
                let reason = reason.to_owned();
                let report = Report::bare(Trigger::default(), None, GroupOutcome::Ignored, reason);
                return Ok(Answer::Group(Box::new(report.into())));
            }
            Intent::Reconcile(lookup) => {
                let Lookup {
                    scope,
                    group,
                    trigger,
                    ..
                } = *lookup;
                let account = scope.account.clone();
                let group = match group {
                    GroupLocator::Id(id) => Some(GroupAddress { scope, id }),
                    GroupLocator::DefaultVpcName(_) => None,
                };
                (trigger, group, Some(account), None)
            }
            Intent::Sweep(sweep) => {
                let account = sweep
                    .account
                    .clone()
                    .or_else(|| self.session.account_asked_for());
                let sweep = Sweep {
                    account: account.clone(),
                    ..sweep
                };
                (sweep.trigger.clone(), None, account, Some(sweep))
            }
            other @ (Intent::Doctor(_) | Intent::Watch(_)) => {
                let reason = match other {
                    Intent::Watch(_) => "only the deployed function watches",
                    _ => {
                        "it asks what the function's role allows, and only the function can tell: run `rulekeeper doctor`"
                    }
                };
                let (trigger, outcome) = (Trigger::default(), GroupOutcome::Ignored);
                let report = Report::bare(trigger, None, outcome, reason.to_owned());
                return Ok(Answer::Group(Box::new(report.into())));
            }
        };
        if let Some(account) = account
            && let Err(out_of_reach) = self.session.reach(&account).await
        {
            let reason = format!("{out_of_reach}: without --role-name its groups cannot be seen");
            // With the wrong credentials every group would look deleted, and the table would say so.
            if self.execute {
                let report = Report::bare(trigger, group, GroupOutcome::Failed, reason);
                return Ok(Answer::Group(Box::new(report.into())));
            }
            if self.warned.borrow_mut().insert(account) {
                let reason = render::plain(&reason);
                say::warning(&format!(
                    "{reason}, so their recorded rules show as missing"
                ));
            }
        }
        let Some(sweep) = sweep else {
            return Ok(self
                .handler
                .handle(&saved.event, &self.home, GROUP_TIME)
                .await);
        };
        let progress = Progress::of("groups");
        let tell = |done, total| {
            // Two bars at once would write over each other.
            if self.alone {
                progress.tell(done, total);
            }
        };
        Ok(self
            .handler
            .sweep(&sweep, &self.home, Budget::of(SWEEP_TIME), &tell)
            .await)
    }
}
