//! The actual rules of a group: the rules that EC2 reports, as our types.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{GroupRef, RuleId, RuleKey, Source, Tags};

/// One live ingress rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActualRule {
    /// The rule's id, if EC2 gave one.
    pub id: Option<RuleId>,
    /// Identity.
    pub key: RuleKey,
    /// Free text.
    pub description: Option<String>,
    /// Tags.
    pub tags: Tags,
    /// EC2 named no owner for the referenced group, because that group was deleted (EC2 API Reference,
    /// `ReferencedSecurityGroup`). The group may have belonged to any account.
    pub reference_owner_unknown: bool,
}

/// Every live ingress rule of one group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ActualRules {
    rules: BTreeMap<RuleKey, ActualRule>,
    /// Live rules that could not be read, as text. They are reported and never guessed at.
    pub unrecognised: Vec<String>,
}

impl ActualRules {
    /// Collects live rules, and the texts of rules that could not be read.
    pub fn new(rules: impl IntoIterator<Item = ActualRule>, unrecognised: Vec<String>) -> Self {
        let rules = rules
            .into_iter()
            .map(|rule| (rule.key.clone(), rule))
            .collect();
        Self {
            rules,
            unrecognised,
        }
    }

    /// The live rule with this identity.
    ///
    /// A live reference whose owner EC2 no longer names matches the same group id in any account. Group ids are not
    /// reused, and EC2 would refuse to authorize the rule as a duplicate.
    pub fn get(&self, key: &RuleKey) -> Option<&ActualRule> {
        self.rules.get(key).or_else(|| {
            let Source::ReferencedGroup(GroupRef {
                group_id,
                account_id: Some(_),
            }) = &key.source
            else {
                return None;
            };
            let ownerless = RuleKey {
                protocol: key.protocol,
                source: Source::ReferencedGroup(GroupRef {
                    group_id: group_id.clone(),
                    account_id: None,
                }),
            };
            self.rules
                .get(&ownerless)
                .filter(|rule| rule.reference_owner_unknown)
        })
    }

    /// Whether the group holds this rule.
    pub fn contains(&self, key: &RuleKey) -> bool {
        self.get(key).is_some()
    }

    /// The same rules without those that have one of these ids. The ids were revoked, so the read was stale.
    pub fn without(mut self, revoked: &BTreeSet<RuleId>) -> Self {
        self.rules
            .retain(|_, rule| rule.id.as_ref().is_none_or(|id| !revoked.contains(id)));
        self
    }

    /// The live rules in order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = &ActualRule> {
        self.rules.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(rule: &str, reference_owner_unknown: bool) -> ActualRules {
        let rule = ActualRule {
            id: None,
            key: rule.parse().expect("rule notation"),
            description: None,
            tags: Tags::new(),
            reference_owner_unknown,
        };
        ActualRules::new([rule], Vec::new())
    }

    #[test]
    fn a_stale_reference_stands_for_the_recorded_group_of_another_account() {
        let recorded: RuleKey = "tcp 443 from 444455556666/sg-0a"
            .parse()
            .expect("rule notation");
        assert!(live("tcp 443 from sg-0a", true).contains(&recorded));
        assert!(!live("tcp 443 from sg-0a", false).contains(&recorded));
        assert!(!live("tcp 443 from sg-0b", true).contains(&recorded));
        assert!(!live("tcp 444 from sg-0a", true).contains(&recorded));
    }
}
