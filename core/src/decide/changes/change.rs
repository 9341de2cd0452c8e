//! Changes: the calls of one principal that belong together.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::KnownCall;
use super::timeline::Try;
use crate::decide::cover::covering;
use crate::model::RuleKey;

/// The longest time between two calls of a change.
pub(super) const GAP_MAX: SignedDuration = SignedDuration::from_mins(2);

/// The longest time from the first call of a change to its last.
pub(super) const CHANGE_MAX: SignedDuration = SignedDuration::from_mins(15);

/// Calls of one principal on one group, each within two minutes of the one before, 15 minutes at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change<'a> {
    pub(super) calls: Vec<&'a KnownCall>,
}

/// How a change stands towards a rule that it revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// No related authorize is known, or the last one succeeded.
    Fine,
    /// The last related authorize failed for a passing reason at this time: its caller tries again.
    Open(Timestamp),
    /// The last related authorize that did not fail for a passing reason was refused for good.
    Aborted {
        /// None that was refused asked for as much as the rule allowed.
        narrows: bool,
        /// When a later one failed for a passing reason.
        tried: Option<Timestamp>,
    },
}

/// Every change of a group.
#[derive(Debug, Default)]
pub(super) struct Changes<'a>(Vec<Change<'a>>);

impl<'a> Changes<'a> {
    pub(super) fn of(calls: impl IntoIterator<Item = &'a KnownCall>) -> Self {
        let mut of_principals: BTreeMap<&str, Vec<&KnownCall>> = BTreeMap::new();
        for call in calls.into_iter().filter(|call| call.is_about_rules()) {
            of_principals.entry(&call.by).or_default().push(call);
        }
        let mut changes: Vec<Change<'a>> = Vec::new();
        for mut calls in of_principals.into_values() {
            calls.sort();
            let mut change = Change { calls: Vec::new() };
            for call in calls {
                if !change.takes_in(call) {
                    let ended = std::mem::replace(&mut change, Change { calls: Vec::new() });
                    changes.push(ended);
                }
                change.calls.push(call);
            }
            changes.push(change);
        }
        Self(changes)
    }

    /// The change that a call belongs to.
    pub(super) fn with(&self, call: &KnownCall) -> Option<&Change<'a>> {
        let mut changes = self.0.iter();
        changes.find(|change| change.calls.contains(&call))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Change<'a>> {
        self.0.iter()
    }
}

impl Change<'_> {
    fn takes_in(&self, call: &KnownCall) -> bool {
        let (Some(first), Some(last)) = (self.calls.first(), self.calls.last()) else {
            return true;
        };
        call.at.duration_since(last.at) <= GAP_MAX && call.at.duration_since(first.at) <= CHANGE_MAX
    }

    pub(super) fn by(&self) -> &str {
        self.calls.first().map_or("", |call| &call.by)
    }

    /// The time of its first call.
    pub(super) fn begin(&self) -> Timestamp {
        let first = self.calls.first();
        first.map_or(Timestamp::MAX, |call| call.at)
    }

    /// The time of its last call.
    pub(super) fn end(&self) -> Timestamp {
        self.calls.last().map_or(Timestamp::MIN, |call| call.at)
    }

    pub(super) fn holds(&self, at: Timestamp) -> bool {
        self.begin() <= at && at <= self.end()
    }

    /// How it stands towards a rule that it revoked. Of two attempts in one second the refused one counts as the later.
    pub(super) fn standing(&self, rule: &RuleKey) -> Standing {
        let attempts = self.calls.iter().filter_map(|call| {
            let wanted = call.wanted()?;
            let mut related = wanted.rules.iter().filter(|asked| is_related(asked, rule));
            // Rules that cannot be read may be related.
            let is_any = related.next().is_some() || wanted.rules.is_empty();
            is_any.then_some((call.at, wanted.outcome))
        });
        let (passing, ended): (Vec<_>, Vec<_>) =
            attempts.partition(|(_, outcome)| *outcome == Try::Passing);
        let ended = ended.into_iter().max();
        let tried = passing.into_iter().map(|(at, _)| at).max();
        let tried = tried.filter(|at| ended.is_none_or(|(ended, _)| ended < *at));
        match (ended, tried) {
            (Some((_, Try::Refused)), _) if fault!(ForgetsAborts) => Standing::Fine,
            (Some((_, Try::Refused)), tried) => Standing::Aborted {
                narrows: !self.was_refused_as_much(rule),
                tried,
            },
            (_, Some(tried)) => Standing::Open(tried),
            (_, None) => Standing::Fine,
        }
    }

    /// Whether EC2 refused to authorize a rule that allows at least as much.
    fn was_refused_as_much(&self, rule: &RuleKey) -> bool {
        let refused = self.calls.iter().filter_map(|call| call.wanted());
        let mut refused = refused.filter(|wanted| wanted.outcome == Try::Refused);
        refused.any(|wanted| {
            let mut rules = wanted.rules.into_iter();
            rules.any(|asked| covering(rule, [asked]).is_some())
        })
    }
}

/// Whether a rule allows strictly less than another.
pub(super) fn is_narrower(rule: &RuleKey, than: &RuleKey) -> bool {
    rule != than && covering(rule, [than]).is_some() && covering(than, [rule]).is_none()
}

/// Whether a rule is what a public one may have been narrowed to: its ports are among those of the other, and its source
/// is not public, or a smaller range of either family.
pub(super) fn is_less_public(rule: &RuleKey, than: &RuleKey) -> bool {
    let same_source = RuleKey {
        protocol: rule.protocol,
        source: than.source.clone(),
    };
    let is_smaller =
        !rule.source.is_public() || than.source.prefix_len() < rule.source.prefix_len();
    than.source.is_public() && is_smaller && covering(&same_source, [than]).is_some()
}

/// Whether an authorize of `asked` may belong to a revoke of `rule`: the same rule, the same protocol with overlapping
/// ports, or the same source if that is not public address space.
fn is_related(asked: &RuleKey, rule: &RuleKey) -> bool {
    let (ours, theirs) = (&asked.protocol, &rule.protocol);
    let spans = ours
        .span_within(theirs)
        .map(|span| (span, theirs.span()))
        .or_else(|| theirs.span_within(ours).map(|span| (span, ours.span())));
    let overlap =
        spans.is_some_and(|(one, other)| one.start() <= other.end() && other.start() <= one.end());
    asked == rule || overlap || asked.source == rule.source && !rule.source.is_public()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::key;

    #[test]
    fn an_authorize_of_the_same_protocol_with_common_ports_or_from_the_same_place_is_related() {
        const RULE: &str = "tcp 100-200 from 192.0.2.0/24";
        for (asked, rule, related) in [
            (RULE, RULE, true),
            ("tcp 200-300 from sg-0a", RULE, true),
            ("tcp 201-300 from sg-0a", RULE, false),
            ("tcp 1-100 from sg-0a", RULE, true),
            ("tcp 1-99 from sg-0a", RULE, false),
            ("udp 100-200 from sg-0a", RULE, false),
            ("all from sg-0a", RULE, true),
            (RULE, "all from sg-0a", true),
            ("udp 9 from sg-0a", "tcp 1 from sg-0a", true),
            ("udp 9 from sg-0b", "tcp 1 from sg-0a", false),
            ("udp 9 from 10.9.0.0/16", "tcp 1 from 10.9.0.0/16", true),
            // Public addresses are nobody's place.
            ("udp 9 from 192.0.2.0/24", RULE, false),
        ] {
            let is_related = is_related(&key(asked), &key(rule));
            assert_eq!(is_related, related, "{asked} for {rule}");
        }
    }

    #[test]
    fn less_public_is_what_allows_no_other_ports_and_a_smaller_range_or_no_public_one() {
        const WORLD: &str = "tcp 20-22 from 0.0.0.0/0";
        for (rule, than, less) in [
            ("tcp 22 from sg-0a", WORLD, true),
            ("tcp 20-22 from 10.0.0.0/8", WORLD, true),
            ("tcp 22 from 203.0.113.0/24", WORLD, true),
            ("tcp 22 from 2001:db8::/32", WORLD, true),
            ("tcp 22 from ::/0", WORLD, false),
            ("tcp 22-23 from sg-0a", WORLD, false),
            ("all from sg-0a", WORLD, false),
            ("tcp 22 from sg-0a", "tcp 22 from 10.0.0.0/8", false),
        ] {
            let is_less = is_less_public(&key(rule), &key(than));
            assert_eq!(is_less, less, "{rule} than {than}");
        }
    }
}
