//! Passes over one group: update its record, restore its rules, save the state; look again while a change settles.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::converge::Convergence;
use super::deferred::Deferred;
use super::error::WorkError;
use super::record_update::{RecordUpdate, read_until_fresh, update_record};
use super::save_state::{Restores, save_state};
use super::snapshot::{LiveRead, Snapshot};
use super::started::{Started, millis};
use super::{GroupResult, RuleResult, World};
use crate::decide::changes::{GroupState, ObservedCall, dropped_by};
use crate::decide::plan::{Hold, Plan};
use crate::desired::Policy;
use crate::event::Lookup;
use crate::model::{ActualRules, GroupId, RuleKey};
use crate::ports::{Budget, SecurityGroups, Table};
use crate::report::{GroupOutcome, RecordChange, RuleOutcome, RuleReport, conclude};

/// The most passes of one invocation.
const PASSES_MAX: usize = 6;

/// A change is judged this much after its wait, so that rounding of clocks does not make it too early.
const SETTLED_AFTER: Duration = Duration::from_millis(5);

/// A group from its first read to its report.
pub(super) struct Passes<'a, E, T> {
    world: World<'a, E, T>,
    lookup: &'a Lookup,
    budget: Budget,
    snapshot: Snapshot,
    live: LiveRead,
    /// Who dropped which rules, as far as the event says.
    dropped_by: BTreeMap<RuleKey, String>,
    /// Revokes of this event that the state did not hold before.
    news: BTreeSet<RuleKey>,
    hold: Option<Hold>,
    lines: BTreeMap<RuleKey, RuleResult>,
    changes: Vec<RecordChange>,
    notices: Vec<String>,
    warnings: Vec<String>,
    /// Whether another delivery could help, even if no rule failed.
    retryable: bool,
    plan: Option<Plan>,
    group_gone: bool,
    last_restored: Option<Instant>,
    /// When the group is to be looked at again, because a rule waits for its cause.
    wake_at: Option<Timestamp>,
}

/// What restoring came to.
struct SeenTo {
    /// Each with the moment at which EC2 confirmed it.
    restored: Vec<(RuleKey, Option<Instant>)>,
    actual: ActualRules,
}

impl<'a, E: SecurityGroups, T: Table> Passes<'a, E, T> {
    pub(super) fn new(
        world: World<'a, E, T>,
        snapshot: Snapshot,
        live: LiveRead,
        lookup: &'a Lookup,
        budget: Budget,
    ) -> Self {
        let told = ObservedCall::of(lookup, &snapshot.state).map(|observed| {
            let dropped_by = dropped_by(&observed, &lookup.evidence, &snapshot.record);
            (dropped_by, observed.news_to(&snapshot.state))
        });
        let (dropped_by, news) = told.unwrap_or_default();
        Self {
            world,
            lookup,
            budget,
            dropped_by,
            news,
            snapshot,
            live,
            hold: None,
            lines: BTreeMap::new(),
            changes: Vec::new(),
            notices: Vec::new(),
            warnings: Vec::new(),
            retryable: false,
            plan: None,
            group_gone: false,
            last_restored: None,
            wake_at: None,
        }
    }

    /// Passes over the group until no change settles any more, or time is up.
    pub(super) async fn run(&mut self) {
        for pass in 1..=PASSES_MAX {
            let Some(wait) = self.pass().await else {
                return;
            };
            let waits_here = self.lookup.call.is_some() || wait.is_zero();
            if !waits_here || pass == PASSES_MAX || !self.budget.allows(wait) {
                // The next sweep comes by itself; an event has to be delivered again.
                self.retryable |= self.lookup.call.is_some();
                return;
            }
            tokio::time::sleep(wait).await;
            if let Err(error) = self.look_again().await {
                self.retryable |= error.is_retryable();
                let warning = format!("the group could not be looked at again: {error}");
                self.warnings.push(warning);
                return;
            }
        }
    }

    /// One pass. Returns after how long the next one is due.
    async fn pass(&mut self) -> Option<Duration> {
        let (world, now) = (self.world, self.world.now);
        self.hold = Hold::of(&self.snapshot.record, world.settings.mode, now());
        // A pause holds rules back; the record is still updated. Observe mode changes nothing.
        let paused = matches!(self.hold, Some(Hold::Paused { .. }));
        let updates = world.settings.writes && (paused || self.hold.is_none());
        let mut update = RecordUpdate::default();
        if updates && self.snapshot.principals().any_meant() {
            update = self.update_record().await;
        }
        let deferred = Deferred::of(
            &self.snapshot,
            &update,
            &self.live.actual,
            &self.dropped_by,
            now(),
            updates && self.hold.is_none(),
        );
        let seen_to = self.see_to_rules(&deferred).await;
        self.note(&mut update);
        self.wake_at = deferred.wake_at.into_iter().chain(self.wake_at).min();
        self.note_untold(&deferred);
        let overtaken = self.save_state(update.unsaved, &deferred, &seen_to).await;
        let settles = update
            .settling
            .values()
            .map(|settling| settling.until)
            .min();
        match settles {
            Some(until) => {
                let left = Duration::try_from(until.duration_since(now()));
                Some(left.unwrap_or_default() + SETTLED_AFTER)
            }
            None => overtaken.then_some(Duration::ZERO),
        }
    }

    async fn update_record(&mut self) -> RecordUpdate {
        let (world, lookup) = (&self.world, self.lookup);
        let (group, evidence) = (&self.snapshot.group, &lookup.evidence);
        // Wait once for a read that fits the event. If none comes, the event is out of date.
        if self.plan.is_none() {
            self.live =
                read_until_fresh(world, group, evidence, self.live.clone(), self.budget).await;
        }
        // EC2 never reuses an id.
        let actual = std::mem::take(&mut self.live.actual);
        self.live.actual = actual.without(&evidence.revoked_ids);
        let update = update_record(
            world,
            &mut self.snapshot,
            &mut self.live,
            lookup,
            &self.news,
        )
        .await;
        if let Some(error) = &update.error {
            self.retryable |= error.is_retryable();
            self.warnings
                .push(format!("the record could not be kept up to date: {error}"));
        }
        update
    }

    fn named_by_the_event(&self) -> BTreeSet<RuleKey> {
        let revoked = self.lookup.evidence.revoked.iter();
        revoked.chain(self.dropped_by.keys()).cloned().collect()
    }

    async fn see_to_rules(&mut self, deferred: &Deferred) -> SeenTo {
        let mut convergence = Convergence {
            world: self.world,
            group: &self.snapshot.group,
            record: &self.snapshot.record,
            evidence: &self.lookup.evidence,
            hold: self.hold.as_ref(),
            deferred: &deferred.lines,
            awaits_causes: deferred.awaits_causes,
            looked_for: self.named_by_the_event(),
            budget: self.budget,
            actual: self.live.actual.clone(),
            presumed_absent: BTreeSet::new(),
            lines: BTreeMap::new(),
            group_gone: false,
            last_restored: None,
        };
        self.plan = Some(convergence.run().await);
        convergence.note_present();
        let Convergence {
            actual,
            lines,
            group_gone,
            last_restored,
            ..
        } = convergence;
        self.group_gone = group_gone;
        self.last_restored = last_restored.or(self.last_restored);
        let restored = lines
            .values()
            .filter(|line| line.outcome == RuleOutcome::Restored);
        let seen_to = SeenTo {
            restored: restored
                .map(|line| (line.rule.clone(), line.authorized_at.or(last_restored)))
                .collect(),
            actual,
        };
        // Each pass says anew what waits.
        self.lines.retain(|rule, line| match line.outcome {
            RuleOutcome::Held => false,
            RuleOutcome::Superseded => !self.snapshot.record.rules.contains_key(rule),
            _ => true,
        });
        for (rule, line) in lines {
            let before = self.lines.get(&rule).map(|line| line.outcome);
            let was_restored = before == Some(RuleOutcome::Restored);
            if !(was_restored && line.outcome == RuleOutcome::AlreadyPresent) {
                self.lines.insert(rule, line);
            }
        }
        seen_to
    }

    /// Tells of rules that were restored without anybody knowing who took them.
    fn note_untold(&mut self, deferred: &Deferred) {
        let is_restored = |rule: &&RuleKey| {
            let line = self.lines.get(*rule);
            line.is_some_and(|line| line.outcome == RuleOutcome::Restored)
        };
        let restored = deferred.never_told.iter().filter(is_restored);
        let notices: Vec<String> = restored
            .map(|rule| format!("{rule} was restored, and no event told who took it"))
            .collect();
        self.notices.extend(notices);
    }

    /// Takes over what the record update reports.
    fn note(&mut self, update: &mut RecordUpdate) {
        // A removed rule may be back in the record by now.
        let removed = std::mem::take(&mut update.lines).into_iter();
        let recorded = &self.snapshot.record.rules;
        let removed = removed.filter(|(rule, _)| !recorded.contains_key(rule));
        self.lines
            .extend(removed.map(|(rule, line)| (rule, line.into())));
        self.changes.append(&mut update.changes);
        self.notices.append(&mut update.notices);
    }

    /// Saves what was done. Returns whether somebody else wrote the state meanwhile, and may have judged without this.
    async fn save_state(
        &mut self,
        unsaved: Option<GroupState>,
        deferred: &Deferred,
        seen_to: &SeenTo,
    ) -> bool {
        let has_facts = unsaved.is_some();
        let restored = seen_to.restored.iter().map(|(rule, _)| rule);
        let missing_since = deferred.still_missing(&seen_to.actual, restored);
        let waits_changed = missing_since
            .as_ref()
            .is_some_and(|missing| *missing != self.snapshot.state.missing_since);
        let is_news = has_facts
            || waits_changed
            || !seen_to.restored.is_empty()
            || !deferred.contests.is_empty();
        if !self.world.settings.writes || !is_news {
            return false;
        }
        let now = (self.world.now)();
        let restored = seen_to.restored.iter().map(|(rule, at)| {
            let ago = at.map_or(Duration::ZERO, |at| at.elapsed());
            (rule.clone(), now - ago)
        });
        let restores = Restores {
            rules: &restored.collect::<Vec<_>>(),
            dropped_by: &self.dropped_by,
        };
        let saved = save_state(
            &self.world,
            &mut self.snapshot,
            unsaved,
            restores,
            &deferred.contests,
            missing_since.as_ref(),
            &seen_to.actual,
        );
        match saved.await {
            Ok(saved) => {
                self.notices.extend(saved.notices);
                saved.overtaken && self.snapshot.principals().any_meant()
            }
            Err(error) => {
                self.retryable |= has_facts && error.is_retryable();
                self.warnings
                    .push(format!("what was done could not be saved: {error}"));
                false
            }
        }
    }

    async fn look_again(&mut self) -> Result<(), WorkError> {
        self.snapshot.reload(self.world.table).await?;
        self.live = LiveRead::of(&self.world, &self.snapshot.group).await?;
        Ok(())
    }

    pub(super) fn report(mut self, started: &Started) -> GroupResult {
        self.note_what_did_not_enter();
        let mut lines = self.lines;
        let in_order = self.snapshot.record.rules_in_order().into_iter();
        let in_record = in_order.filter_map(|rule| lines.remove(&rule.key));
        let mut results: Vec<RuleResult> = in_record.collect();
        // The rest is about rules that the record no longer holds.
        results.extend(lines.into_values());
        let is_retryable =
            |rule: &&RuleResult| rule.outcome == RuleOutcome::Failed && rule.retryable;
        let retryable = results.iter().filter(is_retryable);
        let retryable_rules: Vec<RuleKey> = retryable.map(|rule| rule.rule.clone()).collect();
        let rules: Vec<RuleReport> = results.into_iter().map(|rule| rule.report).collect();
        let group = self.snapshot.group;
        let (outcome, reason) = outcome(&rules, self.hold.as_ref(), self.group_gone, &group.id);
        let mut report = started.report(group, outcome, &reason);
        report.generation = Some(self.snapshot.record.generation);
        report.retryable = self.retryable || !retryable_rules.is_empty();
        report.retryable_rules = retryable_rules;
        report.wake_at = self.wake_at;
        report.rules = rules;
        report.unexpected = self.plan.map(|plan| plan.unexpected).unwrap_or_default();
        report.warnings = self.snapshot.warnings;
        report.warnings.extend(self.warnings);
        report.changes = self.changes;
        report.notices = self.notices;
        report.timing.restored_ms = self.last_restored.map(|at| millis(at - started.instant));
        report
    }

    /// Notes rules that were authorized and gone before this look: nothing else reports them.
    fn note_what_did_not_enter(&mut self) {
        let by = self.lookup.trigger.principal.as_deref().unwrap_or_default();
        if self.snapshot.principals().policy(by) != Policy::Follow {
            return;
        }
        let authorized = self.lookup.evidence.authorized.keys();
        let absent = authorized.filter(|rule| {
            let is_told_of = self.snapshot.record.rules.contains_key(*rule)
                || self.snapshot.state.removed.contains_key(*rule);
            !is_told_of && !self.live.actual.contains(rule)
        });
        self.notices.extend(absent.map(|rule| {
            format!(
                "{rule}, which {by} authorized, was not live any more when it was looked at, so it has not entered the record"
            )
        }));
    }
}

fn outcome(
    rules: &[RuleReport],
    hold: Option<&Hold>,
    group_gone: bool,
    group: &GroupId,
) -> (GroupOutcome, String) {
    let held = rules
        .iter()
        .filter(|rule| rule.outcome == RuleOutcome::Held)
        .count();
    match hold {
        _ if group_gone => (
            GroupOutcome::Orphaned,
            format!("the security group {group} does not exist"),
        ),
        Some(hold @ Hold::Paused { .. }) => (GroupOutcome::Held, hold.reason()),
        Some(Hold::Observe | Hold::DryRun) if held > 0 => (
            GroupOutcome::Observed,
            format!("{held} missing, left missing in observe mode"),
        ),
        _ => conclude(rules),
    }
}
