//! Executes a plan with one call. If EC2 refuses it, as few calls as possible separate the refused rules from the rest.
//!
//! # Assumptions
//! A refused authorize has added nothing, and a successful one has added everything. An authorize that ended in a
//! server error or without an answer may have done either, so the group is read before the next try. If EC2 ever adds a
//! part of a refused batch, the next try gets `InvalidPermission.Duplicate` and reads the group again. The result is
//! the same.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::{MissingReferences, RuleResult};
use crate::decide::plan::plan;
use crate::decide::quota::{Families, Room};
use crate::desired::DesiredRecord;
use crate::model::{ActualRules, GroupAddress, GroupId, IngressRule, RuleId, RuleKey, Source};
use crate::ports::{ApiError, Authorized, Budget, Failure, SecurityGroups, Verdict, retry_delay};
use crate::report::{RuleOutcome, RuleReport};

mod attempt;
mod batches;
mod references;
mod room;
mod tags;

use attempt::Attempt;
use batches::{CallOrder, batches};

/// How often a batch, or a single rule, is sent while each call changes nothing and does not tell whether it worked. A
/// batch is halved after that; a single rule fails.
const UNCERTAIN_TOGETHER_MAX: u8 = 2;
const UNCERTAIN_ALONE_MAX: u8 = 4;

/// How often rules are tried again while EC2 says that something does not exist which it shows.
const CONTRADICTED_MAX: u8 = 3;

/// The call that adds rules.
const AUTHORIZE: &str = "AuthorizeSecurityGroupIngress";

/// Why rules fail whose turn did not come.
const TIME_RAN_OUT: &str = "the invocation's time ran out before this rule's turn";

/// The result of executing a plan.
#[derive(Debug, Default)]
pub struct Execution {
    /// One line for every rule of the plan.
    pub reports: BTreeMap<RuleKey, RuleResult>,
    /// The group itself does not exist.
    pub group_gone: bool,
    /// When EC2 last confirmed a rule.
    pub last_restored: Option<Instant>,
}

/// What executing needs besides the rules.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The group.
    pub group: &'a GroupAddress,
    /// The group's record, to plan again after a read.
    pub record: &'a DesiredRecord,
    /// Rules that reads may still show although they no longer exist.
    pub presumed_absent: &'a BTreeSet<RuleKey>,
    /// Ids that are known to be revoked. A read that shows one is stale in that rule.
    pub revoked_ids: &'a BTreeSet<RuleId>,
    /// The live rules at the time of the plan.
    pub actual: &'a ActualRules,
    /// The account's quota of ingress rules per group.
    pub quota: u32,
    /// References that were recently found missing.
    pub missing: &'a MissingReferences,
    /// Rules that are known not to be able to come back. They are tried after the others, so that these need no second call.
    pub foreseen: &'a BTreeSet<RuleKey>,
    /// The time limits.
    pub budget: Budget,
}

/// Authorizes the rules in order, and isolates the rules that EC2 refuses.
pub async fn authorize<E: SecurityGroups>(
    ec2: &E,
    context: Context<'_>,
    rules: &[IngressRule],
) -> Execution {
    let order = CallOrder::of(context.actual, rules, context.quota);
    let is_foreseen = |rule: &IngressRule| context.foreseen.contains(&rule.key);
    let (last, first): (Vec<_>, Vec<_>) = rules.iter().cloned().partition(is_foreseen);
    let queue = [first, last]
        .iter()
        .flat_map(|rules| batches(rules, order))
        .map(Attempt::new)
        .collect();
    let mut executor = Executor {
        ec2,
        context,
        queue,
        order,
        execution: Execution::default(),
        later: Vec::new(),
        existing: BTreeSet::new(),
        vpcs: BTreeMap::new(),
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
    queue: VecDeque<Attempt>,
    order: CallOrder,
    execution: Execution,
    /// What is tried again after a wait, when everything else is done.
    later: Vec<Attempt>,
    /// Sources that were found to exist during this execution. Another refusal of the same kind needs no lookup of
    /// them.
    existing: BTreeSet<Source>,
    /// The VPCs of the groups among them, and of the group itself.
    vpcs: BTreeMap<GroupId, String>,
    full: Families,
    room: Option<Room>,
    /// Whether the lookup of references failed. It is not repeated.
    lookup_failed: bool,
    waits: u32,
}

impl<E: SecurityGroups> Executor<'_, E> {
    async fn run(&mut self) {
        while let Some(attempt) = self.next().await {
            let Some(attempt) = self.without_known_refusals(attempt) else {
                continue;
            };
            if !self.context.budget.allows(Duration::ZERO) {
                self.fail_waiting(attempt, |rule, unsettled| match unsettled {
                    Some(error) => refusal(rule, error, true),
                    None => failure(rule, "OutOfTime", TIME_RAN_OUT, true),
                });
                return;
            }
            match self
                .ec2
                .authorize_ingress(&self.context.group.id, &attempt.batch)
                .await
            {
                Ok(authorized) => self.restored(&attempt, &authorized),
                Err(error) => self.refused(attempt, error).await,
            }
        }
    }

    async fn next(&mut self) -> Option<Attempt> {
        if self.queue.is_empty() && !self.later.is_empty() && self.wait().await {
            self.queue.extend(self.later.drain(..));
        }
        // Without time for the wait, they are next, and fail for want of time.
        self.queue.pop_front().or_else(|| self.later.pop())
    }

    /// Removes the rules whose refusal is already known: their reference is missing, or their family is full.
    fn without_known_refusals(&mut self, attempt: Attempt) -> Option<Attempt> {
        let (mut hopeful, scope) = (Vec::new(), &self.context.group.scope);
        for rule in &attempt.batch.rules {
            if self.context.missing.holds(scope, &rule.key) {
                self.fail_for_missing_reference(rule);
            } else if self.full.bar(&rule.key) {
                self.fail_for_room(rule);
            } else {
                hopeful.push(rule.clone());
            }
        }
        (!hopeful.is_empty()).then(|| attempt.with_rules(hopeful))
    }

    async fn refused(&mut self, attempt: Attempt, error: ApiError) {
        match error.verdict() {
            Verdict::Duplicate => self.on_duplicate(attempt.retagged(), &error).await,
            Verdict::GroupNotFound => self.on_group_not_found(attempt.retagged(), &error).await,
            Verdict::PrefixListNotFound => {
                self.on_prefix_list_not_found(attempt.retagged(), &error)
                    .await
            }
            Verdict::QuotaFull => self.on_quota_full(attempt.retagged()).await,
            Verdict::TagsRefused => self.on_tags_refused(attempt, &error),
            Verdict::Throttled => self.on_throttled(attempt, &error).await,
            Verdict::Uncertain => self.on_uncertain(attempt, &error).await,
            Verdict::Expired => self.fail_everything(attempt, &error, true),
            Verdict::Denied => self.on_denied(attempt, &error),
            Verdict::BadRule | Verdict::Unknown => self.isolate(attempt, &error),
        }
    }

    fn restored(&mut self, attempt: &Attempt, authorized: &[Authorized]) {
        self.waits = 0;
        self.execution.last_restored = Some(Instant::now());
        for rule in &attempt.batch.rules {
            let id = authorized
                .iter()
                .find(|made| made.key == rule.key)
                .and_then(|made| made.id.clone());
            let line = RuleReport::new(rule.key.clone(), RuleOutcome::Restored).with_id(id);
            let mut line = RuleResult::from(line);
            line.authorized_at = self.execution.last_restored;
            let lost: Vec<&str> = rule
                .tags
                .keys()
                .filter(|key| !attempt.batch.tags.contains_key(*key))
                .map(String::as_str)
                .collect();
            if !lost.is_empty() {
                let by = attempt
                    .tags_refused
                    .as_deref()
                    .unwrap_or("only AWS may set them");
                line.error_code = attempt.tags_refused.clone();
                line.reason = Some(format!(
                    "restored without the tags {} ({by})",
                    lost.join(", ")
                ));
            }
            self.execution.reports.insert(rule.key.clone(), line);
        }
    }

    /// Some rule of the batch exists. A fresh read shows which. If the read does not show it yet, halving finds it.
    async fn on_duplicate(&mut self, attempt: Attempt, error: &ApiError) {
        if let [rule] = &attempt.batch.rules[..] {
            let outcome = match self.context.presumed_absent.contains(&rule.key) {
                // Our own earlier try, which got no clear answer, may have created it.
                _ if attempt.uncertain > 0 => RuleOutcome::Restored,
                true => RuleOutcome::AlreadyPresent,
                false => RuleOutcome::RestoredElsewhere,
            };
            let line = RuleReport::new(rule.key.clone(), outcome)
                .because("EC2 says that the rule is there");
            self.execution.reports.insert(rule.key.clone(), line.into());
            return;
        }
        let before = attempt.batch.rules.len();
        match self.in_short(self.read()).await {
            Some(actual) => {
                match self.resolve_with(&actual, attempt, "EC2 says that the rule is there") {
                    Some(attempt) if attempt.batch.rules.len() == before => self.halve(attempt),
                    Some(attempt) => self.queue.push_front(attempt),
                    None => {}
                }
            }
            None => self.isolate(attempt, error),
        }
    }

    /// Plans again with a fresh read and reports every waiting rule that no longer needs an authorize. A rule is ours,
    /// for this reason, if a call of ours asked for it and did not tell whether it worked. Otherwise somebody else was
    /// faster. Returns the rest of `attempt`. The rest of the queue stays in the queue.
    fn resolve_with(
        &mut self,
        actual: &ActualRules,
        attempt: Attempt,
        reason: &str,
    ) -> Option<Attempt> {
        let fresh = plan(self.context.record, actual, self.context.presumed_absent);
        let still_missing: BTreeSet<&RuleKey> =
            fresh.missing.iter().map(|rule| &rule.key).collect();
        for superseded in fresh.superseded {
            let line = superseded.report();
            self.execution
                .reports
                .entry(superseded.rule)
                .or_insert(line.into());
        }
        let reports = &mut self.execution.reports;
        let mut keep_missing = |attempt: Attempt| {
            let (remaining, resolved): (Vec<_>, Vec<_>) = attempt
                .batch
                .rules
                .iter()
                .cloned()
                .partition(|rule| still_missing.contains(&rule.key));
            let is_ours = attempt.uncertain > 0;
            for rule in resolved {
                let id = actual.get(&rule.key).and_then(|live| live.id.clone());
                let line = match is_ours {
                    true => {
                        RuleReport::new(rule.key.clone(), RuleOutcome::Restored).because(reason)
                    }
                    false => RuleReport::new(rule.key.clone(), RuleOutcome::RestoredElsewhere),
                };
                reports.entry(rule.key).or_insert(line.with_id(id).into());
            }
            (!remaining.is_empty()).then(|| attempt.with_rules(remaining))
        };
        let remaining = keep_missing(attempt);
        self.queue = std::mem::take(&mut self.queue)
            .into_iter()
            .filter_map(keep_missing)
            .collect();
        remaining
    }

    async fn on_throttled(&mut self, mut attempt: Attempt, error: &ApiError) {
        attempt.unsettled = Some(error.clone());
        match self.wait().await {
            true => self.queue.push_front(attempt),
            false => self.fail_everything(attempt, error, true),
        }
    }

    /// The call may have worked, so the group is read before the next try. A batch that changes nothing several times
    /// is halved, so that one rule on which EC2 fails does not block the others.
    async fn on_uncertain(&mut self, mut attempt: Attempt, error: &ApiError) {
        let actual = loop {
            if matches!(error.failure, Failure::OutOfTime) || !self.wait().await {
                return self.fail_everything(attempt, error, true);
            }
            match self.read().await {
                Ok(actual) => break actual,
                // Without a look nobody learns whose rule it is, so only the time ends the looks.
                Err(read_error) if read_error.is_retryable() => {}
                Err(read_error) => return self.fail_everything(attempt, &read_error, false),
            }
        };
        // Nobody can tell whether this call put it there.
        let reason = match error.failure {
            Failure::Unusable => "the answer could not be read, and the rule is there".to_owned(),
            _ => format!(
                "the call ended with {}, and the rule is there",
                error.code()
            ),
        };
        attempt.uncertain = attempt.uncertain.saturating_add(1);
        attempt.unsettled = Some(error.clone());
        let restored = self.restored_count();
        let left = self.resolve_with(&actual, attempt, &reason);
        if self.restored_count() > restored {
            self.execution.last_restored = Some(Instant::now());
        }
        let Some(left) = left else { return };
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

    /// EC2 refuses some rule of the batch and does not say which. Halving finds the rule.
    fn isolate(&mut self, attempt: Attempt, error: &ApiError) {
        let Some(mut attempt) = self.try_untagged(attempt, error) else {
            return;
        };
        let [rule] = &attempt.batch.rules[..] else {
            return self.halve(attempt);
        };
        if error.verdict() == Verdict::Unknown && !attempt.repeated {
            attempt.repeated = true;
            return self.queue.push_front(attempt);
        }
        let line = refusal(&rule.key, error, false);
        self.execution.reports.insert(rule.key.clone(), line);
    }

    fn halve(&mut self, attempt: Attempt) {
        let mut first = attempt.batch.rules.clone();
        let second = first.split_off(first.len().div_ceil(2));
        for rules in [second, first] {
            if !rules.is_empty() {
                self.queue.push_front(attempt.with_rules(rules));
            }
        }
    }

    /// Waits before the next try. Returns `false` without waiting if there is no time for the wait and a try.
    async fn wait(&mut self) -> bool {
        let wait = retry_delay(self.waits);
        self.waits += 1;
        let in_time = self.context.budget.allows(wait);
        if in_time {
            tokio::time::sleep(wait).await;
        }
        in_time
    }

    /// The answer to a question that only saves calls: it gets a fifth of the time, because good rules wait for it.
    async fn in_short<T>(&self, question: impl Future<Output = Result<T, ApiError>>) -> Option<T> {
        let answer = tokio::time::timeout(self.context.budget.bookkeeping_max, question);
        answer.await.ok()?.ok()
    }

    async fn read(&self) -> Result<ActualRules, ApiError> {
        let actual = self.ec2.rules_of(&self.context.group.id).await?;
        Ok(actual.without(self.context.revoked_ids))
    }

    /// Fails the attempt and all waiting rules, because none of them can succeed now.
    fn fail_everything(&mut self, attempt: Attempt, error: &ApiError, retryable: bool) {
        self.fail_waiting(attempt, |rule, _| refusal(rule, error, retryable));
    }

    /// The line is made of the rule, and of the error of its last call if that was to be tried again.
    fn fail_waiting(
        &mut self,
        attempt: Attempt,
        line: impl Fn(&RuleKey, Option<&ApiError>) -> RuleResult,
    ) {
        let waiting = std::mem::take(&mut self.queue);
        let waiting = waiting.into_iter().chain(self.later.drain(..));
        for attempt in std::iter::once(attempt).chain(waiting) {
            for rule in attempt.batch.rules {
                let line = line(&rule.key, attempt.unsettled.as_ref());
                self.execution.reports.entry(rule.key).or_insert(line);
            }
        }
    }
}

/// The line of a rule that the API refused. It has EC2's own words about the rule. An error that says nothing of the rule is
/// told as one of the call.
fn refusal(rule: &RuleKey, error: &ApiError, retryable: bool) -> RuleResult {
    let is_authorize = error.operation == AUTHORIZE;
    let reason = match error.verdict() {
        Verdict::Uncertain if is_authorize => format!(
            "{AUTHORIZE}: {}; it may have worked all the same",
            error.message
        ),
        Verdict::Throttled | Verdict::Expired => format!("{}: {}", error.operation, error.message),
        _ if is_authorize => error.message.clone(),
        _ => format!("{}: {}", error.operation, error.message),
    };
    failure(rule, error.code(), &reason, retryable)
}

/// The line of a rule that was not authorized.
pub(super) fn failure(rule: &RuleKey, code: &str, reason: &str, retryable: bool) -> RuleResult {
    let report = RuleReport::new(rule.clone(), RuleOutcome::Failed).because(reason);
    let mut line = RuleResult::from(report);
    line.error_code = Some(code.to_owned());
    line.retryable = retryable;
    line
}

#[cfg(test)]
mod tests;
