//! Which watched groups need work, from one look to the next.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{GroupAddress, RuleKey};

/// The most looks that a group sits out after failures that may pass.
const SITS_OUT_MAX: u32 = 32;

/// What the looks have shown of the groups that differ from their records.
#[derive(Debug, Default)]
pub(super) struct Looks(BTreeMap<GroupAddress, Differing>);

/// A group that differs from its record.
#[derive(Debug, Default)]
struct Differing {
    /// The rules that the last look did not show.
    missing: BTreeSet<RuleKey>,
    is_being_reconciled: bool,
    /// The live and the recorded rules with which a reconcile left the rest missing on purpose, such as for a pause.
    left: Option<(BTreeSet<RuleKey>, BTreeSet<RuleKey>)>,
    /// Reconciles in a row that failed for a reason that may pass.
    failures: u32,
    /// How many more looks it sits out.
    sits_out: u32,
}

impl Looks {
    /// Notes a look at a group, and says whether the group is to be reconciled now.
    ///
    /// Two looks in a row must show a rule missing, because a controller may be between its two calls.
    pub(super) fn note(
        &mut self,
        group: &GroupAddress,
        recorded: &BTreeSet<RuleKey>,
        live: &BTreeSet<RuleKey>,
    ) -> bool {
        let missing: BTreeSet<RuleKey> = recorded.difference(live).cloned().collect();
        if missing.is_empty() {
            self.forget(group);
            return false;
        }
        let seen = self.0.entry(group.clone()).or_default();
        let before = std::mem::replace(&mut seen.missing, missing);
        let stays = !before.is_disjoint(&seen.missing);
        let is_left = seen
            .left
            .as_ref()
            .is_some_and(|(left, of)| left == live && of == recorded);
        if seen.is_being_reconciled || is_left {
            return false;
        }
        seen.left = None;
        if seen.sits_out > 0 {
            seen.sits_out -= 1;
            return false;
        }
        seen.is_being_reconciled = stays;
        stays
    }

    /// Notes that a group was reconciled after a look that showed these rules. What is missing still was left so; if that
    /// `may_pass`, it is tried again after a while.
    pub(super) fn reconciled(
        &mut self,
        group: &GroupAddress,
        recorded: BTreeSet<RuleKey>,
        live: BTreeSet<RuleKey>,
        may_pass: bool,
    ) {
        let Some(seen) = self.0.get_mut(group) else {
            return;
        };
        seen.is_being_reconciled = false;
        if may_pass {
            seen.failures += 1;
            seen.sits_out = 1_u32
                .checked_shl(seen.failures.min(SITS_OUT_MAX.ilog2()))
                .unwrap_or(SITS_OUT_MAX);
        } else {
            seen.failures = 0;
            seen.left = Some((live, recorded));
        }
    }

    /// Forgets the groups that are not watched any more.
    pub(super) fn keep(&mut self, is_watched: impl Fn(&GroupAddress) -> bool) {
        self.0
            .retain(|group, seen| seen.is_being_reconciled || is_watched(group));
    }

    fn forget(&mut self, group: &GroupAddress) {
        match self.0.get_mut(group) {
            Some(seen) if seen.is_being_reconciled => seen.missing.clear(),
            _ => drop(self.0.remove(group)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::{group, key};

    fn rules(ports: &[u16]) -> BTreeSet<RuleKey> {
        let rule = |port: &u16| key(&format!("tcp {port} from 10.0.0.0/8"));
        ports.iter().map(rule).collect()
    }

    /// Looks at the group in turn, and says which look led to a reconcile.
    fn due(looks: &mut Looks, live: &[&[u16]]) -> Vec<bool> {
        let recorded = rules(&[1, 2, 3, 4]);
        let note = |live: &&[u16]| looks.note(&group(), &recorded, &rules(live));
        live.iter().map(note).collect()
    }

    #[test]
    fn the_second_look_that_shows_a_rule_missing_decides() {
        let due = |live: &[&[u16]]| due(&mut Looks::default(), live);
        assert_eq!(
            due(&[&[1, 2, 3, 4], &[1, 2], &[1, 2]]),
            [false, false, true]
        );
        assert_eq!(
            due(&[&[1, 2], &[1, 2, 3, 4], &[1, 2]]),
            [false, false, false]
        );
        // Other rules each time: a controller at work.
        assert_eq!(due(&[&[1, 2, 3], &[2, 3, 4], &[1, 3, 4]]), [false; 3]);
        // One rule comes back, another stays away; a further one goes missing.
        assert_eq!(due(&[&[1, 2], &[1, 2, 3]]), [false, true]);
        assert_eq!(due(&[&[1, 2], &[1, 4]]), [false, true]);
    }

    #[test]
    fn a_group_is_not_reconciled_twice_at_once() {
        let mut looks = Looks::default();
        assert_eq!(
            due(&mut looks, &[&[1], &[1], &[1], &[]]),
            [false, true, false, false]
        );
        looks.reconciled(&group(), rules(&[1, 2, 3, 4]), rules(&[1]), false);
        assert_eq!(due(&mut looks, &[&[]]), [true]);
    }

    #[test]
    fn what_was_left_missing_is_left_until_something_changes() {
        let mut looks = Looks::default();
        assert_eq!(due(&mut looks, &[&[1], &[1]]), [false, true]);
        looks.reconciled(&group(), rules(&[1, 2, 3, 4]), rules(&[1]), false);
        assert_eq!(due(&mut looks, &[&[1], &[1]]), [false, false]);
        // Live rules change.
        assert_eq!(due(&mut looks, &[&[1, 2]]), [true]);
        looks.reconciled(&group(), rules(&[1, 2, 3, 4]), rules(&[1, 2]), false);
        assert_eq!(due(&mut looks, &[&[1, 2]]), [false]);
        // The record changes.
        assert!(looks.note(&group(), &rules(&[1, 3, 4]), &rules(&[1, 2])));
    }

    #[test]
    fn after_failures_that_may_pass_a_group_sits_out_more_and_more_looks() {
        let mut looks = Looks::default();
        assert_eq!(due(&mut looks, &[&[1], &[1]]), [false, true]);
        for sits_out in [2, 4, 8, 16, 32, 32] {
            looks.reconciled(&group(), rules(&[1, 2, 3, 4]), rules(&[1]), true);
            let mut seen = due(&mut looks, &vec![&[1][..]; sits_out + 1]);
            assert_eq!(seen.pop(), Some(true));
            assert_eq!(seen, vec![false; sits_out]);
        }
    }

    #[test]
    fn a_group_that_is_whole_or_not_watched_begins_anew() {
        let mut looks = Looks::default();
        assert_eq!(due(&mut looks, &[&[1]]), [false]);
        looks.keep(|watched| *watched == group());
        assert_eq!(due(&mut looks, &[&[1]]), [true]);
        looks.keep(|_| false);
        assert_eq!(due(&mut looks, &[&[1]]), [false], "it is being reconciled");
        looks.reconciled(&group(), rules(&[]), rules(&[]), false);
        looks.keep(|_| false);
        assert_eq!(due(&mut looks, &[&[1], &[1]]), [false, true]);
    }
}
