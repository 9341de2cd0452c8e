//! The conductor: load, plan, authorize, verify, report, in that order.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;

use crate::actual::ActualRules;
use crate::budget::Budget;
use crate::desired::{DesiredRecord, Mode};
use crate::doubt::{Doubt, doubt};
use crate::error::ApiError;
use crate::event::{Evidence, GroupLocator, Lookup, Trigger};
use crate::execute::{Context, Execution, authorize};
use crate::incident::Incident;
use crate::memory::MissingReferences;
use crate::model::{GroupAddress, GroupId, RuleId, RuleKey};
use crate::plan::{Hold, Plan, plan};
use crate::ports::{Calls, SecurityGroups, Table};
use crate::report::{GroupOutcome, Report, RuleOutcome, RuleReport, conclude};

/// The outside world of one account and Region, and what is to be done in it.
#[derive(Debug)]
pub struct World<'a, E, T> {
    /// EC2.
    pub ec2: &'a E,
    /// The table.
    pub table: &'a T,
    /// Counts the calls that the two make.
    pub calls: &'a Calls,
    /// References found missing lately.
    pub missing: &'a MissingReferences,
    /// What the operator chose.
    pub settings: Settings,
    /// The groups belong to an account that is not ours, and we have no role there: what EC2 does not show us may
    /// exist all the same.
    pub blind: bool,
    /// The present time.
    pub now: fn() -> Timestamp,
}

// Derived, these would ask the adapters to be `Copy` too.
impl<E, T> Clone for World<'_, E, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E, T> Copy for World<'_, E, T> {}

/// What the operator chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// `Observe` overrides every record.
    pub mode: Mode,
    /// The account's quota of ingress rules per group.
    pub rules_per_group: u32,
    /// Whether to write anything to the table. A plan writes nothing.
    pub writes: bool,
}

/// How often, and after what waits, a read that the event proves stale is repeated before EC2 itself is asked by
/// authorizing the rule: about a second in all. How far EC2's reads lag is not documented
/// (EC2 Developer Guide, "Eventual consistency").
const LOOK_AGAIN_AFTER: [Duration; 3] = [
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_millis(600),
];

/// How long to wait before the one further look when the event gives no rule ids and its rules still show.
const LOOK_ONCE_MORE_AFTER: Duration = Duration::from_millis(500);

/// The waits between reads that should show what we authorized. Authorize's own answer is proof enough; reading is
/// for noticing what else happened meanwhile.
const VERIFY_AFTER: [Duration; 3] = [
    Duration::ZERO,
    Duration::from_millis(200),
    Duration::from_millis(500),
];

/// How often rules that go missing while we work are authorized before the rest is left to their own events.
const ROUNDS_MAX: usize = 4;

/// Looks at one group and puts back what is missing. Never fails: whatever happens is in the report.
pub async fn reconcile<E: SecurityGroups, T: Table>(
    world: World<'_, E, T>,
    lookup: &Lookup,
    budget: Budget,
) -> Report {
    let started = Started::now(&world, &lookup.trigger);
    let group = match locate(&world, lookup).await {
        Ok(group) => group,
        Err(report) => return started.finish(&world, *report),
    };
    let (desired, live) = tokio::join!(world.table.desired(&group), world.ec2.rules_of(&group.id));
    let item = match desired {
        Ok(Some(item)) => item,
        Ok(None) => {
            let report = started.report(
                group,
                GroupOutcome::Unmanaged,
                "there is no desired-state record",
            );
            return started.finish(&world, report);
        }
        Err(error) => {
            return started.finish(
                &world,
                started.unread(group, &error, "desired-state record"),
            );
        }
    };
    match live {
        Ok(actual) => {
            converge(
                world,
                started,
                group,
                &item,
                actual,
                &lookup.evidence,
                budget,
            )
            .await
        }
        Err(error) => started.finish(&world, started.unread(group, &error, "group's rules")),
    }
}

/// The part of [`reconcile`] after loading: from a record as it stands in the table and a read of the group.
async fn converge<E: SecurityGroups, T: Table>(
    world: World<'_, E, T>,
    started: Started,
    group: GroupAddress,
    item: &Value,
    actual: ActualRules,
    evidence: &Evidence,
    budget: Budget,
) -> Report {
    let reading = match DesiredRecord::from_json(item, &group.scope.account) {
        Ok(reading) => reading,
        Err(unreadable) => {
            let mut report = started.report(group, GroupOutcome::Failed, &unreadable.to_string());
            report.unreadable = true;
            return started.finish(&world, report);
        }
    };
    let hold = Hold::of(&reading.record, world.settings.mode, started.at);
    let mut work = Convergence {
        world,
        group: &group,
        record: &reading.record,
        evidence,
        hold: hold.as_ref(),
        budget,
        actual,
        presumed_absent: BTreeSet::new(),
        lines: BTreeMap::new(),
        group_gone: false,
        last_restored: None,
    };
    let last_plan = work.run().await;
    work.note_present();

    let (lines, group_gone, last_restored) = (work.lines, work.group_gone, work.last_restored);
    let rules: Vec<RuleReport> = reading
        .record
        .rules_in_order()
        .into_iter()
        .filter_map(|rule| lines.get(&rule.key).cloned())
        .collect();
    let (outcome, reason) = match (&hold, group_gone) {
        (_, true) => (
            GroupOutcome::Orphaned,
            format!("the security group {} does not exist", group.id),
        ),
        (Some(hold @ Hold::Paused { .. }), _) => (GroupOutcome::Held, hold.reason()),
        (Some(Hold::Observe | Hold::DryRun), _)
            if rules.iter().any(|rule| rule.outcome == RuleOutcome::Held) =>
        {
            let missing = rules
                .iter()
                .filter(|rule| rule.outcome == RuleOutcome::Held)
                .count();
            (
                GroupOutcome::Observed,
                format!("{missing} missing, left missing in observe mode"),
            )
        }
        _ => conclude(&rules),
    };
    let mut report = started.report(group, outcome, &reason);
    report.generation = Some(reading.record.generation);
    report.passing = rules
        .iter()
        .any(|rule| rule.outcome == RuleOutcome::Failed && rule.passing);
    report.rules = rules;
    report.unexpected = last_plan.unexpected;
    report.warnings = reading.warnings.iter().map(ToString::to_string).collect();
    report.timing.restored_ms = last_restored.map(|at| millis(at - started.instant));
    record(&world, &started, &mut report).await;
    started.finish(&world, report)
}

/// Writes what is to be remembered. A failure is reported and changes nothing about the restored rules.
async fn record<E, T: Table>(world: &World<'_, E, T>, started: &Started, report: &mut Report) {
    if !world.settings.writes {
        return;
    }
    if world.blind && report.outcome == GroupOutcome::Orphaned {
        let hint = "the group's account is not ours, so it may exist all the same: set RULEKEEPER_ROLE_NAME";
        report.warnings.push(hint.to_owned());
    } else if report
        .rules
        .iter()
        .any(|rule| rule.outcome == RuleOutcome::Failed)
        && let (GroupOutcome::Orphaned, Some(group)) = (report.outcome, &report.group)
        && let Err(error) = world
            .table
            .mark_orphaned(group, &started.at.to_string())
            .await
    {
        report.warnings.push(format!(
            "the group could not be marked as orphaned: {error}"
        ));
    }
    report.timing.total_ms = millis(started.instant.elapsed());
    report.calls = world.calls.counted();
    if let Some(incident) = Incident::of(report, started.at)
        && let Err(error) = world.table.record_incident(&incident).await
    {
        report
            .warnings
            .push(format!("the incident could not be recorded: {error}"));
    }
}

/// Finds the group's id, which an event may leave out.
async fn locate<E: SecurityGroups, T>(
    world: &World<'_, E, T>,
    lookup: &Lookup,
) -> Result<GroupAddress, Box<Report>> {
    let address = |id: GroupId| GroupAddress {
        scope: lookup.scope.clone(),
        id,
    };
    let name = match &lookup.group {
        GroupLocator::Id(id) => return Ok(address(id.clone())),
        GroupLocator::DefaultVpcName(name) => name,
    };
    let (outcome, reason, passing) = match world.ec2.default_vpc_group(name).await {
        Ok(Some(id)) => return Ok(address(id)),
        Ok(None) => {
            let reason = format!(
                "the default VPC of {} has no group named {name:?}",
                lookup.scope
            );
            (GroupOutcome::Ignored, reason, false)
        }
        Err(error) => {
            let reason = format!("the group named {name:?} could not be looked up: {error}");
            (GroupOutcome::Failed, reason, error.is_passing())
        }
    };
    let mut report = Report::bare(lookup.trigger.clone(), None, outcome, reason);
    report.passing = passing;
    Err(Box::new(report))
}

/// When and why a reconcile began.
#[derive(Debug, Clone)]
struct Started {
    at: Timestamp,
    instant: Instant,
    trigger: Trigger,
}

impl Started {
    fn now<E, T>(world: &World<'_, E, T>, trigger: &Trigger) -> Self {
        Self {
            at: (world.now)(),
            instant: Instant::now(),
            trigger: trigger.clone(),
        }
    }

    fn report(&self, group: GroupAddress, outcome: GroupOutcome, reason: &str) -> Report {
        Report::bare(
            self.trigger.clone(),
            Some(group),
            outcome,
            reason.to_owned(),
        )
    }

    /// Whether rules are missing is unknown then, so a passing reason is worth another delivery.
    fn unread(&self, group: GroupAddress, error: &ApiError, what: &str) -> Report {
        let reason = format!("the {what} could not be read: {error}");
        let mut report = self.report(group, GroupOutcome::Failed, &reason);
        report.passing = error.is_passing();
        report.unread = true;
        report
    }

    fn finish<E, T>(&self, world: &World<'_, E, T>, mut report: Report) -> Report {
        report.timing.event_age_ms = report.trigger.age_ms(self.at);
        report.timing.total_ms = millis(self.instant.elapsed());
        report.calls = world.calls.counted();
        report
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// One group on its way to what its record says.
struct Convergence<'a, E, T> {
    world: World<'a, E, T>,
    group: &'a GroupAddress,
    record: &'a DesiredRecord,
    evidence: &'a Evidence,
    hold: Option<&'a Hold>,
    budget: Budget,
    actual: ActualRules,
    presumed_absent: BTreeSet<RuleKey>,
    lines: BTreeMap<RuleKey, RuleReport>,
    group_gone: bool,
    last_restored: Option<Instant>,
}

impl<E: SecurityGroups, T> Convergence<'_, E, T> {
    /// Plans and acts until a look at the group shows nothing more to do. Returns the last plan.
    async fn run(&mut self) -> Plan {
        let mut looks = 0;
        for round in 1.. {
            let plan = plan(self.record, &self.actual, &self.presumed_absent);
            if self.hold.is_some() && round == 1 && self.actual.iter().next().is_none() {
                self.group_gone = self.is_gone().await;
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

    /// Notes what the plan leaves out and authorizes the rest, unless that was tried before. Whether a rule was
    /// restored.
    async fn act(&mut self, plan: &Plan) -> bool {
        self.forget_what_changed(plan);
        for superseded in &plan.superseded {
            self.lines
                .entry(superseded.rule.clone())
                .or_insert_with(|| superseded.report());
        }
        if let Some(hold) = self.hold {
            for rule in &plan.missing {
                let line =
                    RuleReport::new(rule.key.clone(), RuleOutcome::Held).because(hold.reason());
                self.lines.insert(rule.key.clone(), line);
            }
            return false;
        }
        let mut rules = plan.missing.clone();
        rules.retain(|rule| !self.lines.contains_key(&rule.key));
        if rules.is_empty() {
            return false;
        }
        let context = Context {
            group: self.group,
            record: self.record,
            presumed_absent: &self.presumed_absent,
            revoked_ids: &self.evidence.revoked_ids,
            live: self.actual.iter().count(),
            quota: self.world.settings.rules_per_group,
            missing: self.world.missing,
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

    /// Takes back what an earlier look said and a fresh plan does not: a rule may have come back by other hands since it
    /// failed, and what is superseded or held is for each plan to say anew.
    fn forget_what_changed(&mut self, plan: &Plan) {
        let missing: BTreeSet<&RuleKey> = plan.missing.iter().map(|rule| &rule.key).collect();
        let actual = &self.actual;
        self.lines.retain(|key, line| match line.outcome {
            RuleOutcome::Superseded | RuleOutcome::Held => false,
            RuleOutcome::Failed => missing.contains(key) || actual.contains(key),
            _ => true,
        });
        for line in self.lines.values_mut() {
            if line.outcome == RuleOutcome::Failed && !missing.contains(&line.rule) {
                let id = actual.get(&line.rule).and_then(|live| live.id.clone());
                *line =
                    RuleReport::new(line.rule.clone(), RuleOutcome::RestoredElsewhere).with_id(id);
            }
        }
    }

    /// Whether the group does not exist. Without an authorize to be refused, an empty group looks the same.
    async fn is_gone(&self) -> bool {
        let id = &self.group.id;
        let existing = self
            .world
            .ec2
            .existing_groups(&BTreeSet::from([id.clone()]))
            .await;
        existing.is_ok_and(|existing| !existing.contains(id))
    }

    /// Reads until what was restored shows, fills in ids, and says whether a fresh read is there to plan with.
    async fn verify(&mut self) -> bool {
        for wait in VERIFY_AFTER {
            if !self.read_after(wait).await {
                return false;
            }
            let shows = |line: &&mut RuleReport| self.actual.contains(&line.rule);
            let restored = self
                .lines
                .values_mut()
                .filter(|line| line.outcome == RuleOutcome::Restored);
            let (shown, hidden): (Vec<_>, Vec<_>) = restored.partition(shows);
            for line in shown {
                let id = self.actual.get(&line.rule).and_then(|live| live.id.clone());
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
        let standing_in = plan
            .superseded
            .iter()
            .flat_map(|superseded| superseded.by.iter().cloned())
            .collect();
        let doubt = doubt(
            self.evidence,
            self.record,
            &self.actual,
            &self.lines,
            &standing_in,
        );
        let wait = match doubt {
            Doubt::None => return false,
            Doubt::Unsure if *looks == 0 => LOOK_ONCE_MORE_AFTER,
            Doubt::Unsure => return false,
            Doubt::Stale(gone) => match LOOK_AGAIN_AFTER.get(*looks) {
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
        if !self.budget.allows(wait) {
            return false;
        }
        tokio::time::sleep(wait).await;
        match self.world.ec2.rules_of(&self.group.id).await {
            Ok(actual) => {
                self.actual = actual;
                true
            }
            Err(_) => false,
        }
    }

    /// Lists the recorded rules that the event names and that are there: somebody put them back before we looked, unless
    /// the read is stale.
    fn note_present(&mut self) {
        for key in self
            .evidence
            .revoked
            .iter()
            .filter(|key| self.record.rules.contains_key(*key))
        {
            let Some(live) = self.actual.get(key) else {
                continue;
            };
            let revoked = |id: &RuleId| self.evidence.revoked_ids.contains(id);
            let line = if live.id.as_ref().is_some_and(revoked) {
                // A stale read, and no time was left for another.
                let mut line = RuleReport::new(key.clone(), RuleOutcome::Failed)
                    .because("EC2 still shows the rule under the id that was revoked");
                line.passing = true;
                line
            } else {
                RuleReport::new(key.clone(), RuleOutcome::AlreadyPresent)
                    .with_id(live.id.clone())
                    .because("the rule was there when we looked")
            };
            self.lines.entry(key.clone()).or_insert(line);
        }
    }
}

#[cfg(test)]
mod tests;
