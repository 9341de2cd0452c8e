//! Carrying out a plan: one call for everything, and when EC2 refuses it, as few calls as it takes to tell the refused
//! rules from the rest.
//!
//! # Assumptions
//! An authorize that was refused has added nothing, and one that was answered has added everything. An authorize that
//! ended in a server error or in silence may have done either, so the group is read before it is repeated. If EC2 ever
//! adds a part of a refused batch, the next try meets `InvalidPermission.Duplicate` and reads again: the end is the
//! same.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::MissingReferences;
use crate::decide::plan::{CallOrder, batches, plan};
use crate::decide::quota::{Families, Room, prefix_lists};
use crate::desired::DesiredRecord;
use crate::model::{
    ActualRules, GroupAddress, GroupId, GroupRef, IngressRule, RuleId, RuleKey, Source,
};
use crate::ports::{ApiError, Authorized, Budget, Failure, SecurityGroups, Verdict, retry_delay};
use crate::report::{RuleOutcome, RuleReport};

mod attempt;

use attempt::{SetAside, Work};

/// How often a batch, or a rule alone, is sent again after calls that ended without telling whether they worked and had
/// changed nothing.
const UNCERTAIN_TOGETHER_MAX: u8 = 2;
const UNCERTAIN_ALONE_MAX: u8 = 4;

/// What executing a plan came to.
#[derive(Debug, Default)]
pub struct Execution {
    /// One line for every rule of the plan.
    pub reports: BTreeMap<RuleKey, RuleReport>,
    /// The group itself does not exist.
    pub group_gone: bool,
    /// When EC2 confirmed the last rule.
    pub last_restored: Option<Instant>,
}

/// What executing needs to know besides the rules.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The group.
    pub group: &'a GroupAddress,
    /// Its record, for planning again after a read.
    pub record: &'a DesiredRecord,
    /// Rules that reads may still show although they are gone.
    pub presumed_absent: &'a BTreeSet<RuleKey>,
    /// Rule ids that are known to be revoked: a read that shows one is stale in that rule.
    pub revoked_ids: &'a BTreeSet<RuleId>,
    /// How many rules were live when this was planned.
    pub live: usize,
    /// The account's quota of ingress rules per group.
    pub quota: u32,
    /// References found missing lately.
    pub missing: &'a MissingReferences,
    /// The time there is.
    pub budget: Budget,
}

/// Authorizes the rules, in order, and isolates what EC2 refuses.
pub async fn authorize<E: SecurityGroups>(
    ec2: &E,
    context: Context<'_>,
    rules: &[IngressRule],
) -> Execution {
    let room_is_short =
        context.live + rules.len() > usize::try_from(context.quota).unwrap_or(usize::MAX);
    let order = if room_is_short {
        CallOrder::Strict
    } else {
        CallOrder::Fewest
    };
    let queue = batches(rules, order).into_iter().map(Work::new).collect();
    let mut executor = Executor {
        ec2,
        context,
        queue,
        execution: Execution::default(),
        existing: BTreeSet::new(),
        full: Families::default(),
        room: None,
        lookup_failed: false,
        waits: 0,
    };
    executor.run().await;
    executor.execution
}

struct Executor<'a, E> {
    ec2: &'a E,
    context: Context<'a>,
    queue: VecDeque<Work>,
    execution: Execution,
    /// Sources seen to exist during this execution, so that a second refusal of the same kind needs no lookup.
    existing: BTreeSet<Source>,
    full: Families,
    room: Option<Room>,
    /// Asking which references exist failed; it is not tried again.
    lookup_failed: bool,
    waits: u32,
}

impl<E: SecurityGroups> Executor<'_, E> {
    async fn run(&mut self) {
        while let Some(work) = self.queue.pop_front() {
            let Some(work) = self.without_hopeless(work) else {
                continue;
            };
            if !self.context.budget.allows(Duration::ZERO) {
                self.fail_everything(work, &out_of_time(), true);
                return;
            }
            match self
                .ec2
                .authorize_ingress(&self.context.group.id, &work.batch)
                .await
            {
                Ok(authorized) => self.restored(&work, &authorized),
                Err(error) => self.refused(work, error).await,
            }
        }
    }

    /// Takes out the rules whose refusal is already known: their reference is missing, or their family is full.
    fn without_hopeless(&mut self, work: Work) -> Option<Work> {
        let (mut hopeful, scope) = (Vec::new(), &self.context.group.scope);
        for rule in &work.batch.rules {
            if self.context.missing.holds(scope, &rule.key) {
                self.fail_for_missing_reference(rule);
            } else if self.full.bar(&rule.key) {
                self.fail_for_room(rule);
            } else {
                hopeful.push(rule.clone());
            }
        }
        (!hopeful.is_empty()).then(|| work.with_rules(hopeful))
    }

    async fn refused(&mut self, work: Work, error: ApiError) {
        match error.verdict() {
            Verdict::Duplicate => self.somebody_was_faster(work.retagged(), &error).await,
            Verdict::GroupNotFound => self.look_up_groups(work.retagged(), &error).await,
            Verdict::PrefixListNotFound => self.look_up_prefix_lists(work.retagged(), &error).await,
            Verdict::QuotaFull => self.fill_room(work.retagged()).await,
            Verdict::TagsRefused => self.try_fewer_tags(work, &error),
            Verdict::Throttled => self.wait_and_repeat(work, &error).await,
            Verdict::Uncertain => self.read_and_repeat(work, &error).await,
            Verdict::Expired => self.fail_everything(work, &error, true),
            Verdict::Denied => self.denied(work, &error),
            Verdict::BadRule | Verdict::Unknown => self.isolate(work, &error),
        }
    }

    fn restored(&mut self, work: &Work, authorized: &[Authorized]) {
        self.waits = 0;
        self.execution.last_restored = Some(Instant::now());
        for rule in &work.batch.rules {
            let id = authorized
                .iter()
                .find(|made| made.key == rule.key)
                .and_then(|made| made.id.clone());
            let mut line = RuleReport::new(rule.key.clone(), RuleOutcome::Restored).with_id(id);
            line.authorized_at = self.execution.last_restored;
            let lost: Vec<&str> = rule
                .tags
                .keys()
                .filter(|key| !work.batch.tags.contains_key(*key))
                .map(String::as_str)
                .collect();
            if !lost.is_empty() {
                let by = work
                    .tags_refused
                    .as_deref()
                    .unwrap_or("only AWS may set them");
                line.error_code = work.tags_refused.clone();
                line.reason = Some(format!(
                    "restored without the tags {} ({by})",
                    lost.join(", ")
                ));
            }
            self.execution.reports.insert(rule.key.clone(), line);
        }
    }

    /// Some rule of the batch exists. A fresh read says which; when it does not show yet, halving finds out.
    async fn somebody_was_faster(&mut self, work: Work, error: &ApiError) {
        if let [rule] = &work.batch.rules[..] {
            let outcome = match self.context.presumed_absent.contains(&rule.key) {
                // An earlier try of ours that ended in silence may have made it.
                _ if work.uncertain > 0 => RuleOutcome::Restored,
                true => RuleOutcome::AlreadyPresent,
                false => RuleOutcome::RestoredElsewhere,
            };
            let line = RuleReport::new(rule.key.clone(), outcome)
                .because("EC2 says that the rule is there");
            self.execution.reports.insert(rule.key.clone(), line);
            return;
        }
        let before = work.batch.rules.len();
        match self.read().await {
            Ok(actual) => {
                let left = self.resolve_with(&actual, work, RuleOutcome::RestoredElsewhere, None);
                match left {
                    Some(work) if work.batch.rules.len() == before => self.halve(work),
                    Some(work) => self.queue.push_front(work),
                    None => {}
                }
            }
            Err(_) => self.isolate(work, error),
        }
    }

    /// Plans again with a fresh read and settles every waiting rule that need not be authorized any more. Returns what
    /// is left of `work`; what is left of the queue stays there.
    fn resolve_with(
        &mut self,
        actual: &ActualRules,
        work: Work,
        present_as: RuleOutcome,
        reason: Option<&str>,
    ) -> Option<Work> {
        let fresh = plan(self.context.record, actual, self.context.presumed_absent);
        let still_missing: BTreeSet<&RuleKey> =
            fresh.missing.iter().map(|rule| &rule.key).collect();
        for superseded in fresh.superseded {
            let line = superseded.report();
            self.execution
                .reports
                .entry(superseded.rule)
                .or_insert(line);
        }
        let reports = &mut self.execution.reports;
        let mut keep_missing = |work: Work| {
            let (left, settled): (Vec<_>, Vec<_>) = work
                .batch
                .rules
                .iter()
                .cloned()
                .partition(|rule| still_missing.contains(&rule.key));
            for rule in settled {
                let id = actual.get(&rule.key).and_then(|live| live.id.clone());
                let mut line = RuleReport::new(rule.key.clone(), present_as).with_id(id);
                line.reason = reason.map(str::to_owned);
                reports.entry(rule.key).or_insert(line);
            }
            (!left.is_empty()).then(|| work.with_rules(left))
        };
        let left = keep_missing(work);
        self.queue = std::mem::take(&mut self.queue)
            .into_iter()
            .filter_map(keep_missing)
            .collect();
        left
    }

    /// The refusal is about a group: ours, or one that a rule names. One lookup tells which exist. Another account's
    /// groups do not show there, so nothing follows from their absence.
    async fn look_up_groups(&mut self, work: Work, error: &ApiError) {
        let target = &self.context.group.id;
        let own = |rule: &IngressRule| {
            let group = rule.key.referenced_group()?;
            group.account_id.is_none().then(|| group.group_id.clone())
        };
        let is_new = |rule: &&IngressRule| !self.existing.contains(&rule.key.source);
        let mut wanted: BTreeSet<_> = work
            .batch
            .rules
            .iter()
            .filter(is_new)
            .filter_map(own)
            .collect();
        let target_seen = self.execution.last_restored.is_some()
            || self.existing.contains(&own_reference(target));
        if self.lookup_failed || wanted.is_empty() && target_seen {
            return self.isolate(work, error);
        }
        wanted.insert(target.clone());
        let Ok(existing) = self.ec2.existing_groups(&wanted).await else {
            self.lookup_failed = true;
            return self.isolate(work, error);
        };
        if !existing.contains(target) {
            self.execution.group_gone = true;
            return self.fail_everything(work, error, false);
        }
        let missing = |rule: &IngressRule| {
            own(rule).is_some_and(|id| wanted.contains(&id) && !existing.contains(&id))
        };
        self.existing.extend(existing.iter().map(own_reference));
        self.without_missing(work, missing, error);
    }

    async fn look_up_prefix_lists(&mut self, work: Work, error: &ApiError) {
        let rules = work.batch.rules.iter().map(|rule| &rule.key);
        let wanted = prefix_lists(rules.filter(|key| !self.existing.contains(&key.source)));
        if self.lookup_failed || wanted.is_empty() {
            return self.isolate(work, error);
        }
        let Ok(existing) = self.ec2.prefix_lists(&wanted).await else {
            self.lookup_failed = true;
            return self.isolate(work, error);
        };
        let missing = |rule: &IngressRule| match &rule.key.source {
            Source::PrefixList(list) => wanted.contains(list) && !existing.contains_key(list),
            _ => false,
        };
        self.existing
            .extend(existing.keys().cloned().map(Source::PrefixList));
        self.without_missing(work, missing, error);
    }

    /// Fails the rules whose reference is missing and lets the others go again. When none is, the refusal has another
    /// cause, and halving finds the rule.
    fn without_missing(
        &mut self,
        work: Work,
        missing: impl Fn(&IngressRule) -> bool,
        error: &ApiError,
    ) {
        let (bad, good): (Vec<_>, Vec<_>) = work.batch.rules.iter().cloned().partition(missing);
        if bad.is_empty() {
            return self.isolate(work, error);
        }
        for rule in &bad {
            self.context
                .missing
                .remember(&self.context.group.scope, &rule.key.source);
            self.fail_for_missing_reference(rule);
        }
        if !good.is_empty() {
            self.queue.push_front(work.with_rules(good));
        }
    }

    /// The group has no room for the batch: count it, authorize what fits in order of priority, and ask EC2 about one
    /// rule more, in case the account's quota is not the one we were told.
    async fn fill_room(&mut self, work: Work) {
        if work.room_counted {
            if let [rule] = &work.batch.rules[..] {
                self.full.note_full(&rule.key);
                return self.fail_for_room(rule);
            }
            return self.halve(work);
        }
        let actual = match self.read().await {
            Ok(actual) => actual,
            Err(read_error) => {
                return self.fail_everything(work, &read_error, read_error.is_retryable());
            }
        };
        let Some(mut work) = self.resolve_with(&actual, work, RuleOutcome::RestoredElsewhere, None)
        else {
            return;
        };
        let named = actual
            .iter()
            .map(|rule| &rule.key)
            .chain(work.batch.rules.iter().map(|rule| &rule.key));
        let lists = prefix_lists(named);
        let weights = match lists.is_empty() {
            true => BTreeMap::new(),
            false => self.ec2.prefix_lists(&lists).await.unwrap_or_default(),
        };
        let room = Room::count(&actual, self.context.quota, &weights);
        work.room_counted = true;
        let (fitting, mut over, room) = room.fill(work.batch.rules.clone(), &weights);
        self.room = Some(room);
        if over.is_empty() {
            // By our count all of it fits, so the quota is smaller than we were told.
            return self.halve(work);
        }
        let rest = over.split_off(1);
        for rules in [rest, over, fitting] {
            if !rules.is_empty() {
                self.queue.push_front(work.with_rules(rules));
            }
        }
    }

    fn try_fewer_tags(&mut self, mut work: Work, error: &ApiError) {
        match work.fall_back(error.code()) {
            true => self.queue.push_front(work),
            false => self.isolate(work, error),
        }
    }

    /// Our role may not authorize, or may not tag. IAM sees no difference between rules, so halving would not help.
    fn denied(&mut self, mut work: Work, error: &ApiError) {
        if work.batch.tags.is_empty() {
            return self.fail_everything(work, error, false);
        }
        work.tags_refused = Some(error.code().to_owned());
        work.fallback_tags.clear();
        work.batch.tags.clear();
        self.queue.push_front(work);
    }

    async fn wait_and_repeat(&mut self, work: Work, error: &ApiError) {
        match self.wait().await {
            true => self.queue.push_front(work),
            false => self.fail_everything(work, error, true),
        }
    }

    /// The call may have worked, so the group is read before it is repeated. A batch that changes nothing time and again
    /// is halved, so that a rule on which EC2 stumbles does not keep the others out.
    async fn read_and_repeat(&mut self, work: Work, error: &ApiError) {
        if matches!(error.failure, Failure::OutOfTime) || !self.wait().await {
            return self.fail_everything(work, error, true);
        }
        let actual = match self.read().await {
            Ok(actual) => actual,
            Err(read_error) => {
                return self.fail_everything(work, &read_error, read_error.is_retryable());
            }
        };
        let reason = format!("the call ended with {} and took effect", error.code());
        let (size, restored) = (work.batch.rules.len(), self.restored_count());
        let left = self.resolve_with(&actual, work, RuleOutcome::Restored, Some(&reason));
        if self.restored_count() > restored {
            self.execution.last_restored = Some(Instant::now());
        }
        let Some(mut left) = left else { return };
        if left.batch.rules.len() == size {
            left.uncertain = left.uncertain.saturating_add(1);
        }
        match (left.uncertain, &left.batch.rules[..]) {
            (UNCERTAIN_ALONE_MAX.., [rule]) => {
                let line = refusal(&rule.key, error, true);
                self.execution.reports.insert(rule.key.clone(), line);
            }
            (UNCERTAIN_TOGETHER_MAX.., [_, _, ..]) => self.halve(left),
            _ => self.queue.push_front(left),
        }
    }

    fn restored_count(&self) -> usize {
        let lines = self.execution.reports.values();
        lines
            .filter(|line| line.outcome == RuleOutcome::Restored)
            .count()
    }

    /// Some rule of the batch is refused for a reason that only trying tells: halve until it stands alone.
    ///
    /// Refusals of tags do not always carry a tag's code, so a batch with tags is tried once without them, and so is a
    /// rule that is left by itself.
    fn isolate(&mut self, mut work: Work, error: &ApiError) {
        let alone = work.batch.rules.len() == 1;
        let blames_rules = work.set_aside.is_some();
        let may_blame_tags =
            matches!(error.verdict(), Verdict::BadRule | Verdict::Unknown) && !blames_rules;
        work = work.retagged();
        if may_blame_tags && !work.batch.tags.is_empty() && (alone || !work.tried_untagged) {
            work.tried_untagged = true;
            let tags = std::mem::take(&mut work.batch.tags);
            let refused = work.tags_refused.replace(error.code().to_owned());
            work.set_aside = Some(SetAside { tags, refused });
            return self.queue.push_front(work);
        }
        let [rule] = &work.batch.rules[..] else {
            return self.halve(work);
        };
        if error.verdict() == Verdict::Unknown && !work.repeated {
            work.repeated = true;
            return self.queue.push_front(work);
        }
        let line = refusal(&rule.key, error, false);
        self.execution.reports.insert(rule.key.clone(), line);
    }

    fn halve(&mut self, work: Work) {
        let mut first = work.batch.rules.clone();
        let second = first.split_off(first.len().div_ceil(2));
        for rules in [second, first] {
            if !rules.is_empty() {
                self.queue.push_front(work.with_rules(rules));
            }
        }
    }

    /// Waits before the next try, if there is time for the wait and a try.
    async fn wait(&mut self) -> bool {
        let wait = retry_delay(self.waits);
        self.waits += 1;
        let in_time = self.context.budget.allows(wait);
        if in_time {
            tokio::time::sleep(wait).await;
        }
        in_time
    }

    async fn read(&self) -> Result<ActualRules, ApiError> {
        let actual = self.ec2.rules_of(&self.context.group.id).await?;
        Ok(actual.without(self.context.revoked_ids))
    }

    fn fail_for_missing_reference(&mut self, rule: &IngressRule) {
        let code = match &rule.key.source {
            Source::PrefixList(_) => "InvalidPrefixListID.NotFound",
            _ => "InvalidGroup.NotFound",
        };
        let mut line = RuleReport::new(rule.key.clone(), RuleOutcome::Failed)
            .because(format!("{} does not exist", rule.key.source));
        line.error_code = Some(code.to_owned());
        self.execution.reports.insert(rule.key.clone(), line);
    }

    fn fail_for_room(&mut self, rule: &IngressRule) {
        let reason = match &self.room {
            Some(room) => format!("no room: {room}"),
            None => "no room in the group".to_owned(),
        };
        let mut line = RuleReport::new(rule.key.clone(), RuleOutcome::Failed).because(reason);
        line.error_code = Some("RulesPerSecurityGroupLimitExceeded".to_owned());
        self.execution.reports.insert(rule.key.clone(), line);
    }

    /// Ends the execution: nothing that waits can succeed now.
    fn fail_everything(&mut self, work: Work, error: &ApiError, retryable: bool) {
        let waiting = std::mem::take(&mut self.queue);
        for rule in std::iter::once(work)
            .chain(waiting)
            .flat_map(|work| work.batch.rules)
        {
            let line = refusal(&rule.key, error, retryable);
            self.execution.reports.entry(rule.key).or_insert(line);
        }
    }
}

fn own_reference(group: &GroupId) -> Source {
    Source::ReferencedGroup(GroupRef {
        group_id: group.clone(),
        account_id: None,
    })
}

fn refusal(rule: &RuleKey, error: &ApiError, retryable: bool) -> RuleReport {
    let mut line =
        RuleReport::new(rule.clone(), RuleOutcome::Failed).because(error.message.clone());
    line.error_code = Some(error.code().to_owned());
    line.retryable = retryable;
    line
}

fn out_of_time() -> ApiError {
    ApiError {
        operation: "AuthorizeSecurityGroupIngress",
        failure: Failure::OutOfTime,
        message: "the invocation's time ran out before this rule's turn".to_owned(),
    }
}

#[cfg(test)]
mod tests;
