//! Passes over one group: update its record, restore its rules, save the state; look again while a change settles.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::converge::{Convergence, VERIFY_AFTER};
use super::deferred::Deferred;
use super::deletion::{deletions, existing_references};
use super::error::WorkError;
use super::planned::{Found, planned};
use super::record_update::{
    RecordUpdate, decided_by_restore, judge_now, read_until_fresh, update_record,
};
use super::save_state::{Unsaved, save_state};
use super::snapshot::{LiveRead, Snapshot};
use super::started::{Started, millis};
use super::{Forbidden, GroupResult, RuleResult, World};
use crate::decide::changes::{GroupState, KnownCall, Taker, Verdict};
use crate::decide::plan::{Hold, Plan};
use crate::decide::quota::prefix_lists;
use crate::decide::restorable::Unrestorable;
use crate::event::{Call, Lookup, TriggerKind};
use crate::model::{ActualRule, GroupId, PrefixListId, RuleId, RuleKey};
use crate::ports::{Budget, SecurityGroups, Table};
use crate::report::plan::GroupPlan;
use crate::report::{DroppedBy, GroupOutcome, RecordChange, RuleOutcome, RuleReport, conclude};

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
    /// The call of the event at hand, and deletions of groups to which missing rules refer.
    calls: Vec<KnownCall>,
    /// What became of each rule of the record at the last pass.
    verdicts: BTreeMap<RuleKey, Verdict>,
    /// Rules that were thought not to be able to come back, and that may, once that was looked up.
    restorable: Option<BTreeSet<RuleKey>>,
    /// Rules of the record that could not come back, where that was looked up.
    outlook: Option<BTreeMap<RuleKey, Unrestorable>>,
    hold: Option<Hold>,
    lines: BTreeMap<RuleKey, RuleResult>,
    /// The last known call that took each rule away which was missing at a pass.
    taken_by: BTreeMap<RuleKey, Taker>,
    /// Rules that the first read showed under ids which the event's call revoked.
    revoked: BTreeSet<RuleKey>,
    changes: Vec<RecordChange>,
    notices: Vec<String>,
    warnings: Vec<String>,
    /// Whether another delivery could help, even if no rule failed.
    retryable: bool,
    /// Whether something that has to be remembered could not be written.
    unsaved: bool,
    plan: Option<Plan>,
    /// What guardrails forbid of the record as the last restore saw it, if something was missing.
    forbidden: Option<Forbidden>,
    /// The weights of prefix lists, where this run only plans.
    weights: BTreeMap<PrefixListId, u32>,
    group_gone: bool,
    last_restored: Option<Instant>,
    /// When the group is to be looked at again, because a rule waits for its cause.
    wake_at: Option<Timestamp>,
    /// What the last pass leaves to save beside the incident.
    last: Option<Unsaved>,
    /// How often somebody else wrote the state while that was saved.
    overtaken: usize,
    /// How many notices and warnings the report has.
    said: (usize, usize),
}

/// What restoring came to.
#[derive(Default)]
struct SeenTo {
    /// The lines of this pass: each rule is tried once in it.
    lines: BTreeMap<RuleKey, RuleResult>,
    /// Each with the time at which EC2 confirmed it, and its new id.
    restored: BTreeMap<RuleKey, (Timestamp, Option<RuleId>)>,
}

impl<'a, E: SecurityGroups, T: Table> Passes<'a, E, T> {
    pub(super) fn new(
        world: World<'a, E, T>,
        snapshot: Snapshot,
        live: LiveRead,
        lookup: &'a Lookup,
        outlook: Option<BTreeMap<RuleKey, Unrestorable>>,
        budget: Budget,
    ) -> Self {
        let revoked_ids = &lookup.evidence.revoked_ids;
        let is_revoked =
            |live: &&ActualRule| live.id.as_ref().is_some_and(|id| revoked_ids.contains(id));
        let revoked = live.actual.iter().filter(is_revoked);
        Self {
            world,
            lookup,
            budget,
            taken_by: BTreeMap::new(),
            revoked: revoked.map(|live| live.key.clone()).collect(),
            calls: KnownCall::of(lookup).into_iter().collect(),
            verdicts: BTreeMap::new(),
            restorable: None,
            outlook,
            snapshot,
            live,
            hold: None,
            lines: BTreeMap::new(),
            changes: Vec::new(),
            notices: Vec::new(),
            warnings: Vec::new(),
            retryable: false,
            unsaved: false,
            plan: None,
            forbidden: None,
            weights: BTreeMap::new(),
            group_gone: false,
            last_restored: None,
            wake_at: None,
            last: None,
            overtaken: 0,
            said: (0, 0),
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
            if !self.look_again().await {
                return;
            }
        }
    }

    /// The same again, because somebody else wrote the state. Returns whether there was time for it.
    pub(super) async fn run_again(&mut self) -> bool {
        self.overtaken += 1;
        if self.overtaken == PASSES_MAX || !self.budget.allows(Duration::ZERO) {
            self.retryable |= self.lookup.call.is_some();
            return false;
        }
        if !self.look_again().await {
            return false;
        }
        self.run().await;
        true
    }

    /// Reads the weights of prefix lists for a plan. A restore counts room only after EC2 refused it.
    pub(super) async fn weigh(&mut self) {
        if self.world.settings.writes {
            return;
        }
        let live = self.live.actual.iter().map(|live| &live.key);
        let lists = prefix_lists(live.chain(self.snapshot.record.rules.keys()));
        if !lists.is_empty() {
            let read = self.world.ec2.prefix_lists(&lists).await;
            self.weights = read.unwrap_or_default();
        }
    }

    /// One pass. Returns after how long the next one is due.
    async fn pass(&mut self) -> Option<Duration> {
        let (world, now) = (self.world, self.world.now);
        self.hold = self.snapshot.hold(world.settings.mode, now());
        // A pause holds rules back; the record is still updated. Observe mode changes nothing.
        let paused = matches!(self.hold, Some(Hold::Paused { .. }));
        let updates = world.settings.writes && (paused || self.hold.is_none());
        self.learn(updates).await;
        let writes = updates && !self.snapshot.trust_is_unknown;
        let first = match writes && self.hold.is_none() {
            true => self.restore_first().await,
            false => SeenTo::default(),
        };
        let mut update = self.update_record(writes).await;
        let begins = updates && self.hold.is_none();
        let deferred = self.deferred(&update, begins);
        let seen_to = self.see_to_rules(&deferred, &update, first).await;
        self.verdicts = std::mem::take(&mut update.verdicts);
        self.taken_by.append(&mut update.taken_by);
        self.note(&mut update);
        self.note_restored(&deferred);
        if self.lookup.call.is_some() || update.unsaved.is_some() {
            self.wake_at = deferred.wake_at.into_iter().chain(self.wake_at).min();
        }
        if updates && let Some(unsaved) = self.unsaved(update.unsaved, &deferred, seen_to) {
            if self.may_wait(&unsaved, &deferred) {
                self.last = Some(unsaved);
            } else if self.save(unsaved).await {
                return Some(Duration::ZERO);
            }
        }
        let until = deferred.settles_at?;
        let left = Duration::try_from(until.duration_since(now()));
        Some(left.unwrap_or_default() + SETTLED_AFTER)
    }

    fn deferred(&self, update: &RecordUpdate, begins: bool) -> Deferred {
        let now = (self.world.now)();
        Deferred::of(&self.snapshot, update, &self.live.actual, now, begins)
    }

    /// Reads what the judgement needs besides the record and the live rules.
    async fn learn(&mut self, updates: bool) {
        if updates && self.lookup.trigger.kind == TriggerKind::Operator {
            let now = (self.world.now)();
            let at_once = self.lookup.trigger.now;
            let decided = decided_by_restore(&self.snapshot, &self.live, at_once, now);
            self.snapshot.state.note_decided(&decided, now);
        }
        let (world, evidence) = (self.world, &self.lookup.evidence);
        let group = &self.snapshot.group;
        let listed = self.snapshot.principals().any_meant();
        if listed && self.plan.is_none() {
            // Wait once for a read that fits the event. If none comes, the event is out of date.
            self.live =
                read_until_fresh(&world, group, evidence, self.live.clone(), self.budget).await;
        }
        if listed {
            let deletions = deletions(&world, &self.snapshot, &self.live.actual).await;
            self.calls.retain(|call| call.reference.is_none());
            self.calls.extend(deletions);
        }
        self.restorable_again().await;
    }

    /// If the record has to be written, restores before that what stays in it: a write may take long, or fail.
    async fn restore_first(&mut self) -> SeenTo {
        if !self.snapshot.principals().any_meant() {
            return SeenTo::default();
        }
        let (now, mut judged) = ((self.world.now)(), RecordUpdate::default());
        let judgement = judge_now(
            &self.snapshot,
            &mut self.live,
            &self.calls,
            now,
            &mut judged,
        );
        if judgement.revision.is_none() {
            return SeenTo::default();
        }
        judged.unsaved = Some(judgement.state);
        let deferred = self.deferred(&judged, true);
        let is_left =
            |rule: &RuleKey| self.live.actual.contains(rule) || deferred.lines.contains_key(rule);
        if self.snapshot.record.rules.keys().all(is_left) {
            return SeenTo::default();
        }
        let seen_to = self
            .see_to_rules(&deferred, &judged, SeenTo::default())
            .await;
        // The next judgement sees them live.
        self.taken_by.append(&mut judged.taken_by);
        self.note_restored(&deferred);
        for (rule, (at, id)) in &seen_to.restored {
            self.snapshot.state.note_restored(rule, *at, id.clone());
        }
        seen_to
    }

    async fn update_record(&mut self, writes: bool) -> RecordUpdate {
        let listed = self.snapshot.principals().any_meant();
        let (world, snapshot, live) = (self.world, &mut self.snapshot, &mut self.live);
        let update = update_record(&world, snapshot, live, &self.calls, writes && listed).await;
        if let Some(error) = &update.error {
            // A fact that is not written down is lost, unless the event is delivered again.
            let fails = error.is_retryable() || self.lookup.call.is_some();
            self.retryable |= fails && !fault!(LosesFactsQuietly);
            self.unsaved |= error.leaves_unsaved();
            let text = format!("the record could not be kept up to date: {error}");
            self.notices.push(text.clone());
            self.warnings.push(text);
        }
        update
    }

    /// Forgets that rules cannot come back if what they refer to exists after all.
    async fn restorable_again(&mut self) {
        let actual = &self.live.actual;
        let unrestorable = self.snapshot.state.unrestorable.keys();
        let waiting: Vec<&RuleKey> = unrestorable.filter(|rule| !actual.contains(rule)).collect();
        if waiting.is_empty() {
            return;
        }
        let mut recorded = self.snapshot.record.rules.keys();
        // Rules that may come back do not wait for a look at those that may not.
        let others_wait = recorded.any(|rule| {
            !actual.contains(rule) && !self.snapshot.state.unrestorable.contains_key(rule)
        });
        if others_wait && self.restorable.is_none() {
            return;
        }
        let restorable = match &self.restorable {
            Some(restorable) => restorable,
            None => {
                let back = existing_references(self.world.ec2, &waiting).await;
                let scope = &self.snapshot.group.scope;
                for rule in &back {
                    self.world.missing.forget(scope, &rule.source);
                }
                self.restorable.insert(back.into_iter().cloned().collect())
            }
        };
        let unrestorable = &mut self.snapshot.state.unrestorable;
        unrestorable.retain(|rule, _| !restorable.contains(rule));
    }

    /// Restores what does not wait. `first` is what was seen to in this pass before.
    async fn see_to_rules(
        &mut self,
        deferred: &Deferred,
        update: &RecordUpdate,
        first: SeenTo,
    ) -> SeenTo {
        let named = self.lookup.evidence.revoked.keys();
        let named = named.chain(update.taken_by.keys()).cloned().collect();
        let mut convergence = Convergence {
            world: self.world,
            group: &self.snapshot.group,
            record: &self.snapshot.record,
            evidence: &self.lookup.evidence,
            hold: self.hold.as_ref(),
            deferred: &deferred.lines,
            awaits_causes: deferred.awaits_causes,
            looked_for: named,
            budget: self.budget,
            live: self.live.clone(),
            presumed_absent: BTreeSet::new(),
            foreseen: self.snapshot.state.foreseen.keys().cloned().collect(),
            lines: first.lines,
            forbidden: None,
            group_gone: false,
            last_restored: None,
        };
        self.plan = Some(convergence.run().await);
        convergence.note_present();
        let Convergence {
            live,
            lines,
            forbidden,
            group_gone,
            last_restored,
            ..
        } = convergence;
        self.forbidden = forbidden.or(self.forbidden.take());
        self.group_gone = group_gone;
        self.last_restored = last_restored.or(self.last_restored);
        let now = (self.world.now)();
        let restored = lines
            .values()
            .filter(|line| line.outcome == RuleOutcome::Restored);
        let restored = restored.map(|line| {
            let at = line.authorized_at.or(last_restored);
            let ago = at.map_or(Duration::ZERO, |at| at.elapsed());
            (line.rule.clone(), (now - ago, line.rule_id.clone()))
        });
        let mut restored: BTreeMap<_, _> = restored.collect();
        restored.extend(first.restored);
        let seen_to = SeenTo {
            lines: lines.clone(),
            restored,
        };
        self.live = live;
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

    /// Tells of rules that were restored for a reason which a person should know.
    fn note_restored(&mut self, deferred: &Deferred) {
        let restored = deferred.notices.iter().filter(|(rule, _)| {
            let line = self.lines.get(*rule);
            line.is_some_and(|line| line.outcome == RuleOutcome::Restored)
        });
        // What an event led to is told once, by its own look.
        let named = &self.lookup.evidence.revoked;
        let insisted = deferred.insisted.iter();
        let insisted = insisted.filter(|(rule, _)| named.contains_key(*rule));
        let notices = restored.chain(insisted).map(|(_, notice)| notice.clone());
        self.notice_once(notices.collect());
    }

    /// Takes over notices that have not been said: another pass may say them again.
    fn notice_once(&mut self, mut notices: Vec<String>) {
        notices.retain(|notice| !self.notices.contains(notice));
        self.notices.append(&mut notices);
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
        self.warnings.append(&mut update.warnings);
    }

    /// What was done and is worth a write.
    fn unsaved(
        &mut self,
        judged: Option<GroupState>,
        deferred: &Deferred,
        seen_to: SeenTo,
    ) -> Option<Unsaved> {
        let listed = self.snapshot.principals().any_meant();
        let has_facts = listed && judged.is_some();
        let told = self.tell_of_strangers();
        let lines = &seen_to.lines;
        let unrestorable = lines.values().filter(|line| line.reference_gone);
        let contests = deferred.contests.iter();
        let is_contested = |line: &RuleResult| line.outcome == RuleOutcome::Contested;
        let contests = contests.filter(|(rule, _)| lines.get(*rule).is_some_and(is_contested));
        let exists = !seen_to.restored.is_empty()
            || !self.group_gone && self.live.actual.iter().next().is_some();
        let unsaved = Unsaved {
            judged: judged.filter(|_| listed),
            calls: self.calls.clone(),
            restored: seen_to.restored,
            contests: contests
                .map(|(rule, it)| (rule.clone(), it.clone()))
                .collect(),
            unrestorable: unrestorable.map(|line| line.rule.clone()).collect(),
            foreseen: self.foreseen_anew(),
            told,
            exists,
        };
        let waits = deferred.lines.keys().any(|rule| lines.contains_key(rule));
        let is_worth_it = has_facts
            || unsaved.is_news(&self.snapshot.state)
            || waits && self.lookup.call.is_some();
        is_worth_it.then_some(unsaved)
    }

    /// What was looked up of rules that could not come back, if the state does not hold the same of the live ones.
    fn foreseen_anew(&self) -> Option<BTreeMap<RuleKey, Unrestorable>> {
        let outlook = self.outlook.as_ref()?;
        let known = &self.snapshot.state.foreseen;
        let is_live = |rule: &RuleKey| self.live.actual.contains(rule);
        let mut found = outlook.iter().filter(|(rule, _)| is_live(rule));
        let is_known = |(rule, found): (&RuleKey, &Unrestorable)| {
            known.get(rule).is_some_and(|known| known.why == found.why)
        };
        let is_same = found.all(is_known) && known.keys().all(|rule| outlook.contains_key(rule));
        (!is_same).then(|| outlook.clone())
    }

    /// Whether no word of the incident depends on what becomes of a write.
    fn may_wait(&self, unsaved: &Unsaved, deferred: &Deferred) -> bool {
        let is_deletion = self.lookup.call.is_some_and(Call::is_deletion);
        let ends = deferred.settles_at.is_none() && !self.group_gone && !is_deletion;
        ends && unsaved.tells_nothing()
    }

    /// The state, with what is left to save.
    fn state(&self) -> &GroupState {
        let judged = self.last.as_ref().and_then(|last| last.judged.as_ref());
        judged.unwrap_or(&self.snapshot.state)
    }

    /// Saves what was done. Returns whether somebody else wrote the state meanwhile, and may have judged without this.
    async fn save(&mut self, unsaved: Unsaved) -> bool {
        let listed = self.snapshot.principals().any_meant();
        let has_facts = unsaved.judged.is_some();
        let actual = &self.live.actual;
        match save_state(&self.world, &mut self.snapshot, unsaved, actual).await {
            Ok(saved) => {
                self.notices.extend(saved.notices);
                self.warnings.extend(saved.warnings);
                saved.overtaken && listed
            }
            Err(error) => {
                let fails = error.is_retryable() || self.lookup.call.is_some();
                self.retryable |= has_facts && fails && !fault!(LosesFactsQuietly);
                self.unsaved |= error.leaves_unsaved();
                self.warnings.push(format!(
                    "what was done could not be saved, so it does not count if these rules are dropped again: {error}"
                ));
                false
            }
        }
    }

    /// Saves what the last pass left. Returns what [`Passes::save`] does.
    pub(super) async fn save_last(&mut self) -> bool {
        match self.last.take() {
            Some(unsaved) => self.save(unsaved).await,
            None => false,
        }
    }

    /// Hands over what has been said since the report was made.
    pub(super) fn tell(&mut self, report: &mut GroupResult) {
        let (notices, warnings) = self.said;
        report.notices.extend_from_slice(&self.notices[notices..]);
        report
            .warnings
            .extend_from_slice(&self.warnings[warnings..]);
        self.said = (self.notices.len(), self.warnings.len());
        report.unsaved |= self.unsaved;
        report.retryable |= self.retryable;
    }

    /// Live rules outside the record, of which a sweep has not told before. Somebody is followed or accepted, so the event
    /// that would have entered them may be lost.
    fn tell_of_strangers(&mut self) -> BTreeSet<RuleKey> {
        let enters = self.snapshot.principals().any_enters();
        if !enters || self.lookup.call.is_some() {
            return BTreeSet::new();
        }
        let (record, state) = (&self.snapshot.record, &self.snapshot.state);
        let live = self.live.actual.iter().map(|live| &live.key);
        let told = live.filter(|rule| {
            let is_known = state.told.contains(*rule)
                || state.reopened.contains_key(*rule)
                || state.knows_who_gave(rule);
            !record.rules.contains_key(*rule) && !is_known
        });
        let told: BTreeSet<RuleKey> = told.cloned().collect();
        for rule in &told {
            self.notices.push(format!(
                "{rule} is live and not recorded, and no event has told who authorized it: `rulekeeper pin` records it"
            ));
        }
        told
    }

    /// Reads everything anew. Returns whether that worked.
    async fn look_again(&mut self) -> bool {
        let Err(error) = self.read_again().await else {
            return true;
        };
        self.retryable |= error.is_retryable();
        let warning = format!("the group could not be looked at again: {error}");
        self.warnings.push(warning);
        false
    }

    async fn read_again(&mut self) -> Result<(), WorkError> {
        self.snapshot.reload(self.world.table).await?;
        let (world, group) = (&self.world, &self.snapshot.group);
        self.live = LiveRead::of(world, group).await?;
        // A read that does not show what we put back may be stale, and a rule that leaves now would not be told as live.
        for wait in VERIFY_AFTER {
            let mut lines = self.lines.values();
            let is_hidden = |line: &RuleResult| {
                line.outcome == RuleOutcome::Restored && !self.live.actual.contains(&line.rule)
            };
            if !lines.any(is_hidden) {
                break;
            }
            let Some(live) = LiveRead::after(wait, world, group, self.budget).await else {
                break;
            };
            self.live = live;
        }
        Ok(())
    }

    /// The report. What [`Passes::save_last`] says comes later.
    pub(super) fn report(&mut self, started: &Started) -> GroupResult {
        self.note_what_did_not_enter();
        let planned = self.planned();
        let mut lines = self.lines.clone();
        let in_order = self.snapshot.record.rules_in_order().into_iter();
        let in_record = in_order.filter_map(|rule| lines.remove(&rule.key));
        let mut results: Vec<RuleResult> = in_record.collect();
        // The rest is about rules that the record no longer holds.
        results.extend(lines.into_values());
        let is_retryable =
            |rule: &&RuleResult| rule.outcome == RuleOutcome::Failed && rule.retryable;
        let retryable = results.iter().filter(is_retryable);
        let retryable_rules: Vec<RuleKey> = retryable.map(|rule| rule.rule.clone()).collect();
        let last_restored = self.last_restored(&results);
        let rules = results.into_iter().map(|rule| RuleReport {
            dropped_by: self.dropped_by(&rule.report.rule),
            ..rule.report
        });
        let rules: Vec<RuleReport> = rules.collect();
        let group = self.snapshot.group.clone();
        let (outcome, reason) = outcome(&rules, self.hold.as_ref(), self.group_gone, &group.id);
        let mut report = started.report(group, outcome, &reason);
        report.of_record(&self.snapshot.record);
        report.retryable = !retryable_rules.is_empty();
        report.retryable_rules = retryable_rules;
        report.wake_at = self.wake_at;
        report.rules = rules;
        let plan = self.plan.take();
        report.unexpected = plan.map(|plan| plan.unexpected).unwrap_or_default();
        report.warnings = self.snapshot.warnings.clone();
        let forbidden = self.forbidden.iter();
        let warnings = forbidden.flat_map(|forbidden| forbidden.warnings.iter().cloned());
        report.warnings.extend(warnings);
        self.said = (0, 0);
        self.tell(&mut report);
        report.unreadable |= self.snapshot.trust_is_unknown;
        report.changes = self.changes.clone();
        let state = self.state();
        report.reopened = state.reopened.keys().cloned().collect();
        report.pending = state.pending.keys().cloned().collect();
        let foreseen = state.foreseen.keys();
        let foreseen = foreseen.filter(|rule| self.snapshot.record.rules.contains_key(*rule));
        let unrestorable: BTreeSet<&RuleKey> = state.unrestorable.keys().chain(foreseen).collect();
        report.unrestorable = unrestorable.into_iter().cloned().collect();
        report.plan = planned.map(|plan| GroupPlan {
            warnings: report.warnings.clone(),
            ..plan
        });
        report.timing.restored_ms = last_restored.map(|at| millis(at - started.instant));
        report
    }

    /// When EC2 confirmed the last rule that the event's call took; if it took none that is back, the last rule of all.
    fn last_restored(&self, results: &[RuleResult]) -> Option<Instant> {
        let is_its = |it: &&RuleResult| {
            it.outcome == RuleOutcome::Restored && self.dropped_by(&it.rule) == DroppedBy::ThisEvent
        };
        let its = results.iter().filter(is_its);
        let its = its.filter_map(|it| it.authorized_at.or(self.last_restored));
        its.max().or(self.last_restored)
    }

    /// Whose call took a rule away, as far as known.
    fn dropped_by(&self, rule: &RuleKey) -> DroppedBy {
        match self.taken_by.get(rule) {
            Some(taker) if taker.at_hand => DroppedBy::ThisEvent,
            Some(taker) => DroppedBy::Call {
                principal: taker.by.clone(),
                session: taker.session.clone(),
                at: taker.at,
            },
            None if self.lookup.evidence.revoked.contains_key(rule)
                || self.revoked.contains(rule) =>
            {
                DroppedBy::ThisEvent
            }
            None => DroppedBy::Unknown,
        }
    }

    /// What a restore would do now, where this run may write nothing.
    fn planned(&self) -> Option<GroupPlan> {
        let plan = self.plan.as_ref()?;
        let is_plan = !self.world.settings.writes && !self.group_gone;
        is_plan.then(|| {
            planned(Found {
                snapshot: &self.snapshot,
                verdicts: &self.verdicts,
                plan,
                forbidden: self.forbidden.as_ref(),
                actual: &self.live.actual,
                weights: &self.weights,
                quota: self.world.settings.rules_per_group,
                now: (self.world.now)(),
            })
        })
    }

    /// Notes rules that were authorized and gone before this look: nothing else reports them.
    fn note_what_did_not_enter(&mut self) {
        let by = self.lookup.trigger.principal.as_deref().unwrap_or_default();
        let policy = self.snapshot.principals().policy(by);
        if !policy.enters() {
            return;
        }
        let authorized = self.lookup.evidence.authorized.keys();
        let absent = authorized.filter(|rule| {
            let is_told_of = self.snapshot.record.rules.contains_key(*rule)
                || self.state().removed.contains_key(*rule);
            !is_told_of && !self.live.actual.contains(rule)
        });
        let notices = absent.map(|rule| {
            format!(
                "{rule}, which {by} authorized, was not live any more when it was looked at, so it has not entered the record"
            )
        });
        self.notice_once(notices.collect());
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
