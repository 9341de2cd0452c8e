//! Looks at every recorded group of an account and Region, or of a range of them.
//!
//! CloudTrail delivers to EventBridge on a best-effort basis, so events can be lost. A sweep has the same result as the
//! events would have: it reads up to 200 groups with one describe and reconciles those that differ from their record.
//! It holds only a few pages of records at a time. When it must stop early, it reports where.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::decide::changes::GroupState;
use crate::decide::plan::plan;
use crate::decide::restorable::Unrestorable;
use crate::desired::{DesiredRecord, Principal, SharedSettings};
use crate::event::{Evidence, GroupLocator, Lookup, Trigger};
use crate::model::{ActualRules, GroupAddress, GroupId, GroupRange, RuleKey, Scope};
use crate::ports::{ApiError, Budget, Failure, GROUPS_PER_READ, SecurityGroups, Table, Verdict};
use crate::reconcile::{GroupResult, Outlook, World, reconcile_with};
use crate::report::{GroupOutcome, Report, Swept};

mod pages;
pub(crate) mod parts;
mod result;
mod tally;

pub use result::SweepResult;

use pages::{Mark, Recorded, page};
use tally::Tally;

/// How many pages of records are read to fill one describe. One page of small records is enough for several.
const PAGES_AT_ONCE: usize = 4;

/// A read of rules that takes more than a fourth of the time left is given up, and its groups are read in fourths: each
/// such step gives a group three times the time. EC2 tells neither how many pages a read has nor when it has shown all
/// rules of a group, so no part of a read can be used.
const PARTS_OF_SLOW_READ: u32 = 4;

/// Called with the number of finished groups and the number of records read so far.
pub type Progress<'a> = &'a dyn Fn(usize, usize);

/// The limits of a sweep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// The groups to look at.
    pub range: GroupRange,
    /// The sweep stops when its reports have this many bytes, and leaves the rest to others.
    pub answer_bytes_max: usize,
    /// The sweep does not begin a differing group with less time left than this, except the first; the group would only
    /// fail.
    pub group_time_min: Duration,
    /// The longest time for one group. A group that always makes EC2 fail must not take the time of all.
    pub group_time_max: Duration,
    /// Whether to look which rules could not come back, which costs a describe for 200 referenced groups.
    pub looks_ahead: bool,
}

impl Default for Bounds {
    /// All groups, without a limit in practice.
    fn default() -> Self {
        Self {
            range: GroupRange::default(),
            answer_bytes_max: usize::MAX,
            group_time_min: Duration::ZERO,
            group_time_max: Duration::from_secs(60 * 60),
            looks_ahead: false,
        }
    }
}

/// Reconciles every recorded group of a scope, within the bounds and the budget.
///
/// Reads for many groups at once only show which groups to look at. Those that differ are read again, because a record
/// may change during the sweep. Groups that are known not to exist are looked for with one describe, and reported.
/// `rest` holds the groups that were not looked at.
pub async fn sweep<E: SecurityGroups, T: Table>(
    world: World<'_, E, T>,
    scope: &Scope,
    trigger: &Trigger,
    bounds: &Bounds,
    budget: Budget,
    progress: Progress<'_>,
) -> SweepResult {
    let mut run = SweepRun {
        world,
        scope,
        trigger,
        bounds,
        budget,
        progress,
        tally: Tally::default(),
        reached: None,
        groups_per_read: GROUPS_PER_READ,
        records_read: 0,
        settings_enter: None,
    };
    let stop = run.all_pages().await.err();
    run.finish(stop)
}

/// Why a sweep ends early.
enum Stop {
    /// The time is over.
    OutOfTime,
    /// The answer has reached its limit.
    AnswerFull,
    /// Records or rules could not be read.
    Unread { what: &'static str, error: ApiError },
}

/// A sweep in progress.
struct SweepRun<'a, E, T> {
    world: World<'a, E, T>,
    scope: &'a Scope,
    trigger: &'a Trigger,
    bounds: &'a Bounds,
    budget: Budget,
    progress: Progress<'a>,
    tally: Tally,
    /// The last group that was looked at.
    reached: Option<String>,
    /// How many groups are read at once: fewer after a read that took too long.
    groups_per_read: usize,
    /// How many records were read.
    records_read: usize,
    /// Whether the settings list somebody whose rules enter records, once that was read.
    settings_enter: Option<bool>,
}

impl<E: SecurityGroups, T: Table> SweepRun<'_, E, T> {
    /// Reads the next page while it looks at the groups of the one before.
    async fn all_pages(&mut self) -> Result<(), Stop> {
        let (table, scope) = (self.world.table, self.scope);
        let mut waiting = VecDeque::new();
        let mut unread = Some(self.bounds.range.clone());
        loop {
            let mut failed = None;
            for _ in 0..PAGES_AT_ONCE {
                let Some(range) = unread.as_ref().filter(|_| waiting.len() < GROUPS_PER_READ)
                else {
                    break;
                };
                match page(table, scope, range).await {
                    Ok(next) => {
                        self.records_read += next.records.len();
                        (self.progress)(self.tally.groups(), self.records_read);
                        waiting.extend(next.records);
                        unread = next.unread;
                    }
                    Err(stop) => {
                        failed = Some(stop);
                        break;
                    }
                }
            }
            if waiting.is_empty() {
                match (failed, &unread) {
                    (Some(stop), _) => return Err(stop),
                    (None, None) => return Ok(()),
                    // A page may be empty without being the last.
                    (None, Some(_)) => continue,
                }
            }
            let rest = waiting.split_off(waiting.len().min(GROUPS_PER_READ));
            let records = std::mem::replace(&mut waiting, rest);
            let wanted = unread.as_ref().filter(|_| waiting.len() < GROUPS_PER_READ);
            let ahead = async {
                match wanted {
                    Some(range) => Some(page(table, scope, range).await),
                    None => None,
                }
            };
            let (looked, ahead) = tokio::join!(self.read_groups(records.into()), ahead);
            looked?;
            if let Some(stop) = failed {
                return Err(stop);
            }
            if let Some(next) = ahead.transpose()? {
                self.records_read += next.records.len();
                waiting.extend(next.records);
                unread = next.unread;
            }
        }
    }

    /// Looks at up to 200 groups.
    async fn read_groups(&mut self, mut records: Vec<Recorded>) -> Result<(), Stop> {
        self.revive(&mut records).await;
        let mut chunks = self.chunks(records);
        while let Some(mut chunk) = chunks.pop_front() {
            if !self.budget.allows(Duration::ZERO) {
                return Err(Stop::OutOfTime);
            }
            let ids: Vec<GroupId> = chunk.iter().filter_map(Recorded::asked).cloned().collect();
            let live = async {
                match ids.is_empty() {
                    true => Ok(BTreeMap::new()),
                    false => self.read_in_time(&ids, chunk.len()).await,
                }
            };
            let (live, outlook) = tokio::join!(live, self.outlook(&chunk));
            let took_too_long = |error: &ApiError| matches!(error.failure, Failure::OutOfTime);
            match live {
                Err(error) if took_too_long(&error) && chunk.len() > 1 => {
                    let parts = usize::try_from(PARTS_OF_SLOW_READ).unwrap_or(1);
                    self.groups_per_read = (chunk.len() / parts).max(1);
                    let parts = self.chunks(chunk);
                    parts.into_iter().rev().for_each(|it| chunks.push_front(it));
                }
                Ok(live) => self.look_at_each(chunk, live, outlook).await?,
                Err(error)
                    if took_too_long(&error)
                        && self.reached.is_some()
                        && !self.budget.allows(Duration::ZERO) =>
                {
                    return Err(Stop::OutOfTime);
                }
                Err(error)
                    if !took_too_long(&error)
                        && (error.is_retryable() || error.verdict() == Verdict::Denied) =>
                {
                    let what = "groups' rules";
                    return Err(Stop::Unread { what, error });
                }
                // One id that EC2 does not understand makes the read of all fail. Halving finds the id.
                Err(_) if chunk.len() > 1 => {
                    let second = chunk.split_off(chunk.len() / 2);
                    chunks.push_front(second);
                    chunks.push_front(chunk);
                }
                Err(error) => {
                    for record in chunk {
                        let group = record.group.ok().map(|id| self.address(id));
                        let mut report = self.bare(
                            group,
                            GroupOutcome::Failed,
                            format!("the group's rules could not be read: {error}"),
                        );
                        report.unread = true;
                        report.retryable = error.is_retryable();
                        self.tally.add(report);
                        self.pass(record.name);
                    }
                }
            }
        }
        Ok(())
    }

    fn chunks(&self, mut records: Vec<Recorded>) -> VecDeque<Vec<Recorded>> {
        let mut chunks = VecDeque::new();
        while !records.is_empty() {
            let rest = records.split_off(records.len().min(self.groups_per_read));
            chunks.push_back(std::mem::replace(&mut records, rest));
        }
        chunks
    }

    /// Reads the rules of groups for a chunk of this length. A read that takes so long that its parts would have no time is
    /// given up. The read of a single group has no parts, and ends with the invocation.
    async fn read_in_time(
        &self,
        ids: &[GroupId],
        chunk: usize,
    ) -> Result<BTreeMap<GroupId, ActualRules>, ApiError> {
        let read = self.world.ec2.ingress_rules(ids);
        if chunk == 1 {
            return read.await;
        }
        let until = self.budget.act_until;
        let time = until.saturating_duration_since(Instant::now()) / PARTS_OF_SLOW_READ;
        let read = tokio::time::timeout(time, read).await;
        read.unwrap_or_else(|_| {
            Err(ApiError {
                operation: "DescribeSecurityGroupRules",
                failure: Failure::OutOfTime,
                message: format!("no answer came within {} s", time.as_secs()),
            })
        })
    }

    /// Takes marked groups that EC2 shows for living. A group that was made a moment ago may be refused and not shown, and
    /// is then marked. Where EC2 does not answer, the marks count.
    async fn revive(&self, records: &mut [Recorded]) {
        let marked = |record: &&mut Recorded| record.mark == Mark::Orphaned;
        let mut marked: Vec<&mut Recorded> = records.iter_mut().filter(marked).collect();
        let ids = marked.iter().filter_map(|record| record.group.clone().ok());
        let ids: BTreeSet<GroupId> = ids.collect();
        if ids.is_empty() {
            return;
        }
        let existing = self.world.ec2.existing_groups(&ids).await;
        let existing = existing.unwrap_or_default();
        for record in &mut marked {
            if record
                .group
                .as_ref()
                .is_ok_and(|id| existing.contains_key(id))
            {
                record.mark = Mark::Open;
            }
        }
    }

    async fn look_at_each(
        &mut self,
        records: Vec<Recorded>,
        mut live: BTreeMap<GroupId, ActualRules>,
        outlook: Option<Outlook>,
    ) -> Result<(), Stop> {
        for record in records {
            if !self.budget.allows(Duration::ZERO) {
                return Err(Stop::OutOfTime);
            }
            if self.tally.bytes >= self.bounds.answer_bytes_max {
                return Err(Stop::AnswerFull);
            }
            let Recorded {
                name,
                item,
                group,
                mark,
            } = record;
            match group {
                Err(error) => {
                    let reason =
                        format!("the desired-state record cannot be understood: sk: {error}");
                    let mut report = self.bare(None, GroupOutcome::Failed, reason);
                    report.unreadable = true;
                    self.tally.add(report);
                }
                Ok(id) if mark == Mark::Orphaned => {
                    self.tally.add(gone(self.trigger, self.address(id)));
                }
                Ok(id) => {
                    let actual = live.remove(&id).unwrap_or_default();
                    let record = match DesiredRecord::from_json(&item, &self.scope.account) {
                        Ok(reading) => reading.record,
                        Err(unreadable) => {
                            let reason = unreadable.to_string();
                            let group = Some(self.address(id));
                            let mut report = self.bare(group, GroupOutcome::Failed, reason);
                            report.unreadable = true;
                            self.tally.add(report);
                            self.pass(name);
                            continue;
                        }
                    };
                    let outlook = outlook.as_ref();
                    let quota = self.world.settings.rules_per_group;
                    let outlook = outlook
                        .map(|it| it.unrestorable(self.world.never, quota, &record, &actual));
                    let is_clear = outlook.as_ref().is_none_or(BTreeMap::is_empty);
                    let is_as_recorded = match State::of(&record, &actual) {
                        State::AsRecorded { strangers, enters } if mark == Mark::None => {
                            is_clear && !self.has_to_tell(&id, &strangers, enters).await
                        }
                        _ => false,
                    };
                    if is_as_recorded {
                        self.tally.count(GroupOutcome::Converged);
                    } else if self.reached.is_some()
                        && !self.budget.allows(self.bounds.group_time_min)
                    {
                        return Err(Stop::OutOfTime);
                    } else {
                        let report = self.reconcile(id, outlook).await;
                        self.tally.add(report);
                    }
                }
            }
            self.pass(name);
        }
        Ok(())
    }

    /// Whether live rules outside a record are worth a look: somebody is followed or accepted, so an event may be lost, and
    /// no sweep has told of them.
    /// `enters` says whether the record itself lists such a principal.
    async fn has_to_tell(&mut self, id: &GroupId, strangers: &[RuleKey], enters: bool) -> bool {
        if strangers.is_empty() || !enters && self.settings_enter == Some(false) {
            return false;
        }
        let Ok(loaded) = self.world.table.load(&self.address(id.clone())).await else {
            return false;
        };
        let settings = loaded.settings.as_ref().map(SharedSettings::from_json);
        let settings = settings.and_then(Result::ok);
        let settings_enter = settings.is_some_and(|(it, _)| any_enters(&it.principals));
        self.settings_enter = Some(settings_enter);
        let state = GroupState::of_item(loaded.state.as_ref());
        let is_told =
            |rule: &RuleKey| state.told.contains(rule) || state.reopened.contains_key(rule);
        (enters || settings_enter) && !strangers.iter().all(is_told)
    }

    /// What is known of everything that the records refer to, where this sweep looks ahead. `None` if anything could not be
    /// looked up: what is not known has not changed.
    async fn outlook(&self, records: &[Recorded]) -> Option<Outlook> {
        if !self.bounds.looks_ahead || self.world.without_role {
            return None;
        }
        let account = &self.scope.account;
        let readable = records.iter().filter(|record| record.asked().is_some());
        let readable = readable.filter_map(|it| DesiredRecord::from_json(&it.item, account).ok());
        let records: Vec<DesiredRecord> = readable.map(|reading| reading.record).collect();
        let rules = records.iter().flat_map(|record| record.rules.keys());
        let outlook = Outlook::of(self.world.ec2, self.world.never, rules).await;
        outlook.unknown.is_empty().then_some(outlook)
    }

    async fn reconcile(
        &self,
        id: GroupId,
        outlook: Option<BTreeMap<RuleKey, Unrestorable>>,
    ) -> GroupResult {
        let lookup = Lookup {
            scope: self.scope.clone(),
            group: GroupLocator::Id(id),
            trigger: self.trigger.clone(),
            call: None,
            evidence: Evidence::default(),
        };
        // Each report counts the calls for its own group, so it is counted from here.
        let before = self.world.calls.counted();
        let budget = self.budget.at_most(self.bounds.group_time_max);
        let mut report = reconcile_with(self.world, &lookup, outlook, budget).await;
        report.calls = self.world.calls.since(&before);
        report
    }

    fn pass(&mut self, name: String) {
        self.reached = Some(name);
        (self.progress)(self.tally.groups(), self.records_read);
    }

    fn address(&self, id: GroupId) -> GroupAddress {
        GroupAddress {
            scope: self.scope.clone(),
            id,
        }
    }

    fn bare(
        &self,
        group: Option<GroupAddress>,
        outcome: GroupOutcome,
        reason: String,
    ) -> GroupResult {
        Report::bare(self.trigger.clone(), group, outcome, reason).into()
    }

    fn finish(self, stop: Option<Stop>) -> SweepResult {
        let range = &self.bounds.range;
        let looked_at = match (&stop, &self.reached) {
            (Some(_), Some(reached)) => range.up_to(reached),
            _ => range.clone(),
        };
        let rest = stop.as_ref().map(|_| match &self.reached {
            Some(reached) => range.behind(reached),
            None => range.clone(),
        });
        let retryable = match &stop {
            Some(Stop::Unread { error, .. }) => error.is_retryable(),
            Some(Stop::OutOfTime | Stop::AnswerFull) => true,
            None => false,
        };
        let reached = match &self.reached {
            Some(reached) => format!("after {reached}"),
            None => "before the first group".to_owned(),
        };
        let reason = stop.map(|stop| match stop {
            Stop::OutOfTime => format!("the invocation's time ran out {reached}"),
            Stop::AnswerFull => format!("the answer was full {reached}"),
            Stop::Unread { what, error } => format!("the {what} could not be read: {error}"),
        });
        SweepResult {
            rest,
            reached_any: self.reached.is_some(),
            ..self
                .tally
                .finish(Swept::new(self.scope, looked_at), reason, retryable)
        }
    }
}

/// The result of one look at a group.
enum State {
    /// The group is not paused, and nothing is missing.
    AsRecorded {
        /// Live rules that the record does not hold.
        strangers: Vec<RuleKey>,
        /// Whether the record lists a principal whose rules enter it.
        enters: bool,
    },
    Other,
}

impl State {
    fn of(record: &DesiredRecord, actual: &ActualRules) -> Self {
        let plan = plan(record, actual, &BTreeSet::new());
        match record.pause.is_none() && plan.missing.is_empty() && plan.superseded.is_empty() {
            true => {
                let live = actual.iter().map(|live| &live.key);
                let strangers = live.filter(|rule| !record.rules.contains_key(*rule));
                let strangers = strangers.cloned().collect();
                let enters = any_enters(&record.principals);
                Self::AsRecorded { strangers, enters }
            }
            false => Self::Other,
        }
    }
}

fn any_enters(listed: &[Principal]) -> bool {
    listed.iter().any(|listed| listed.policy.enters())
}

fn gone(trigger: &Trigger, group: GroupAddress) -> Report {
    let reason = format!(
        "the security group {} was found not to exist; each sweep looks for it again",
        group.id
    );
    Report::bare(trigger.clone(), Some(group), GroupOutcome::Orphaned, reason)
}

#[cfg(test)]
mod tests;
