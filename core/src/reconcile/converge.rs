//! Bringing a group to what its record says: plan, authorize, verify, look again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::snapshot::LiveRead;
use super::{Forbidden, RuleResult, World};
use crate::decide::plan::{Hold, Plan, plan};
use crate::decide::staleness::{Staleness, staleness};
use crate::desired::DesiredRecord;
use crate::event::Evidence;
use crate::model::{GroupAddress, RuleId, RuleKey};
use crate::ports::{Budget, SecurityGroups};
use crate::reconcile::execute::{Context, Execution, authorize, failure};
use crate::report::{RuleOutcome, RuleReport};

/// The waits before a read that the event proves stale is repeated. After the last, the rule is authorized, and EC2's
/// answer decides: about a second in all. How far EC2's reads lag is not documented
/// (EC2 Developer Guide, "Eventual consistency").
pub(super) const LOOK_AGAIN_AFTER: [Duration; 3] = [
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_millis(600),
];

/// The wait before the one further read when the event gives no rule ids and its rules still show.
const LOOK_ONCE_MORE_AFTER: Duration = Duration::from_millis(500);

/// The waits between reads that should show what we authorized. Authorize's own answer is proof enough; reading is
/// for noticing what else happened meanwhile.
pub(super) const VERIFY_AFTER: [Duration; 3] = [
    Duration::ZERO,
    Duration::from_millis(200),
    Duration::from_millis(500),
];

/// The most rounds for rules that go missing meanwhile. After them their own events have to bring them back.
const ROUNDS_MAX: usize = 4;

/// The error code of a rule that a guardrail forbids.
const GUARDRAIL: &str = "Guardrail";

/// The work on the rules of one group.
pub(super) struct Convergence<'a, E, T> {
    pub(super) world: World<'a, E, T>,
    pub(super) group: &'a GroupAddress,
    pub(super) record: &'a DesiredRecord,
    pub(super) evidence: &'a Evidence,
    pub(super) hold: Option<&'a Hold>,
    /// Lines of missing rules that are not authorized now.
    pub(super) deferred: &'a BTreeMap<RuleKey, RuleReport>,
    /// Whether rules wait for their cause: one that goes missing while we work then waits for its own event.
    pub(super) awaits_causes: bool,
    /// Rules that were missing at the first look, or that the event names.
    pub(super) looked_for: BTreeSet<RuleKey>,
    pub(super) budget: Budget,
    pub(super) live: LiveRead,
    pub(super) presumed_absent: BTreeSet<RuleKey>,
    pub(super) lines: BTreeMap<RuleKey, RuleResult>,
    /// Rules that are known not to be able to come back. They are tried after the others.
    pub(super) foreseen: BTreeSet<RuleKey>,
    /// What guardrails forbid of this record, once something is missing.
    pub(super) forbidden: Option<Forbidden>,
    pub(super) group_gone: bool,
    pub(super) last_restored: Option<Instant>,
}

impl<E: SecurityGroups, T> Convergence<'_, E, T> {
    /// Plans and acts until a look at the group shows nothing more to do. Returns the last plan.
    pub(super) async fn run(&mut self) -> Plan {
        let mut looks = 0;
        for round in 1.. {
            let plan = plan(self.record, &self.live.actual, &self.presumed_absent);
            let missing = plan.missing.iter();
            let nothing_to_do = self.hold.is_some()
                || missing
                    .map(|rule| &rule.key)
                    .all(|rule| self.deferred.contains_key(rule));
            if nothing_to_do && round == 1 && self.is_bare() {
                self.group_gone = self.is_gone().await;
            }
            if round == 1 {
                let missing = plan.missing.iter().map(|rule| rule.key.clone());
                self.looked_for.extend(missing);
            }
            let restored = self.act(&plan).await;
            if self.group_gone || round > ROUNDS_MAX + LOOK_AGAIN_AFTER.len() {
                return plan;
            }
            let look_again = if restored {
                self.verify().await
            } else {
                self.look_again(&plan, &mut looks).await
            };
            if !look_again {
                return plan;
            }
        }
        unreachable!("the loop ends by returning")
    }

    /// Notes what the plan leaves out and authorizes the rest, each rule once. Returns whether a rule was restored.
    async fn act(&mut self, plan: &Plan) -> bool {
        self.forget_what_changed(plan);
        for superseded in &plan.superseded {
            self.lines
                .entry(superseded.rule.clone())
                .or_insert_with(|| superseded.report().into());
        }
        if plan.missing.is_empty() {
            return false;
        }
        self.hold_guardrails_against_the_record().await;
        let forbidden = |rule: &RuleKey| self.forbidden.as_ref()?.rules.get(rule);
        if let Some(hold) = self.hold {
            for rule in &plan.missing {
                let reason = match forbidden(&rule.key) {
                    Some(forbidden) => format!("it would fail, because {forbidden}"),
                    None => hold.reason(),
                };
                let line = RuleReport::new(rule.key.clone(), RuleOutcome::Held).because(reason);
                self.lines.insert(rule.key.clone(), line.into());
            }
            return false;
        }
        let mut rules = plan.missing.clone();
        for rule in &rules {
            if let Some(line) = self.deferred.get(&rule.key) {
                self.lines.insert(rule.key.clone(), line.clone().into());
            }
        }
        if self.awaits_causes {
            let is_looked_for = |rule: &RuleKey| {
                self.looked_for.contains(rule) || self.presumed_absent.contains(rule)
            };
            for rule in rules.iter().filter(|rule| !is_looked_for(&rule.key)) {
                let line = RuleReport::new(rule.key.clone(), RuleOutcome::Held)
                    .because("it went missing a moment ago, and waits for its own event");
                self.lines.entry(rule.key.clone()).or_insert(line.into());
            }
        }
        for rule in &rules {
            if let Some(reason) = forbidden(&rule.key) {
                let line = failure(&rule.key, GUARDRAIL, reason, false);
                self.lines.entry(rule.key.clone()).or_insert(line);
            }
        }
        rules.retain(|rule| !self.lines.contains_key(&rule.key));
        if rules.is_empty() {
            return false;
        }
        let context = Context {
            group: self.group,
            record: self.record,
            presumed_absent: &self.presumed_absent,
            revoked_ids: &self.evidence.revoked_ids,
            actual: &self.live.actual,
            quota: self.world.settings.rules_per_group,
            missing: self.world.missing,
            foreseen: &self.foreseen,
            budget: self.budget,
        };
        let Execution {
            reports,
            group_gone,
            last_restored,
        } = authorize(self.world.ec2, context, &rules).await;
        self.lines.extend(reports);
        self.group_gone = group_gone;
        self.last_restored = last_restored.or(self.last_restored);
        last_restored.is_some()
    }

    async fn hold_guardrails_against_the_record(&mut self) {
        let never = self.world.never;
        if never.is_empty() || self.forbidden.is_some() {
            return;
        }
        let rules = self.record.rules.keys();
        let time = self.budget.bookkeeping_max;
        self.forbidden = Some(Forbidden::of(self.world.ec2, never, rules, time).await);
    }

    /// Drops lines that the fresh plan no longer supports: somebody else may have restored a failed rule, and each plan
    /// says anew what is superseded or held.
    fn forget_what_changed(&mut self, plan: &Plan) {
        let missing: BTreeSet<&RuleKey> = plan.missing.iter().map(|rule| &rule.key).collect();
        let actual = &self.live.actual;
        self.lines.retain(|key, line| match line.outcome {
            RuleOutcome::Superseded | RuleOutcome::Held | RuleOutcome::Contested => false,
            RuleOutcome::Failed => missing.contains(key) || actual.contains(key),
            _ => true,
        });
        for line in self.lines.values_mut() {
            if line.outcome == RuleOutcome::Failed && !missing.contains(&line.rule) {
                let id = actual.get(&line.rule).and_then(|live| live.id.clone());
                *line = RuleReport::new(line.rule.clone(), RuleOutcome::RestoredElsewhere)
                    .with_id(id)
                    .into();
            }
        }
    }

    /// Whether the read shows no rule although rules are recorded: the group may be gone.
    fn is_bare(&self) -> bool {
        self.live.actual.iter().next().is_none() && !self.record.rules.is_empty()
    }

    /// Whether the group does not exist. A read of a deleted group looks like one of an empty group.
    async fn is_gone(&self) -> bool {
        let id = &self.group.id;
        let existing = self
            .world
            .ec2
            .existing_groups(&BTreeSet::from([id.clone()]))
            .await;
        existing.is_ok_and(|existing| !existing.contains_key(id))
    }

    /// Reads until what was restored shows, fills in ids, and says whether a fresh read is there to plan with.
    async fn verify(&mut self) -> bool {
        for wait in VERIFY_AFTER {
            if !self.read_after(wait).await {
                return false;
            }
            let shows = |line: &&mut RuleResult| self.live.actual.contains(&line.rule);
            let restored = self
                .lines
                .values_mut()
                .filter(|line| line.outcome == RuleOutcome::Restored);
            let (shown, hidden): (Vec<_>, Vec<_>) = restored.partition(shows);
            for line in shown {
                let id = self
                    .live
                    .actual
                    .get(&line.rule)
                    .and_then(|live| live.id.clone());
                line.rule_id = id.or(line.rule_id.take());
            }
            if hidden.is_empty() {
                return true;
            }
        }
        true
    }

    /// Waits and reads again if the event says that the read is stale. After enough looks, what is certainly gone is
    /// presumed absent, and authorizing it settles the question: EC2 answers `InvalidPermission.Duplicate` if the rule
    /// is there after all.
    async fn look_again(&mut self, plan: &Plan, looks: &mut usize) -> bool {
        let standing_in: BTreeSet<&RuleKey> = plan
            .superseded
            .iter()
            .flat_map(|superseded| &superseded.by)
            .collect();
        // What matters are recorded rules without a line yet, and live rules that supersede others.
        let open = self.record.rules.keys().chain(standing_in.iter().copied());
        let open = open.filter(|key| !self.lines.contains_key(*key) || standing_in.contains(*key));
        let wait = match staleness(self.evidence, &self.live.actual, open) {
            Staleness::Fresh => return false,
            Staleness::Unproven if *looks == 0 => LOOK_ONCE_MORE_AFTER,
            Staleness::Unproven => return false,
            Staleness::Stale(gone) => match LOOK_AGAIN_AFTER.get(*looks) {
                Some(wait) => *wait,
                None => {
                    let known = !self.presumed_absent.is_empty();
                    self.presumed_absent = gone;
                    return !known;
                }
            },
        };
        *looks += 1;
        self.read_after(wait).await
    }

    async fn read_after(&mut self, wait: Duration) -> bool {
        match LiveRead::after(wait, &self.world, self.group, self.budget).await {
            Some(live) => {
                self.live = live;
                true
            }
            None => false,
        }
    }

    /// Lists the recorded rules that the event names and that are there: somebody put them back before we looked, unless
    /// the read is stale.
    pub(super) fn note_present(&mut self) {
        for key in self
            .evidence
            .revoked
            .keys()
            .filter(|key| self.record.rules.contains_key(*key))
        {
            let Some(live) = self.live.actual.get(key) else {
                continue;
            };
            let revoked = |id: &RuleId| self.evidence.revoked_ids.contains(id);
            let line = if live.id.as_ref().is_some_and(revoked) {
                // The read is stale, and there is no time for another.
                let line = RuleReport::new(key.clone(), RuleOutcome::Failed)
                    .because("EC2 still shows the rule under the id that was revoked");
                let mut line = RuleResult::from(line);
                line.retryable = true;
                line
            } else {
                RuleReport::new(key.clone(), RuleOutcome::AlreadyPresent)
                    .with_id(live.id.clone())
                    .because("the rule was there when we looked")
                    .into()
            };
            self.lines.entry(key.clone()).or_insert(line);
        }
    }
}
