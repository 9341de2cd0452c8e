//! Counts the used quota of a security group.
//!
//! The quota of ingress rules applies to IPv4 and IPv6 separately. A CIDR counts once, in its family. A group counts
//! once in both families, and a prefix list counts its weight in both (VPC User Guide, "Amazon VPC quotas"; measured in
//! `jantman/awslimitchecker` 431).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::model::{ActualRules, IngressRule, PrefixListId, RuleKey, Source};

/// How much of a group's quota is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    quota: u32,
    ipv4: u32,
    ipv6: u32,
}

impl Room {
    /// Counts the live rules. A prefix list of unknown weight counts 1. A rule that could not be read counts 1 in both
    /// families.
    pub fn count(actual: &ActualRules, quota: u32, weights: &BTreeMap<PrefixListId, u32>) -> Self {
        let unread = u32::try_from(actual.unrecognised.len()).unwrap_or(u32::MAX);
        let mut room = Self {
            quota,
            ipv4: unread,
            ipv6: unread,
        };
        for rule in actual.iter() {
            room.add(&rule.key, weights);
        }
        room
    }

    /// Splits rules, in order, into those that fit and the rest, and returns the room after that. A rule that is too
    /// heavy does not block a lighter one after it.
    pub fn fill(
        mut self,
        rules: Vec<IngressRule>,
        weights: &BTreeMap<PrefixListId, u32>,
    ) -> (Vec<IngressRule>, Vec<IngressRule>, Self) {
        let (fitting, over) = rules.into_iter().partition(|rule| {
            let mut with_rule = self;
            with_rule.add(&rule.key, weights);
            let fits = with_rule.ipv4 <= self.quota && with_rule.ipv6 <= self.quota;
            if fits {
                self = with_rule;
            }
            fits
        });
        (fitting, over, self)
    }

    fn add(&mut self, rule: &RuleKey, weights: &BTreeMap<PrefixListId, u32>) {
        let weight = weight(rule, weights);
        if Families::of(rule).ipv4 {
            self.ipv4 = self.ipv4.saturating_add(weight);
        }
        if Families::of(rule).ipv6 {
            self.ipv6 = self.ipv6.saturating_add(weight);
        }
    }
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { quota, ipv4, ipv6 } = self;
        let left = quota.saturating_sub(*ipv4.max(ipv6));
        write!(
            f,
            "the group's rules count {ipv4} for IPv4 and {ipv6} for IPv6 of a quota of {quota}: room for {left}"
        )
    }
}

fn weight(rule: &RuleKey, weights: &BTreeMap<PrefixListId, u32>) -> u32 {
    match &rule.source {
        Source::PrefixList(list) => weights.get(list).copied().unwrap_or(1),
        _ => 1,
    }
}

/// The prefix lists that rules name.
pub fn prefix_lists<'a>(rules: impl IntoIterator<Item = &'a RuleKey>) -> BTreeSet<PrefixListId> {
    let lists = rules.into_iter().filter_map(|rule| match &rule.source {
        Source::PrefixList(list) => Some(list.clone()),
        _ => None,
    });
    lists.collect()
}

/// Address families that a rule counts for, or that are known to be full.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Families {
    ipv4: bool,
    ipv6: bool,
    /// One of the families is full, and it is not known which.
    either: bool,
}

impl Families {
    fn of(rule: &RuleKey) -> Self {
        match &rule.source {
            Source::Ipv4(_) => Self {
                ipv4: true,
                ..Self::default()
            },
            Source::Ipv6(_) => Self {
                ipv6: true,
                ..Self::default()
            },
            Source::PrefixList(_) | Source::ReferencedGroup(_) => Self {
                ipv4: true,
                ipv6: true,
                ..Self::default()
            },
        }
    }

    /// Notes that EC2 refused this rule alone because the quota is full. For a CIDR, its family is full. A group counts
    /// once in both families, so one of them is full. A prefix list may only have been too heavy.
    pub fn note_full(&mut self, rule: &RuleKey) {
        match &rule.source {
            Source::Ipv4(_) => self.ipv4 = true,
            Source::Ipv6(_) => self.ipv6 = true,
            Source::ReferencedGroup(_) => self.either = true,
            Source::PrefixList(_) => {}
        }
    }

    /// Whether a family that the rule counts for is full.
    pub fn bar(&self, rule: &RuleKey) -> bool {
        let families = Self::of(rule);
        let counts_in_both = families.ipv4 && families.ipv6;
        self.ipv4 && families.ipv4 || self.ipv6 && families.ipv6 || self.either && counts_in_both
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ActualRule, Tags};

    fn keys(rules: &[&str]) -> Vec<RuleKey> {
        rules
            .iter()
            .map(|rule| rule.parse().expect("rule notation"))
            .collect()
    }

    fn live(rules: &[&str]) -> ActualRules {
        let rules = keys(rules).into_iter().map(|key| ActualRule {
            id: None,
            key,
            description: None,
            tags: Tags::new(),
            reference_owner_unknown: false,
        });
        ActualRules::new(rules, Vec::new())
    }

    fn filled(
        quota: u32,
        actual: &[&str],
        wanted: &[&str],
        weights: &[(&str, u32)],
    ) -> Vec<String> {
        let weights = weights
            .iter()
            .map(|(id, weight)| (id.parse().expect("an id"), *weight))
            .collect();
        let wanted = keys(wanted).into_iter().map(IngressRule::bare).collect();
        let (fitting, _, _) = Room::count(&live(actual), quota, &weights).fill(wanted, &weights);
        fitting.iter().map(|rule| rule.key.to_string()).collect()
    }

    #[test]
    fn families_have_room_of_their_own() {
        let actual = ["tcp 1 from 10.0.0.0/8", "tcp 2 from 10.0.0.0/8"];
        let wanted = [
            "tcp 3 from 10.0.0.0/8",
            "tcp 3 from ::/0",
            "tcp 4 from ::/0",
            "tcp 5 from ::/0",
        ];
        assert_eq!(
            filled(2, &actual, &wanted, &[]),
            ["tcp 3 from ::/0", "tcp 4 from ::/0"]
        );
    }

    #[test]
    fn groups_and_prefix_lists_count_in_both_families() {
        let actual = ["tcp 1 from sg-0a", "tcp 1 from pl-0a"];
        let wanted = [
            "tcp 3 from 10.0.0.0/8",
            "tcp 3 from ::/0",
            "tcp 4 from sg-0b",
        ];
        assert_eq!(
            filled(12, &actual, &wanted, &[("pl-0a", 10)]),
            ["tcp 3 from 10.0.0.0/8", "tcp 3 from ::/0"]
        );
    }

    #[test]
    fn a_heavy_rule_does_not_keep_a_light_one_out() {
        let wanted = ["tcp 443 from pl-0a", "tcp 443 from 10.0.0.0/8"];
        assert_eq!(
            filled(60, &[], &wanted, &[("pl-0a", 61)]),
            ["tcp 443 from 10.0.0.0/8"]
        );
        assert_eq!(
            filled(60, &[], &wanted, &[("pl-0a", 60)]),
            ["tcp 443 from pl-0a"]
        );
    }

    #[test]
    fn a_full_family_bars_what_counts_for_it() {
        let [v4, v6, group] = &keys(&[
            "tcp 1 from 10.0.0.0/8",
            "tcp 1 from ::/0",
            "tcp 1 from sg-0a",
        ])[..] else {
            panic!("three rules");
        };
        let mut full = Families::default();
        full.note_full(group);
        assert!(
            full.bar(group) && !full.bar(v4) && !full.bar(v6),
            "a group does not tell which family is full"
        );
        full.note_full(v4);
        assert!(full.bar(v4) && full.bar(group) && !full.bar(v6));
    }
}
