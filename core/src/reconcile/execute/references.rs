//! Handles a referenced group or a prefix list that does not exist.

use std::collections::BTreeSet;

use super::{Attempt, Executor, failure};
use crate::decide::quota::prefix_lists;
use crate::model::{GroupId, GroupRef, IngressRule, Source};
use crate::ports::{ApiError, SecurityGroups};

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
        let target_seen = self.execution.last_restored.is_some()
            || self.existing.contains(&own_reference(target));
        if self.lookup_failed || wanted.is_empty() && target_seen {
            return self.isolate(attempt, error);
        }
        wanted.insert(target.clone());
        let Ok(existing) = self.ec2.existing_groups(&wanted).await else {
            self.lookup_failed = true;
            return self.isolate(attempt, error);
        };
        if !existing.contains(target) {
            self.execution.group_gone = true;
            return self.fail_everything(attempt, error, false);
        }
        let missing = |rule: &IngressRule| {
            own(rule).is_some_and(|id| wanted.contains(&id) && !existing.contains(&id))
        };
        self.existing.extend(existing.iter().map(own_reference));
        self.without_missing(attempt, missing, error);
    }

    pub(super) async fn on_prefix_list_not_found(&mut self, attempt: Attempt, error: &ApiError) {
        let rules = attempt.batch.rules.iter().map(|rule| &rule.key);
        let wanted = prefix_lists(rules.filter(|key| !self.existing.contains(&key.source)));
        if self.lookup_failed || wanted.is_empty() {
            return self.isolate(attempt, error);
        }
        let Ok(existing) = self.ec2.prefix_lists(&wanted).await else {
            self.lookup_failed = true;
            return self.isolate(attempt, error);
        };
        let missing = |rule: &IngressRule| match &rule.key.source {
            Source::PrefixList(list) => wanted.contains(list) && !existing.contains_key(list),
            _ => false,
        };
        self.existing
            .extend(existing.keys().cloned().map(Source::PrefixList));
        self.without_missing(attempt, missing, error);
    }

    /// Fails the rules whose reference is missing and tries the others again. If none is missing, the refusal has
    /// another cause, and halving finds the rule.
    fn without_missing(
        &mut self,
        attempt: Attempt,
        missing: impl Fn(&IngressRule) -> bool,
        error: &ApiError,
    ) {
        let (bad, good): (Vec<_>, Vec<_>) = attempt.batch.rules.iter().cloned().partition(missing);
        if bad.is_empty() {
            return self.isolate(attempt, error);
        }
        for rule in &bad {
            self.context
                .missing
                .remember(&self.context.group.scope, &rule.key.source);
            self.fail_for_missing_reference(rule);
        }
        if !good.is_empty() {
            self.queue.push_front(attempt.with_rules(good));
        }
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
