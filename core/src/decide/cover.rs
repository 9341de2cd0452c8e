//! Whether some rules together allow everything that another rule allows.
//!
//! A rule is a rectangle: ports (or ICMP messages) in one direction, addresses in the other. A CIDR is covered if this
//! holds for each of its addresses: the port ranges of the rules with that address together contain the wanted range.
//! Prefixes nest, so the CIDR is halved until no rule is narrower than the half.

use std::ops::RangeInclusive;

use crate::model::{RuleKey, Source};

/// Rules among `others` that together allow everything that `wanted` allows: one if one is enough, else some of which
/// none can be left out. `None` if all of them do not.
///
/// A group or prefix list covers only itself, because its addresses are not known here.
pub fn covering<'a>(
    wanted: &RuleKey,
    others: impl IntoIterator<Item = &'a RuleKey>,
) -> Option<Vec<&'a RuleKey>> {
    let target = Block::of(&wanted.source);
    let relevant: Vec<Piece<'a>> = others
        .into_iter()
        .filter_map(|key| {
            let ports = key.protocol.span_within(&wanted.protocol)?;
            let block = match (target, Block::of(&key.source)) {
                (Some(target), Some(block)) if target.meets(block) => block,
                (None, None) if key.source == wanted.source => Block::POINT,
                _ => return None,
            };
            Some(Piece { key, ports, block })
        })
        .collect();
    let covers = |pieces: &[&Piece<'a>]| {
        let target = target.unwrap_or(Block::POINT);
        covers(target, &wanted.protocol.span(), pieces)
    };
    let mut pieces: Vec<&Piece<'a>> = relevant.iter().collect();
    if !covers(&pieces) {
        return None;
    }
    if let Some(alone) = pieces.iter().copied().find(|piece| covers(&[piece])) {
        return Some(vec![alone.key]);
    }
    for place in (0..pieces.len()).rev() {
        let left_out = pieces.remove(place);
        if !covers(&pieces) {
            pieces.insert(place, left_out);
        }
    }
    Some(pieces.into_iter().map(|piece| piece.key).collect())
}

/// A rule as a rectangle.
struct Piece<'a> {
    key: &'a RuleKey,
    ports: RangeInclusive<u32>,
    block: Block,
}

/// A prefix of addresses: its bits from the left, and how many of them count. A block has a family, so IPv4 and IPv6
/// blocks never overlap.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Block {
    family: u8,
    bits: u128,
    len: u8,
}

impl Block {
    /// Stands for an indivisible source: a group or a prefix list.
    const POINT: Self = Self {
        family: 0,
        bits: 0,
        len: 0,
    };

    fn of(source: &Source) -> Option<Self> {
        match source {
            Source::Ipv4(net) => Some(Self {
                family: 4,
                bits: u128::from(net.addr().to_bits()) << 96,
                len: net.prefix_len(),
            }),
            Source::Ipv6(net) => Some(Self {
                family: 6,
                bits: net.addr().to_bits(),
                len: net.prefix_len(),
            }),
            Source::PrefixList(_) | Source::ReferencedGroup(_) => None,
        }
    }

    fn contains(self, other: Self) -> bool {
        let differing = self.bits ^ other.bits;
        self.family == other.family
            && self.len <= other.len
            && (self.len == 0 || differing >> (128 - u32::from(self.len)) == 0)
    }

    fn meets(self, other: Self) -> bool {
        self.contains(other) || other.contains(self)
    }

    /// Both halves. The caller halves only while a narrower block is inside, so the length stays below the family's
    /// limit.
    fn halves(self) -> [Self; 2] {
        let len = self.len + 1;
        let right = self.bits + (1 << (128 - u32::from(len)));
        [
            Self { len, ..self },
            Self {
                len,
                bits: right,
                ..self
            },
        ]
    }
}

fn covers(target: Block, ports: &RangeInclusive<u32>, pieces: &[&Piece<'_>]) -> bool {
    let holding_all = pieces.iter().filter(|piece| piece.block.contains(target));
    if joined(holding_all.map(|piece| &piece.ports), ports) {
        return true;
    }
    let narrower = pieces.iter().any(|piece| !piece.block.contains(target));
    narrower
        && target.halves().into_iter().all(|half| {
            let inside: Vec<&Piece<'_>> = pieces
                .iter()
                .copied()
                .filter(|piece| piece.block.meets(half))
                .collect();
            covers(half, ports, &inside)
        })
}

/// Whether the ranges together contain `wanted`.
fn joined<'r>(
    ranges: impl Iterator<Item = &'r RangeInclusive<u32>>,
    wanted: &RangeInclusive<u32>,
) -> bool {
    let mut ranges: Vec<_> = ranges.collect();
    ranges.sort_by_key(|range| *range.start());
    let mut next = *wanted.start();
    for range in ranges {
        if *range.start() > next {
            break;
        }
        next = next.max(range.end().saturating_add(1));
    }
    next > *wanted.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covered(wanted: &str, by: &[&str]) -> bool {
        let by: Vec<RuleKey> = by
            .iter()
            .map(|rule| rule.parse().expect("rule notation"))
            .collect();
        covering(&wanted.parse().expect("rule notation"), &by).is_some()
    }

    #[test]
    fn one_wider_rule_covers() {
        assert!(covered(
            "tcp 80-9093 from sg-0a",
            &["tcp 80-9100 from sg-0a"]
        ));
        assert!(covered(
            "tcp 443 from 10.1.0.0/16",
            &["tcp 443 from 10.0.0.0/8"]
        ));
        assert!(covered("tcp 443 from 10.1.0.0/16", &["all from 0.0.0.0/0"]));
        assert!(covered("icmp 8/0 from ::/0", &["icmp 8/-1 from ::/0"]));
        assert!(covered("50 from pl-0a", &["all from pl-0a"]));
        assert!(covered("all from pl-0a", &["all from pl-0a"]));
    }

    #[test]
    fn several_rules_cover_over_ports() {
        assert!(covered(
            "tcp 80-90 from sg-0a",
            &["tcp 85-99 from sg-0a", "tcp 1-84 from sg-0a"]
        ));
        assert!(!covered(
            "tcp 80-90 from sg-0a",
            &["tcp 86-99 from sg-0a", "tcp 1-84 from sg-0a"]
        ));
    }

    #[test]
    fn several_rules_cover_over_addresses() {
        let halves = ["tcp 443 from 10.0.0.0/9", "tcp 443 from 10.128.0.0/9"];
        assert!(covered("tcp 443 from 10.0.0.0/8", &halves));
        assert!(!covered("tcp 443 from 10.0.0.0/8", &halves[..1]));
        assert!(covered(
            "tcp 443 from ::/0",
            &["tcp 443 from ::/1", "tcp 443 from 8000::/1"]
        ));
    }

    #[test]
    fn several_rules_cover_over_ports_and_addresses_together() {
        let pieces = [
            "tcp 80-85 from 10.0.0.0/8",
            "tcp 86-90 from 10.0.0.0/9",
            "udp 86-90 from 10.128.0.0/9",
            "tcp 86-88 from 10.128.0.0/9",
            "tcp 88-99 from 10.128.0.0/10",
            "all from 10.192.0.0/10",
        ];
        assert!(covered("tcp 80-90 from 10.0.0.0/8", &pieces));
        for left_out in [0, 1, 3, 4, 5] {
            let mut fewer = pieces.to_vec();
            fewer.remove(left_out);
            assert!(
                !covered("tcp 80-90 from 10.0.0.0/8", &fewer),
                "without {}",
                pieces[left_out]
            );
        }
    }

    #[test]
    fn a_cover_names_no_more_than_it_takes() {
        let named = |by: &[&str]| {
            let by: Vec<RuleKey> = by
                .iter()
                .map(|rule| rule.parse().expect("a rule"))
                .collect();
            let wanted = "tcp 80-90 from 10.0.0.0/8".parse().expect("a rule");
            let cover = covering(&wanted, &by).expect("a cover").into_iter();
            cover.map(ToString::to_string).collect::<Vec<_>>()
        };
        let halves = ["tcp 80-85 from 10.0.0.0/8", "tcp 85-90 from 10.0.0.0/8"];
        let others = ["tcp 81-89 from 10.0.0.0/8", "tcp 80-90 from 10.1.0.0/16"];
        assert_eq!(named(&[halves, others].concat()), halves);
        let whole = "all from 0.0.0.0/0";
        assert_eq!(named(&[&halves[..], &others, &[whole]].concat()), [whole]);
    }

    #[test]
    fn what_differs_in_kind_does_not_cover() {
        assert!(!covered(
            "tcp 443 from 10.0.0.0/8",
            &["udp 443 from 0.0.0.0/0"]
        ));
        assert!(!covered(
            "all from 10.0.0.0/8",
            &["tcp 0-65535 from 10.0.0.0/8"]
        ));
        assert!(!covered(
            "tcp 443 from sg-0a",
            &["tcp 443 from 0.0.0.0/0", "tcp 443 from sg-0b"]
        ));
        assert!(!covered("tcp 443 from ::/0", &["tcp 443 from 0.0.0.0/0"]));
        assert!(!covered(
            "icmp -1/-1 from ::/0",
            &["icmpv6 -1/-1 from ::/0", "icmp 8/-1 from ::/0"]
        ));
        assert!(!covered("50 from 10.0.0.0/8", &["51 from 10.0.0.0/8"]));
        assert!(!covered("tcp 443 from 10.0.0.0/8", &[]));
    }

    #[test]
    fn single_addresses_at_the_end_of_the_tree_are_handled() {
        assert!(covered(
            "tcp 1 from 10.0.0.0/31",
            &["tcp 1 from 10.0.0.0/32", "tcp 1 from 10.0.0.1/32"]
        ));
        assert!(!covered(
            "tcp 1 from 10.0.0.0/30",
            &["tcp 1 from 10.0.0.0/32"]
        ));
        assert!(!covered("tcp 1 from ::/128", &["tcp 2 from ::/128"]));
    }
}
