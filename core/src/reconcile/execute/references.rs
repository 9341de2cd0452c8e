//! Handles a referenced group or a prefix list that does not exist.

use std::collections::BTreeSet;

use super::{Attempt, CONTRADICTED_MAX, Executor, failure};
use crate::decide::quota::prefix_lists;
use crate::model::{GroupId, GroupRef, IngressRule, Source};
use crate::ports::{ApiError, SecurityGroups, Verdict};

impl<E: SecurityGroups> Executor<'_, E> {
    /// EC2 did not find a group: ours, or one that a rule references. One lookup shows which groups exist. It does not
    /// show groups of other accounts, so their absence proves nothing.
    pub(super) async fn on_group_not_found(&mut self, attempt: Attempt, error: &ApiError) {
        let target = &self.context.group.id;
        let own = |rule: &IngressRule| {
            let group = rule.key.referenced_group()?;
            group.account_id.is_none().then(|| group.group_id.clone())
        };
        let is_new = |rule: &&IngressRule| !self.existing.contains(&rule.key.source);
        let mut wanted: BTreeSet<_> = attempt
            .batch
            .rules
            .iter()
            .filter(is_new)
            .filter_map(own)
            .collect();
        let target_seen = self.execution.last_restored.is_some() || self.vpcs.contains_key(target);
        if self.lookup_failed {
            return self.isolate(attempt, error);
        }
        if wanted.is_empty() && target_seen {
            return self.on_contradiction(attempt, error);
        }
        wanted.insert(target.clone());
        let lookup = self.ec2.existing_groups(&wanted);
        let Some(existing) = self.in_short(lookup).await else {
            self.lookup_failed = true;
            return self.isolate(attempt, error);
        };
        if !existing.contains_key(target) {
            self.execution.group_gone = true;
            return self.fail_everything(attempt, error, false);
        }
        let missing = |rule: &IngressRule| {
            own(rule).is_some_and(|id| wanted.contains(&id) && !existing.contains_key(&id))
        };
        let shown: Vec<Source> = existing.keys().map(own_reference).collect();
        self.vpcs.extend(existing.clone());
        self.without_missing(attempt, shown, missing, error);
    }

    pub(super) async fn on_prefix_list_not_found(&mut self, attempt: Attempt, error: &ApiError) {
        let rules = attempt.batch.rules.iter().map(|rule| &rule.key);
        let wanted = prefix_lists(rules.filter(|key| !self.existing.contains(&key.source)));
        if self.lookup_failed {
            return self.isolate(attempt, error);
        }
        if wanted.is_empty() {
            return self.on_contradiction(attempt, error);
        }
        let lookup = self.ec2.prefix_lists(&wanted);
        let Some(existing) = self.in_short(lookup).await else {
            self.lookup_failed = true;
            return self.isolate(attempt, error);
        };
        let missing = |rule: &IngressRule| match &rule.key.source {
            Source::PrefixList(list) => wanted.contains(list) && !existing.contains_key(list),
            _ => false,
        };
        let shown: Vec<Source> = existing.keys().cloned().map(Source::PrefixList).collect();
        self.without_missing(attempt, shown, missing, error);
    }

    /// Fails the rules whose reference is missing and tries the others again. `shown` is what the lookup shows.
    fn without_missing(
        &mut self,
        attempt: Attempt,
        shown: Vec<Source>,
        missing: impl Fn(&IngressRule) -> bool,
        error: &ApiError,
    ) {
        let (memory, scope) = (self.context.missing, &self.context.group.scope);
        for source in &shown {
            memory.forget(scope, source);
        }
        self.existing.extend(shown);
        let (bad, good): (Vec<_>, Vec<_>) = attempt.batch.rules.iter().cloned().partition(missing);
        if bad.is_empty() {
            return self.on_contradiction(attempt, error);
        }
        for rule in &bad {
            memory.remember(scope, &rule.key.source);
            self.fail_for_missing_reference(rule);
        }
        if !good.is_empty() {
            self.queue.push_front(attempt.with_rules(good));
        }
    }

    /// EC2 says that something does not exist, and shows all that we can ask about. It may have been made a moment ago
    /// (EC2 Developer Guide, "Error codes for the Amazon EC2 API", `InvalidGroup.NotFound`; "Eventual consistency"), so
    /// its rules are tried again later, and fail for a passing reason. Not those that refer to a group of another account
    /// or of another VPC: we cannot see the first, and the second may not be connected any more.
    fn on_contradiction(&mut self, attempt: Attempt, error: &ApiError) {
        let refers = |rule: &IngressRule| {
            matches!(
                (&rule.key.source, error.verdict()),
                (Source::PrefixList(_), Verdict::PrefixListNotFound)
                    | (Source::ReferencedGroup(_), Verdict::GroupNotFound)
            )
        };
        let rules = attempt.batch.rules.iter().cloned();
        let (referring, others): (Vec<_>, Vec<_>) = rules.partition(refers);
        match (&referring[..], &others[..]) {
            ([_, ..], [_, ..]) => {
                for rules in [referring, others] {
                    self.queue.push_front(attempt.with_rules(rules));
                }
            }
            ([_, _, ..], []) => self.halve(attempt),
            ([rule], []) if !self.is_shown_nearby(&rule.key.source) => self.isolate(attempt, error),
            _ if attempt.contradicted < CONTRADICTED_MAX => self.later.push(Attempt {
                contradicted: attempt.contradicted + 1,
                ..attempt
            }),
            _ => {
                let reason = format!("{}, and EC2 shows it: it may be new", error.message);
                for rule in &attempt.batch.rules {
                    let line = failure(&rule.key, error.code(), &reason, true);
                    self.execution.reports.insert(rule.key.clone(), line);
                }
            }
        }
    }

    /// Whether a lookup shows the list, or the group in the VPC of the group itself.
    fn is_shown_nearby(&self, source: &Source) -> bool {
        let Source::ReferencedGroup(reference) = source else {
            return true;
        };
        let own = self.vpcs.get(&self.context.group.id);
        reference.account_id.is_none() && own.is_some() && self.vpcs.get(&reference.group_id) == own
    }

    pub(super) fn fail_for_missing_reference(&mut self, rule: &IngressRule) {
        let code = match &rule.key.source {
            Source::PrefixList(_) => "InvalidPrefixListID.NotFound",
            _ => "InvalidGroup.NotFound",
        };
        let reason = format!("{} does not exist", rule.key.source);
        let mut line = failure(&rule.key, code, &reason, false);
        line.reference_gone = true;
        self.execution.reports.insert(rule.key.clone(), line);
    }
}

fn own_reference(group: &GroupId) -> Source {
    Source::ReferencedGroup(GroupRef {
        group_id: group.clone(),
        account_id: None,
    })
}
