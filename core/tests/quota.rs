//! What fits into a group's quota, against a ledger that counts as EC2 does: every group of up to three live rules, every
//! list of up to three wanted ones, and every small quota.

use std::collections::BTreeMap;

use rulekeeper_core::decide::quota::{Families, Room};
use rulekeeper_core::model::{ActualRule, ActualRules, IngressRule, PrefixListId, RuleKey, Tags};

/// One of each kind, and what it counts for IPv4 and for IPv6.
const KINDS: [(&str, u32, u32); 5] = [
    ("tcp PORT from 10.0.0.0/8", 1, 0),
    ("tcp PORT from 2001:db8::/32", 0, 1),
    ("tcp PORT from sg-0a", 1, 1),
    ("tcp PORT from pl-0a", 2, 2),
    ("tcp PORT from pl-0b", 3, 3),
];

const QUOTAS: std::ops::Range<u32> = 0..8;

/// A kind's rule with a port of its own.
fn rule(kind: usize, port: usize) -> RuleKey {
    let text = KINDS[kind].0.replace("PORT", &(port + 1).to_string());
    text.parse().expect("rule notation")
}

fn weights() -> BTreeMap<PrefixListId, u32> {
    [("pl-0a", 2), ("pl-0b", 3)]
        .map(|(list, weight)| (list.parse().expect("a prefix list"), weight))
        .into()
}

/// Every list of up to three kinds.
fn lists() -> Vec<Vec<usize>> {
    let mut lists = vec![Vec::new()];
    let mut last = lists.clone();
    for _ in 0..3 {
        let longer = last
            .iter()
            .flat_map(|list| (0..KINDS.len()).map(move |kind| [list.as_slice(), &[kind]].concat()));
        last = longer.collect();
        lists.extend(last.clone());
    }
    lists
}

/// Whether EC2 accepts rules of these kinds together.
fn is_accepted(kinds: impl IntoIterator<Item = usize> + Clone, quota: u32) -> bool {
    let ipv4: u32 = kinds.clone().into_iter().map(|kind| KINDS[kind].1).sum();
    let ipv6: u32 = kinds.into_iter().map(|kind| KINDS[kind].2).sum();
    ipv4 <= quota && ipv6 <= quota
}

fn live(kinds: &[usize]) -> ActualRules {
    let rules = kinds.iter().enumerate().map(|(port, kind)| ActualRule {
        id: None,
        key: rule(*kind, port),
        description: None,
        tags: Tags::new(),
        reference_owner_unknown: false,
    });
    ActualRules::new(rules, Vec::new())
}

#[test]
fn what_is_said_to_fit_is_what_ec2_accepts_one_after_the_other() {
    let (lists, weights) = (lists(), weights());
    let mut tried = 0;
    for present in &lists {
        for wanted in &lists {
            for quota in QUOTAS.filter(|quota| is_accepted(present.iter().copied(), *quota)) {
                let mut accepted = present.clone();
                let (mut fits, mut rest) = (Vec::new(), Vec::new());
                for (place, kind) in wanted.iter().enumerate() {
                    let rule = rule(*kind, 100 + place);
                    let with_it = accepted.iter().copied().chain([*kind]);
                    match is_accepted(with_it, quota) {
                        true => {
                            accepted.push(*kind);
                            fits.push(rule);
                        }
                        false => rest.push(rule),
                    }
                }
                let asked = wanted.iter().enumerate();
                let asked = asked.map(|(place, kind)| IngressRule::bare(rule(*kind, 100 + place)));
                let room = Room::count(&live(present), quota, &weights);
                let (fitting, over, _) = room.fill(asked.collect(), &weights);
                let keys = |rules: Vec<IngressRule>| -> Vec<RuleKey> {
                    rules.into_iter().map(|rule| rule.key).collect()
                };
                let said = (keys(fitting), keys(over));
                assert_eq!(said, (fits, rest), "{present:?}, {wanted:?}, quota {quota}");
                tried += 1;
            }
        }
    }
    assert!(tried > 50_000, "only {tried} were tried");
}

#[test]
fn a_rule_is_left_out_after_a_refusal_only_if_ec2_would_refuse_it_too() {
    let mut barred = 0;
    for present in lists() {
        for quota in QUOTAS.filter(|quota| is_accepted(present.iter().copied(), *quota)) {
            let would_take =
                |kind: usize| is_accepted(present.iter().copied().chain([kind]), quota);
            for refused in (0..KINDS.len()).filter(|kind| !would_take(*kind)) {
                let mut full = Families::default();
                full.note_full(&rule(refused, 100));
                for other in 0..KINDS.len() {
                    if full.bar(&rule(other, 101)) {
                        assert!(
                            !would_take(other),
                            "{present:?}, {refused}, {other}, {quota}"
                        );
                        barred += 1;
                    }
                }
            }
        }
    }
    assert!(barred > 100, "only {barred} were left out");
}
