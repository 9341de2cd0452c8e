//! Which rules go into which call.

use crate::decide::plan::Batch;
use crate::model::{IngressRule, settable_tags};

/// The most rules of one authorize call. AWS names no limit; a feature request for ACK's EC2 controller says 1,000.
const BATCH_RULES_MAX: usize = 1_000;

/// What matters more when rules need several calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallOrder {
    /// One call for each set of tags, begun by its first rule.
    Fewest,
    /// No rule before one that goes before it, for a group that may have too little room for all.
    Strict,
}

/// Groups rules into calls: EC2 tags everything in a call alike, so rules with different tags go apart. Within a call
/// the order is kept.
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
