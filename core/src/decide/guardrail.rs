//! Rules that are never authorized, whatever a record says.
//!
//! The function's configuration holds them, and not the table, so that people who may write records cannot lift them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use crate::decide::cover::covering;
use crate::model::{InvalidRule, PrefixListId, RuleKey, Source};

/// The sources that prefix lists stand for at present.
pub type Entries = BTreeMap<PrefixListId, BTreeSet<Source>>;

/// Before the number of the widest public prefix.
const PUBLIC: &str = "public/";

/// One thing that is never authorized.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Guardrail {
    /// A rule. Rules that together allow all that it allows are forbidden.
    Rule(RuleKey),
    /// Rules for public addresses with a prefix shorter than this, of IPv4 and of IPv6.
    PublicWiderThan(u8),
}

/// Why a text is not a guardrail.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidGuardrail {
    /// It is not a rule.
    #[error(
        "{0}; give rules such as \"tcp 22 from 0.0.0.0/0\", or public/24, separated by semicolons"
    )]
    Rule(#[from] InvalidRule),
    /// It is a rule whose CIDR names something smaller than it allows.
    #[error("{0:?}: {1}")]
    HostBits(String, String),
    /// The length of a prefix is missing or impossible.
    #[error("{0:?} is not public/N, where N is the length of a prefix, 1 to 128")]
    Public(String),
}

impl FromStr for Guardrail {
    type Err = InvalidGuardrail;

    fn from_str(text: &str) -> Result<Self, InvalidGuardrail> {
        if let Some(length) = text.strip_prefix(PUBLIC) {
            return match length.parse() {
                Ok(length @ 1..=128) => Ok(Self::PublicWiderThan(length)),
                _ => Err(InvalidGuardrail::Public(text.to_owned())),
            };
        }
        let rule: RuleKey = text.parse()?;
        let cidr = text.rsplit(' ').next().unwrap_or_default();
        match rule.source.host_bits(cidr) {
            Some(doubt) => Err(InvalidGuardrail::HostBits(text.to_owned(), doubt)),
            None => Ok(Self::Rule(rule)),
        }
    }
}

impl fmt::Display for Guardrail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(rule) => rule.fmt(f),
            Self::PublicWiderThan(length) => write!(f, "{PUBLIC}{length}"),
        }
    }
}

/// The guardrails of a configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Guardrails(Vec<Guardrail>);

impl FromStr for Guardrails {
    type Err = InvalidGuardrail;

    /// Reads guardrails that are separated by semicolons.
    fn from_str(text: &str) -> Result<Self, InvalidGuardrail> {
        let parts = text.split(';').map(str::trim);
        let parts = parts.filter(|part| !part.is_empty());
        Ok(Self(parts.map(str::parse).collect::<Result<_, _>>()?))
    }
}

impl fmt::Display for Guardrails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, guardrail) in self.0.iter().enumerate() {
            let separator = if place == 0 { "" } else { "; " };
            write!(f, "{separator}{guardrail}")?;
        }
        Ok(())
    }
}

impl Guardrails {
    /// Rules that most accounts should not have: administration by SSH or RDP from everywhere (CIS AWS Foundations Benchmark,
    /// "no security groups allow ingress from 0.0.0.0/0 to remote server administration ports", and the same for `::/0`).
    /// All traffic includes it.
    pub fn usual() -> Self {
        let anywhere =
            "tcp 22 from 0.0.0.0/0; tcp 22 from ::/0; tcp 3389 from 0.0.0.0/0; tcp 3389 from ::/0";
        anywhere.parse().unwrap_or_default()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The prefix lists of these rules of which the entries matter.
    pub fn lists_to_read<'r>(
        &self,
        rules: impl IntoIterator<Item = &'r RuleKey>,
    ) -> BTreeSet<PrefixListId> {
        let names_addresses = |guardrail: &Guardrail| match guardrail {
            Guardrail::Rule(rule) => matches!(rule.source, Source::Ipv4(_) | Source::Ipv6(_)),
            Guardrail::PublicWiderThan(_) => true,
        };
        match self.0.iter().any(names_addresses) {
            true => super::quota::prefix_lists(rules),
            false => BTreeSet::new(),
        }
    }

    /// The rules of a record that are forbidden, each with its guardrail. Those that are left do not allow, even together,
    /// what a guardrail names. A prefix list counts by its entries, as far as they are known.
    ///
    /// If several sets of rules allow it, one set after the other is forbidden, single rules first.
    pub fn forbidden<'r>(
        &self,
        rules: impl IntoIterator<Item = &'r RuleKey>,
        entries: &Entries,
    ) -> BTreeMap<&'r RuleKey, &Guardrail> {
        let mut forbidden = BTreeMap::new();
        if self.is_empty() {
            return forbidden;
        }
        let mut left: Vec<Meaning<'r>> = rules
            .into_iter()
            .flat_map(|rule| meanings(rule, entries))
            .collect();
        for guardrail in &self.0 {
            while let Some(found) = guardrail.allowed_by(&left) {
                left.retain(|meaning| !found.contains(meaning.rule));
                forbidden.extend(found.into_iter().map(|rule| (rule, guardrail)));
            }
        }
        forbidden
    }
}

/// What a rule allows: itself, or what it allows by an entry of its prefix list.
struct Meaning<'r> {
    rule: &'r RuleKey,
    by_entry: Option<RuleKey>,
}

impl Meaning<'_> {
    fn key(&self) -> &RuleKey {
        self.by_entry.as_ref().unwrap_or(self.rule)
    }
}

fn meanings<'r>(rule: &'r RuleKey, entries: &Entries) -> Vec<Meaning<'r>> {
    let entries = match &rule.source {
        Source::PrefixList(list) => entries.get(list),
        _ => None,
    };
    let by_entry = entries.into_iter().flatten().map(|source| RuleKey {
        protocol: rule.protocol,
        source: source.clone(),
    });
    let by_entry = by_entry.map(Some);
    // A guardrail may name the list itself.
    std::iter::once(None)
        .chain(by_entry)
        .map(|by_entry| Meaning { rule, by_entry })
        .collect()
}

impl Guardrail {
    /// Rules that together allow what this names.
    fn allowed_by<'r>(&self, left: &[Meaning<'r>]) -> Option<BTreeSet<&'r RuleKey>> {
        match self {
            Self::Rule(wanted) => {
                let cover = covering(wanted, left.iter().map(Meaning::key))?;
                let is_in_cover = |meaning: &&Meaning<'r>| {
                    cover.iter().any(|key| std::ptr::eq(*key, meaning.key()))
                };
                Some(left.iter().filter(is_in_cover).map(|it| it.rule).collect())
            }
            Self::PublicWiderThan(length) => {
                let is_wider = |meaning: &&Meaning<'r>| {
                    let source = &meaning.key().source;
                    source.is_public() && source.prefix_len().is_some_and(|it| it < *length)
                };
                let found: BTreeSet<_> = left.iter().filter(is_wider).map(|it| it.rule).collect();
                (!found.is_empty()).then_some(found)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::key;

    fn forbidden(guardrails: &str, rules: &[&str], entries: &[(&str, &[&str])]) -> Vec<String> {
        let guardrails: Guardrails = guardrails.parse().expect("guardrails");
        let rules: Vec<RuleKey> = rules.iter().map(|rule| key(rule)).collect();
        let entries = entries.iter().map(|(list, sources)| {
            let sources = sources
                .iter()
                .map(|source| source.parse().expect("a source"));
            (list.parse().expect("an id"), sources.collect())
        });
        let found = guardrails.forbidden(&rules, &entries.collect());
        found.keys().map(ToString::to_string).collect()
    }

    #[test]
    fn the_same_rule_and_wider_ones_are_forbidden() {
        let rules = [
            "tcp 22 from 0.0.0.0/0",
            "tcp 0-65535 from 0.0.0.0/0",
            "all from 0.0.0.0/0",
            "tcp 22 from 198.51.100.0/24",
            "tcp 22 from ::/0",
            "tcp 443 from 0.0.0.0/0",
            "udp 22 from 0.0.0.0/0",
        ];
        assert_eq!(
            forbidden("tcp 22 from 0.0.0.0/0", &rules, &[]),
            [
                "all from 0.0.0.0/0",
                "tcp 0-65535 from 0.0.0.0/0",
                "tcp 22 from 0.0.0.0/0"
            ]
        );
    }

    #[test]
    fn parts_are_no_way_around() {
        let halves = ["tcp 22 from 0.0.0.0/1", "tcp 20-30 from 128.0.0.0/1"];
        assert_eq!(
            forbidden("tcp 22 from 0.0.0.0/0", &halves, &[]),
            ["tcp 20-30 from 128.0.0.0/1", "tcp 22 from 0.0.0.0/1"]
        );
        assert!(forbidden("tcp 22 from 0.0.0.0/0", &halves[..1], &[]).is_empty());
        let ports = [
            "tcp 20-22 from 10.0.0.0/8",
            "tcp 23-25 from 10.0.0.0/8",
            "tcp 1 from 10.0.0.0/8",
        ];
        assert_eq!(
            forbidden("tcp 21-24 from 10.0.0.0/8", &ports, &[]),
            ports[..2]
        );
    }

    #[test]
    fn what_is_left_never_allows_it_together() {
        let rules = [
            "tcp 22 from 0.0.0.0/0",
            "tcp 22 from 0.0.0.0/1",
            "tcp 22 from 128.0.0.0/1",
            "tcp 22-23 from 128.0.0.0/1",
            "tcp 22 from 10.0.0.0/8",
        ];
        let guardrail = key("tcp 22 from 0.0.0.0/0");
        let found = forbidden("tcp 22 from 0.0.0.0/0", &rules, &[]);
        let left: Vec<RuleKey> = rules.iter().map(|rule| key(rule)).collect();
        let left: Vec<&RuleKey> = left
            .iter()
            .filter(|rule| !found.contains(&rule.to_string()))
            .collect();
        assert!(covering(&guardrail, left.iter().copied()).is_none());
        assert!(left.contains(&&key("tcp 22 from 10.0.0.0/8")), "{found:?}");
    }

    #[test]
    fn a_prefix_list_counts_by_its_entries() {
        let rules = [
            "tcp 22 from pl-0a",
            "tcp 22 from pl-0b",
            "tcp 22 from 128.0.0.0/1",
        ];
        let entries: [(&str, &[&str]); 2] = [
            ("pl-0a", &["0.0.0.0/1", "10.0.0.0/8"]),
            ("pl-0b", &["10.0.0.0/8"]),
        ];
        assert_eq!(
            forbidden("tcp 22 from 0.0.0.0/0", &rules, &entries),
            ["tcp 22 from 128.0.0.0/1", "tcp 22 from pl-0a"]
        );
        assert!(forbidden("tcp 22 from 0.0.0.0/0", &rules, &[]).is_empty());
        assert_eq!(
            forbidden("tcp 22 from pl-0b", &rules, &entries),
            ["tcp 22 from pl-0b"]
        );
        assert_eq!(
            forbidden("public/8", &rules[..2], &entries),
            ["tcp 22 from pl-0a"]
        );
        let never: Guardrails = "tcp 22 from sg-0a".parse().expect("guardrails");
        let rules = rules.map(key);
        assert!(
            never.lists_to_read(&rules).is_empty(),
            "no entry is a group"
        );
        assert_eq!(Guardrails::usual().lists_to_read(&rules).len(), 2);
    }

    #[test]
    fn public_addresses_have_a_widest_prefix() {
        let rules = [
            "tcp 443 from 8.0.0.0/6",
            "tcp 443 from 198.51.100.0/24",
            "tcp 443 from 198.51.100.0/23",
            "tcp 443 from 10.0.0.0/8",
            "tcp 443 from 2001:db8::/32",
            "tcp 443 from ::/0",
            "tcp 443 from fd00::/8",
            "tcp 443 from sg-0a",
        ];
        assert_eq!(
            forbidden("public/24", &rules, &[]),
            [
                "tcp 443 from 8.0.0.0/6",
                "tcp 443 from 198.51.100.0/23",
                "tcp 443 from ::/0"
            ]
        );
    }

    #[test]
    fn texts_are_read_with_care() {
        let read = |text: &str| text.parse::<Guardrails>();
        let text = "tcp 22 from 0.0.0.0/0; public/24";
        assert_eq!(read(text).map(|it| it.to_string()), Ok(text.to_owned()));
        assert_eq!(read(" ; "), Ok(Guardrails::default()));
        let is_empty = |text| read(text).map(|it| it.is_empty());
        assert_eq!([is_empty(" ; "), is_empty(text)], [Ok(true), Ok(false)]);
        for (text, part) in [
            ("tcp 22", "such as \"tcp 22 from 0.0.0.0/0\""),
            ("tcp 22 from 0.0.0.0/0, udp 53 from ::/0", "0.0.0.0/0, udp"),
            ("public/0", "public/N"),
            ("public/x", "public/N"),
            ("tcp 22 from 10.1.2.3/8", "it allows more than 10.1.2.3"),
        ] {
            let error = read(text).expect_err(text).to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn administration_from_everywhere_is_usually_forbidden() {
        let usual = Guardrails::usual().to_string();
        let rules = [
            "all from ::/0",
            "tcp 3389 from 0.0.0.0/0",
            "tcp 443 from 0.0.0.0/0",
        ];
        assert_eq!(
            forbidden(&usual, &rules, &[]),
            ["all from ::/0", "tcp 3389 from 0.0.0.0/0"]
        );
    }
}
