//! Groups rules into calls.

use crate::decide::plan::Batch;
use crate::decide::quota::prefix_lists;
use crate::model::{ActualRules, IngressRule, settable_tags};

/// The most rules of one authorize call. AWS documents no limit; a feature request for ACK's EC2 controller says 1,000.
const BATCH_RULES_MAX: usize = 1_000;

/// What matters more if the rules need several calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallOrder {
    /// As few calls as possible: one for each set of tags, in the order of their first rules.
    Fewest,
    /// As few calls as possible among rules of one priority, for a group with prefix lists: their weights are not known
    /// without a call, so the room may be short.
    ByPriority,
    /// The order of the rules, for a group that has no room for all of them.
    Strict,
}

impl CallOrder {
    /// The order for rules that are added to the live ones.
    pub(super) fn of(actual: &ActualRules, rules: &[IngressRule], quota: u32) -> Self {
        let live = actual.iter().map(|live| &live.key);
        let keys: Vec<_> = live.chain(rules.iter().map(|rule| &rule.key)).collect();
        let count = keys.len() + actual.unrecognised.len();
        if count > usize::try_from(quota).unwrap_or(usize::MAX) {
            Self::Strict
        } else if prefix_lists(keys).is_empty() {
            Self::Fewest
        } else {
            Self::ByPriority
        }
    }
}

/// Groups rules into calls. EC2 gives all rules of a call the same tags, so rules with different tags go into different
/// calls. Within a call the order stays.
pub(super) fn batches(rules: &[IngressRule], order: CallOrder) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    let (mut priority, mut of_priority) = (None, 0);
    for rule in rules {
        if priority.replace(rule.priority) != Some(rule.priority) {
            of_priority = batches.len().saturating_sub(1);
        }
        let tags = settable_tags(&rule.tags);
        let may_join = match order {
            CallOrder::Fewest => 0,
            CallOrder::ByPriority => of_priority,
            CallOrder::Strict => batches.len().saturating_sub(1),
        };
        let open = batches[may_join..]
            .iter_mut()
            .find(|batch| batch.tags == tags && batch.rules.len() < BATCH_RULES_MAX);
        match open {
            Some(batch) => batch.rules.push(rule.clone()),
            None => batches.push(Batch {
                rules: vec![rule.clone()],
                tags,
            }),
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::{FakeEc2, record};

    #[test]
    fn rules_with_different_tags_go_in_different_calls() {
        let record = record(&[
            "tcp 1 from 10.0.0.0/8 #a",
            "tcp 2 from 10.0.0.0/8",
            "tcp 3 from 10.0.0.0/8 #a,aws:x",
        ]);
        let rules: Vec<_> = record.rules_in_order().into_iter().cloned().collect();
        let calls: Vec<Vec<String>> = batches(&rules, CallOrder::Fewest)
            .iter()
            .map(|batch| {
                batch
                    .rules
                    .iter()
                    .map(|rule| rule.key.to_string())
                    .collect()
            })
            .collect();
        assert_eq!(
            calls,
            [
                vec!["tcp 1 from 10.0.0.0/8", "tcp 3 from 10.0.0.0/8"],
                vec!["tcp 2 from 10.0.0.0/8"]
            ]
        );
    }

    #[test]
    fn the_order_matters_from_the_first_rule_on_that_finds_no_room() {
        let live = |rules: &[&str], unrecognised: usize| {
            let mut actual = FakeEc2::new(rules).read();
            actual.unrecognised = vec!["an odd rule".to_owned(); unrecognised];
            actual
        };
        let two = record(&["tcp 1 from 10.0.0.0/8", "tcp 2 from 10.0.0.0/8"]);
        let two: Vec<_> = two.rules_in_order().into_iter().cloned().collect();
        for (rules, unrecognised, order) in [
            (&["tcp 9 from 10.0.0.0/8"][..], 1, CallOrder::Fewest),
            (&["tcp 9 from 10.0.0.0/8"], 2, CallOrder::Strict),
            (&["tcp 9 from pl-0a"], 1, CallOrder::ByPriority),
        ] {
            let found = CallOrder::of(&live(rules, unrecognised), &two, 4);
            assert_eq!(found, order, "{rules:?} {unrecognised}");
        }
    }

    #[test]
    fn a_call_holds_a_thousand_rules_at_most() {
        let ports: Vec<_> = (0..1_001)
            .map(|port| format!("tcp {port} from ::/0"))
            .collect();
        let ports: Vec<_> = ports.iter().map(String::as_str).collect();
        let record = record(&ports);
        let rules: Vec<_> = record.rules.values().cloned().collect();
        let calls = batches(&rules, CallOrder::Fewest);
        let sizes: Vec<_> = calls.iter().map(|it| it.rules.len()).collect();
        assert_eq!(sizes, [1_000, 1]);
    }

    #[test]
    fn no_call_holds_a_rule_before_one_of_higher_priority() {
        let record = record(&[
            "!tcp 1 from 10.0.0.0/8 #a",
            "!tcp 2 from 10.0.0.0/8 #b",
            "tcp 3 from 10.0.0.0/8 #a",
            "tcp 4 from 10.0.0.0/8 #c",
            "tcp 5 from 10.0.0.0/8 #a",
        ]);
        let rules: Vec<_> = record.rules_in_order().into_iter().cloned().collect();
        let sizes = |order| {
            let calls = batches(&rules, order);
            calls.iter().map(|it| it.rules.len()).collect::<Vec<_>>()
        };
        assert_eq!(sizes(CallOrder::Fewest), [3, 1, 1]);
        assert_eq!(sizes(CallOrder::ByPriority), [1, 1, 2, 1]);
        assert_eq!(sizes(CallOrder::Strict), [1, 1, 1, 1, 1]);
    }
}
