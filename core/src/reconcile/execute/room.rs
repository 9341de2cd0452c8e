//! Handles a group that has reached its quota.

use std::collections::{BTreeMap, BTreeSet};

use super::batches::{CallOrder, batches};
use super::{Attempt, Executor, failure};
use crate::decide::quota::{Room, prefix_lists};
use crate::model::{IngressRule, RuleKey};
use crate::ports::SecurityGroups;

impl<E: SecurityGroups> Executor<'_, E> {
    /// The group has no room for the batch. Counts the room, authorizes the rules that fit in order of priority, and
    /// asks EC2 about one more rule, because the account's real quota may differ from the configured one.
    pub(super) async fn on_quota_full(&mut self, attempt: Attempt) {
        if self.order != CallOrder::Strict && !self.queue.is_empty() {
            return self.begin_in_strict_order(attempt);
        }
        if attempt.room_counted {
            if let [rule] = &attempt.batch.rules[..] {
                self.full.note_full(&rule.key);
                return self.fail_for_room(rule);
            }
            return self.halve(attempt);
        }
        let actual = match self.read().await {
            Ok(actual) => actual,
            Err(read_error) => {
                return self.fail_everything(attempt, &read_error, read_error.is_retryable());
            }
        };
        let Some(mut attempt) = self.resolve_with(&actual, attempt, "an earlier call took effect")
        else {
            return;
        };
        let named = actual
            .iter()
            .map(|rule| &rule.key)
            .chain(attempt.batch.rules.iter().map(|rule| &rule.key));
        let lists = prefix_lists(named);
        let weights = match lists.is_empty() {
            true => BTreeMap::new(),
            false => {
                let weights = self.in_short(self.ec2.prefix_lists(&lists)).await;
                weights.unwrap_or_default()
            }
        };
        let room = Room::count(&actual, self.context.quota, &weights);
        attempt.room_counted = true;
        let (fitting, mut over, room) = room.fill(attempt.batch.rules.clone(), &weights);
        self.room = Some(room);
        if over.is_empty() {
            // All rules fit by our count, so the real quota is lower than the configured one.
            return self.halve(attempt);
        }
        let rest = over.split_off(1);
        for rules in [rest, over, fitting] {
            if !rules.is_empty() {
                self.queue.push_front(attempt.with_rules(rules));
            }
        }
    }

    /// The room is short against our count. Groups all rules that wait into calls anew, in the order of the rules.
    fn begin_in_strict_order(&mut self, attempt: Attempt) {
        self.order = CallOrder::Strict;
        let attempts = std::iter::once(attempt).chain(std::mem::take(&mut self.queue));
        let waiting = attempts.flat_map(|attempt| attempt.batch.rules);
        let waiting: BTreeSet<RuleKey> = waiting.map(|rule| rule.key).collect();
        let mut rules: Vec<IngressRule> = Vec::new();
        for rule in self.context.record.rules_in_order() {
            if waiting.contains(&rule.key) {
                rules.push(rule.clone());
            }
        }
        let calls = batches(&rules, CallOrder::Strict).into_iter();
        self.queue = calls.map(Attempt::new).collect();
    }

    pub(super) fn fail_for_room(&mut self, rule: &IngressRule) {
        let reason = match &self.room {
            Some(room) => format!("no room: {room}"),
            None => "no room in the group".to_owned(),
        };
        let line = failure(
            &rule.key,
            "RulesPerSecurityGroupLimitExceeded",
            &reason,
            false,
        );
        self.execution.reports.insert(rule.key.clone(), line);
    }
}
