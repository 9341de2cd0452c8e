//! Groups rules into calls.

use crate::decide::plan::Batch;
use crate::model::{IngressRule, settable_tags};

/// The most rules of one authorize call. AWS documents no limit; a feature request for ACK's EC2 controller says 1,000.
const BATCH_RULES_MAX: usize = 1_000;

/// What matters more if the rules need several calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallOrder {
    /// As few calls as possible: one for each set of tags, in the order of their first rules.
    Fewest,
    /// The order of the rules, for a group that may not have room for all of them.
    Strict,
}

/// Groups rules into calls. EC2 gives all rules of a call the same tags, so rules with different tags go into different
/// calls. Within a call the order stays.
pub(super) fn batches(rules: &[IngressRule], order: CallOrder) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    for rule in rules {
        let tags = settable_tags(&rule.tags);
        let may_join = match order {
            CallOrder::Fewest => 0,
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
    use crate::fakes::record;

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
}
