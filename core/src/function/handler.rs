//! From a payload to an answer, for the function and for the CLI's replay of an event.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::authorization;
use super::checked::Checked;
use super::permissions::{self, TryClouds};
use super::throttled::Throttled;
use super::{Answer, Home, QueueAnswer};
use crate::decide::guardrail::Guardrails;
use crate::event::{GroupLocator, Ignored, Intent, Lookup, Sweep, Trigger, TriggerKind, intent};
use crate::model::GroupAddress;
use crate::ports::{Budget, Calls, Pace, ScopeTable, SecurityGroups, SweepQueue};
use crate::reconcile::{GroupResult, MissingReferences, Settings, World, reconcile};
use crate::report::{GroupOutcome, Report, SweepReport};
use crate::sweep::parts::SweepRound;
use crate::sweep::{Bounds, Progress, SweepResult, sweep};

/// What lasts from one payload to the next.
#[derive(Debug)]
pub struct Handler<C> {
    pub(super) clouds: C,
    settings: Settings,
    never: Guardrails,
    missing: MissingReferences,
    throttled: Throttled,
    checked: Checked,
    /// The tag of a group that names its owner.
    owner_tag: Option<String>,
    pub(super) now: fn() -> Timestamp,
}

impl<C: TryClouds> Handler<C> {
    /// A handler. Its settings decide whether it acts or only plans.
    pub fn new(clouds: C, settings: Settings, now: fn() -> Timestamp) -> Self {
        Self {
            clouds,
            settings,
            never: Guardrails::default(),
            missing: MissingReferences::default(),
            throttled: Throttled::default(),
            checked: Checked::default(),
            owner_tag: None,
            now,
        }
    }

    /// The same with rules that are never authorized.
    #[must_use]
    pub fn with_guardrails(mut self, never: Guardrails) -> Self {
        self.never = never;
        self
    }

    /// The same for a stack whose notices name the owners of groups, by this tag.
    #[must_use]
    pub fn with_owner_tag(mut self, tag: Option<String>) -> Self {
        self.owner_tag = tag;
        self
    }

    /// Does what a payload asks for, within `remaining`. It never fails: problems are in the answer.
    pub async fn handle(&self, payload: &Value, home: &Home, remaining: Duration) -> Answer {
        let budget = Budget::of(remaining);
        match intent(payload) {
            Intent::Ignore(Ignored {
                trigger,
                group,
                reason,
            }) => Answer::Group(Box::new(self.ignored(Report::bare(
                trigger,
                group,
                GroupOutcome::Ignored,
                reason,
            )))),
            Intent::Reconcile(lookup) if home.made(&lookup) => {
                let group = match lookup.group {
                    GroupLocator::Id(id) => Some(GroupAddress {
                        scope: lookup.scope,
                        id,
                    }),
                    GroupLocator::DefaultVpcName(_) => None,
                };
                let reason = "rulekeeper made this call itself".to_owned();
                let report = Report::bare(lookup.trigger, group, GroupOutcome::Ignored, reason);
                Answer::Group(Box::new(self.ignored(report)))
            }
            Intent::Reconcile(lookup) => self.reconcile(&lookup, home, budget).await,
            // Boxed, like what is rarer still, so that it does not enlarge the future of every event.
            Intent::Sweep(request) => Box::pin(self.sweep_in_parts(&request, home, budget)).await,
            Intent::SweepTasks(messages) => {
                let mut answers = Vec::new();
                for message in messages {
                    let answer = Box::pin(self.task(message.sweep, home, budget)).await;
                    answers.push((message.id, answer));
                }
                Answer::Queue(QueueAnswer { messages: answers })
            }
            Intent::Watch(_) => {
                let reason = "only the deployed function watches; this reads one payload";
                let trigger = Trigger {
                    kind: TriggerKind::Watch,
                    ..Trigger::default()
                };
                let report = Report::bare(trigger, None, GroupOutcome::Ignored, reason.to_owned());
                Answer::Group(Box::new(self.ignored(report)))
            }
            Intent::Doctor(asked) => {
                let doctor = permissions::examine(&self.clouds, home, &asked, budget, self.now);
                let doctor = Box::pin(doctor).await;
                Answer::Doctor { doctor }
            }
        }
    }

    /// Access to the outside world.
    pub fn clouds(&self) -> &C {
        &self.clouds
    }

    /// Does what a message asks for. A message that cannot be understood is not retried, because another delivery could
    /// not help.
    async fn task(&self, sweep: Result<Sweep, String>, home: &Home, budget: Budget) -> Answer {
        match sweep {
            Err(reason) => {
                let report = Report::bare(Trigger::default(), None, GroupOutcome::Ignored, reason);
                Answer::Group(Box::new(self.ignored(report)))
            }
            Ok(_) if !budget.allows(Duration::ZERO) => Answer::Sweep(Box::new(SweepResult {
                report: SweepReport {
                    reason: Some("the invocation's time ran out before this message".to_owned()),
                    ..SweepReport::default()
                },
                retryable: true,
                ..SweepResult::default()
            })),
            Ok(sweep) => self.sweep_in_parts(&sweep, home, budget).await,
        }
    }

    /// Looks at one group.
    pub async fn reconcile(&self, lookup: &Lookup, home: &Home, budget: Budget) -> Answer {
        Answer::Group(Box::new(self.look_at(lookup, home, budget).await))
    }

    pub(super) async fn look_at(
        &self,
        lookup: &Lookup,
        home: &Home,
        budget: Budget,
    ) -> GroupResult {
        let calls = Calls::default();
        let foreign = home.is_foreign(&lookup.scope.account);
        let (ec2, table) = self
            .clouds
            .in_scope(&lookup.scope, foreign, Pace::Free, &calls, budget)
            .await;
        let world = World {
            spares_reads: lookup.call.is_some() && self.throttled.lately(),
            ..self.world(&ec2, &table, &calls, foreign)
        };
        let mut report = reconcile(world, lookup, budget).await;
        self.throttled.note(&calls);
        if self.settings.writes && report.generation.is_some() && !home.is(&lookup.scope) {
            // The record may have been written without these tools, so its scope may be unknown to sweeps. If the table
            // refuses this write, the next event tries again.
            if let Err(error) = table.remember_scope(&lookup.scope).await {
                let warning = format!("sweeps may not know this account and Region: {error}");
                report.warn_unsaved(warning);
            }
        }
        self.wake(&mut report, &calls, budget).await;
        if let Some(tag) = &self.owner_tag {
            // Boxed, as it is rare, so that it does not enlarge the future of every event.
            Box::pin(name_owner(&mut report, &ec2, tag)).await;
            report.report.calls = calls.counted();
        }
        report
    }

    /// Asks for another look at a group with a rule that waits for its cause. Without a queue, the next sweep looks again.
    async fn wake(&self, result: &mut GroupResult, calls: &Calls, budget: Budget) {
        let Some(at) = result.wake_at else { return };
        let Some(group) = result.report.group.clone() else {
            return;
        };
        if let Some(queue) = self.clouds.sweep_queue(calls, budget) {
            if let Err(error) = queue.look_again(&[(group, at)], (self.now)()).await {
                let warning = format!("another look at {at} could not be asked for: {error}");
                result.report.warnings.push(warning);
            }
            result.report.calls = calls.counted();
        }
    }

    /// Looks at every recorded group of the requested scope, or of home, as far as the time goes.
    pub async fn sweep(
        &self,
        request: &Sweep,
        home: &Home,
        budget: Budget,
        progress: Progress<'_>,
    ) -> Answer {
        let Some(scope) = home.scope_of(request) else {
            return self.nowhere(request);
        };
        let calls = Calls::default();
        let foreign = home.is_foreign(&scope.account);
        let (ec2, table) = self
            .clouds
            .in_scope(&scope, foreign, Pace::Alone, &calls, budget)
            .await;
        let bounds = Bounds {
            range: request.range.clone(),
            ..Bounds::default()
        };
        let world = self.world(&ec2, &table, &calls, foreign);
        Answer::Sweep(Box::new(
            sweep(world, &scope, &request.trigger, &bounds, budget, progress).await,
        ))
    }

    /// The same for the function, which hands over what it has no time for.
    async fn sweep_in_parts(&self, request: &Sweep, home: &Home, budget: Budget) -> Answer {
        let Some(scope) = home.scope_of(request) else {
            return self.nowhere(request);
        };
        let calls = Calls::default();
        let foreign = home.is_foreign(&scope.account);
        let queue = self.clouds.sweep_queue(&calls, budget);
        // Attempt 0 is a request from a schedule, an event or a person. Tasks that already wait are from an earlier
        // sweep.
        let waiting = match (&queue, request.attempt) {
            (Some(queue), 0) => Some(queue.waiting().await),
            _ => None,
        };
        let is_alone = request.attempt == 0 && !matches!(waiting, Some(Ok(1..)));
        let pace = if is_alone {
            Pace::Alone
        } else {
            Pace::AmongThree
        };
        let for_groups = budget.leaving_some();
        let in_scope = |budget| self.clouds.in_scope(&scope, foreign, pace, &calls, budget);
        let (ec2, table) = in_scope(for_groups).await;
        let (_, scope_table) = in_scope(budget).await;
        let looks_ahead = self.settings.writes && self.checked.is_due(&scope, &request.range);
        let round = SweepRound {
            world: self.world(&ec2, &table, &calls, foreign),
            scope_table: &scope_table,
            scope: &scope,
            request,
            queue: queue.as_ref(),
            waiting,
            has_role: self.clouds.has_role(),
            looks_ahead,
            budget: for_groups,
        };
        let mut result = round.run().await;
        let is_done = result.reason.is_none() && !result.is_retryable();
        if looks_ahead && is_done && request.range.is_all() {
            // What cannot be found out now is tried again in an hour.
            let looked = authorization::look(&ec2, &scope_table, &scope).await;
            result.report.permission = looked.unwrap_or_default();
        }
        Answer::Sweep(Box::new(result))
    }

    fn nowhere(&self, request: &Sweep) -> Answer {
        let reason = "the account and Region to sweep are not known".to_owned();
        let report = Report::bare(request.trigger.clone(), None, GroupOutcome::Ignored, reason);
        Answer::Group(Box::new(self.ignored(report)))
    }

    fn world<'a>(
        &'a self,
        ec2: &'a C::Ec2,
        table: &'a C::Table,
        calls: &'a Calls,
        foreign: bool,
    ) -> World<'a, C::Ec2, C::Table> {
        World {
            ec2,
            table,
            calls,
            missing: &self.missing,
            never: &self.never,
            settings: self.settings,
            without_role: foreign && !self.clouds.has_role(),
            spares_reads: false,
            now: self.now,
        }
    }

    fn ignored(&self, mut report: Report) -> GroupResult {
        report.timing.event_age_ms = report.trigger.age_ms((self.now)());
        report.into()
    }
}

/// Looks who owns the group, if somebody is told of it.
async fn name_owner(result: &mut GroupResult, ec2: &impl SecurityGroups, tag: &str) {
    let report = &mut result.report;
    let Some(group) = report.group.clone().filter(|_| report.is_news()) else {
        return;
    };
    match ec2.group_tag(&group.id, tag).await {
        Ok(owner) => report.owner = owner,
        Err(error) => {
            let warning = format!("the owner of the group could not be read: {error}");
            report.warnings.push(warning);
        }
    }
}
