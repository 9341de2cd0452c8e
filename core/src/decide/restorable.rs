//! Which rules of a record could not come back if they were dropped now.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::decide::quota::{Room, prefix_lists};
use crate::desired::DesiredRecord;
use crate::model::{ActualRules, GroupId, IngressRule, PrefixListId, RuleKey, Source};

/// Why a rule could not come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Obstacle {
    /// The group or prefix list that it refers to does not exist.
    ReferenceGone,
    /// A guardrail forbids it.
    Guardrail,
    /// The group's quota has no room for it beside the rules that come before it.
    NoRoom,
}

/// A rule that could not come back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unrestorable {
    /// Why, as a code.
    pub why: Obstacle,
    /// Why, in words.
    pub reason: String,
}

/// What the rules of some records refer to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct References {
    /// Groups of the account itself. Those of other accounts cannot be seen, so nothing is known of them.
    pub groups: BTreeSet<GroupId>,
    /// Prefix lists.
    pub lists: BTreeSet<PrefixListId>,
}

impl References {
    /// Those of these rules.
    pub fn of<'r>(rules: impl Iterator<Item = &'r RuleKey> + Clone) -> Self {
        let groups = rules.clone().filter_map(own_group).cloned();
        Self {
            groups: groups.collect(),
            lists: prefix_lists(rules),
        }
    }
}

fn own_group(rule: &RuleKey) -> Option<&GroupId> {
    let group = rule.referenced_group()?;
    group.account_id.is_none().then_some(&group.group_id)
}

/// Which references exist. `None` where that could not be looked up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Existing {
    /// Groups, each with its VPC.
    pub groups: Option<BTreeMap<GroupId, String>>,
    /// Prefix lists, each with its weight.
    pub lists: Option<BTreeMap<PrefixListId, u32>>,
}

impl Existing {
    /// Whether the rule refers to something that was looked up and does not exist.
    fn lacks(&self, rule: &RuleKey) -> bool {
        match &rule.source {
            Source::PrefixList(list) => {
                let lists = self.lists.as_ref();
                lists.is_some_and(|lists| !lists.contains_key(list))
            }
            Source::ReferencedGroup(_) => own_group(rule).is_some_and(|group| {
                let groups = self.groups.as_ref();
                groups.is_some_and(|groups| !groups.contains_key(group))
            }),
            Source::Ipv4(_) | Source::Ipv6(_) => false,
        }
    }
}

/// The rules of a record, missing ones too, that could not come back if all were dropped now.
///
/// `forbidden` are those that guardrails forbid, with the reason. Live rules outside the record keep their room. A prefix
/// list of unknown weight counts once.
pub fn unrestorable(
    record: &DesiredRecord,
    actual: &ActualRules,
    existing: &Existing,
    forbidden: &BTreeMap<RuleKey, String>,
    quota: u32,
) -> BTreeMap<RuleKey, Unrestorable> {
    let mut found = BTreeMap::new();
    let mut hopeful: Vec<IngressRule> = Vec::new();
    for rule in record.rules_in_order() {
        let obstacle = match forbidden.get(&rule.key) {
            _ if existing.lacks(&rule.key) => Some((
                Obstacle::ReferenceGone,
                format!("{} does not exist", rule.key.source),
            )),
            Some(reason) => Some((Obstacle::Guardrail, reason.clone())),
            None => None,
        };
        match obstacle {
            Some((why, reason)) => {
                found.insert(rule.key.clone(), Unrestorable { why, reason });
            }
            None => hopeful.push(rule.clone()),
        }
    }
    let recorded = record.rules.values().map(|rule| &rule.key);
    let recorded: BTreeSet<&RuleKey> = recorded.collect();
    let strangers = actual.iter().filter(|live| !recorded.contains(&live.key));
    let strangers = ActualRules::new(strangers.cloned(), actual.unrecognised.clone());
    let weights = existing.lists.clone().unwrap_or_default();
    let (_, over, room) = Room::count(&strangers, quota, &weights).fill(hopeful, &weights);
    found.extend(over.into_iter().map(|rule| {
        let reason = format!("no room, with every rule of the record: {room}");
        let why = Obstacle::NoRoom;
        (rule.key, Unrestorable { why, reason })
    }));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::{FakeEc2, key, record};

    fn found(
        rules: &[&str],
        live: &[&str],
        existing: &Existing,
        quota: u32,
    ) -> Vec<(String, Obstacle)> {
        let record = record(rules);
        let actual = FakeEc2::new(live).read();
        let forbidden = [(key("tcp 22 from 0.0.0.0/0"), "forbidden".to_owned())].into();
        let found = unrestorable(&record, &actual, existing, &forbidden, quota);
        found
            .into_iter()
            .map(|(rule, it)| (rule.to_string(), it.why))
            .collect()
    }

    fn existing(groups: &[&str], lists: &[(&str, u32)]) -> Existing {
        let groups = groups
            .iter()
            .map(|id| (id.parse().expect("an id"), String::new()));
        let lists = lists
            .iter()
            .map(|(id, weight)| (id.parse().expect("an id"), *weight));
        Existing {
            groups: Some(groups.collect()),
            lists: Some(lists.collect()),
        }
    }

    #[test]
    fn references_are_the_accounts_own_groups_and_prefix_lists() {
        let rules = [
            "tcp 1 from sg-0a",
            "tcp 2 from sg-0a",
            "tcp 1 from 444455556666/sg-0c",
            "tcp 1 from pl-0a",
            "tcp 1 from 10.0.0.0/8",
        ];
        let rules = rules.map(key);
        let expected = References {
            groups: ["sg-0a".parse().expect("an id")].into(),
            lists: ["pl-0a".parse().expect("an id")].into(),
        };
        assert_eq!(References::of(rules.iter()), expected);
    }

    #[test]
    fn what_a_rule_refers_to_must_exist_as_far_as_that_can_be_seen() {
        let rules = [
            "tcp 1 from sg-0a",
            "tcp 1 from sg-0b",
            "tcp 1 from 444455556666/sg-0c",
            "tcp 1 from pl-0a",
            "tcp 1 from pl-0b",
            "tcp 22 from 0.0.0.0/0",
        ];
        let there = existing(&["sg-0a"], &[("pl-0a", 1)]);
        assert_eq!(
            found(&rules, &rules, &there, 60),
            [
                ("tcp 1 from pl-0b".to_owned(), Obstacle::ReferenceGone),
                ("tcp 1 from sg-0b".to_owned(), Obstacle::ReferenceGone),
                ("tcp 22 from 0.0.0.0/0".to_owned(), Obstacle::Guardrail),
            ]
        );
        let unknown = Existing::default();
        assert_eq!(found(&rules[..5], &rules, &unknown, 60), []);
    }

    #[test]
    fn the_last_rules_find_no_room_beside_strangers() {
        let rules = [
            "!tcp 9 from 10.0.0.0/8",
            "tcp 1 from 10.0.0.0/8",
            "tcp 2 from 10.0.0.0/8",
            "tcp 3 from ::/0",
        ];
        let plain = rules.map(|rule| rule.trim_start_matches('!'));
        let there = Existing::default();
        assert_eq!(found(&rules, &plain, &there, 3), []);
        let live = [plain[0], plain[1], "tcp 80 from 10.0.0.0/8"];
        let over = ("tcp 2 from 10.0.0.0/8".to_owned(), Obstacle::NoRoom);
        assert_eq!(found(&rules, &live, &there, 3), [over]);
    }

    #[test]
    fn a_prefix_list_takes_its_weight() {
        let rules = ["tcp 1 from pl-0a", "tcp 2 from 10.0.0.0/8"];
        let light = existing(&[], &[("pl-0a", 59)]);
        assert_eq!(found(&rules, &[], &light, 60), []);
        let heavy = existing(&[], &[("pl-0a", 60)]);
        let found = found(&rules, &[], &heavy, 60);
        assert_eq!(found.len(), 1, "{found:?}");
    }
}
