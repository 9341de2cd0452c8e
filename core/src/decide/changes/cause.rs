//! Whether it is known why a rule is missing.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{GroupState, second};
use crate::desired::{Policy, Principals};
use crate::model::RuleKey;

/// How long after the end of a wait the look that ends it may take to come: sweeps are to run at least hourly. A rule
/// that is missing later than that came back meanwhile, and waits anew.
const LOOKED_AT_WITHIN: SignedDuration = SignedDuration::from_hours(2);

/// How long a rule counts as new after a person put it into the record.
const NEW_FOR: SignedDuration = SignedDuration::from_mins(15);

/// What is known of the cause of a missing rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A known call took it, or a person recorded it and it was not live since: what follows is decided by that.
    Known,
    /// No event told yet who took it. It waits until this time, because its caller may mean it.
    Awaited {
        /// When it was first seen missing.
        since: Timestamp,
        /// When the wait ends.
        until: Timestamp,
    },
    /// No event told who took it, and it has waited long enough.
    NeverTold {
        /// When it was first seen missing.
        since: Timestamp,
    },
}

/// The cause of a rule that is missing now, where anybody is listed.
///
/// A call is the cause if no authorize, restore or operator's decision is known after it. `dropped_by` is what the event
/// at hand says: one that names only unknown ids is the cause of every missing rule, unless its caller is listed.
pub fn cause(
    rule: &RuleKey,
    state: &GroupState,
    dropped_by: &BTreeMap<RuleKey, String>,
    principals: Principals<'_>,
    now: Timestamp,
) -> Cause {
    let told = dropped_by.get(rule);
    let is_unlisted = |by: &String| principals.policy(by) == Policy::Restore;
    if told.is_some_and(is_unlisted)
        || is_taken(rule, state)
        || is_new(rule, state, now)
        || fault!(CausesAreNotAwaited)
    {
        return Cause::Known;
    }
    let wait = principals.cause_wait();
    let since = state.missing_since.get(rule).copied();
    let since = since.filter(|since| now.duration_since(*since) < wait + LOOKED_AT_WITHIN);
    let since = since.unwrap_or(now);
    let until = since.checked_add(wait).unwrap_or(now);
    match now < until {
        true => Cause::Awaited { since, until },
        false => Cause::NeverTold { since },
    }
}

/// Whether a revoke of the rule is known, and nothing that put it back after it.
fn is_taken(rule: &RuleKey, state: &GroupState) -> bool {
    let calls = state.calls.values();
    let revoked = calls.filter_map(|calls| calls.revoked.get(rule)?.last());
    let Some(revoked) = revoked.max() else {
        return false;
    };
    let decided = state.decided.get(rule).copied();
    let back = [
        state.last_authorized(rule),
        decided,
        state.last_restored(rule),
    ];
    let mut back = back.into_iter().flatten();
    back.all(|time| second(time) <= *revoked)
}

/// Whether a person put the rule into the record lately and it was not live since: nobody took it.
fn is_new(rule: &RuleKey, state: &GroupState, now: Timestamp) -> bool {
    let was_live = state.ids.values().any(|known| known == rule);
    let decided = state.decided.get(rule);
    let lately = decided.is_some_and(|at| now.duration_since(*at) < NEW_FOR);
    lately && !was_live && state.last_restored(rule).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::Principal;
    use crate::fakes::{key, now};

    const RULE: &str = "tcp 443 from 10.0.0.0/8";
    const TERRAFORM: &str = "arn:aws:iam::111122223333:role/terraform";

    fn of(state: &GroupState, told: Option<&str>, at: Timestamp) -> Cause {
        let listed = [Principal {
            arn: TERRAFORM.to_owned(),
            policy: Policy::Accept,
            settle_seconds: None,
        }];
        let principals = Principals {
            of_record: &listed,
            settle_of_record: None,
            of_all: &[],
            settle_of_all: None,
            cause_wait_of_record: Some(60),
            cause_wait_of_all: Some(7),
        };
        let told = told.map(|by| (key(RULE), by.to_owned()));
        cause(
            &key(RULE),
            state,
            &told.into_iter().collect(),
            principals,
            at,
        )
    }

    fn seconds(seconds: i64) -> SignedDuration {
        SignedDuration::from_secs(seconds)
    }

    #[test]
    fn a_rule_waits_for_its_cause_from_the_first_look_on() {
        let mut state = GroupState::default();
        let until = now() + seconds(60);
        let awaited = Cause::Awaited {
            since: now(),
            until,
        };
        assert_eq!(of(&state, None, now()), awaited);
        state.missing_since.insert(key(RULE), now());
        assert_eq!(of(&state, None, now() + seconds(59)), awaited);
        assert_eq!(of(&state, None, until), Cause::NeverTold { since: now() });
        // Nobody looked for hours, so the rule was back meanwhile.
        let later = until + LOOKED_AT_WITHIN;
        let anew = Cause::Awaited {
            since: later,
            until: later + seconds(60),
        };
        assert_eq!(of(&state, None, later), anew);
    }

    #[test]
    fn an_event_of_an_unlisted_caller_is_a_cause_and_one_of_a_listed_caller_that_names_no_rule_is_not()
     {
        let state = GroupState::default();
        assert_eq!(of(&state, Some("somebody"), now()), Cause::Known);
        assert!(matches!(
            of(&state, Some(TERRAFORM), now()),
            Cause::Awaited { .. }
        ));
    }

    #[test]
    fn a_revoke_is_the_cause_until_something_put_the_rule_back() {
        let rule = key(RULE);
        let mut state = GroupState::default();
        state.note_revoked(TERRAFORM, [&rule], now());
        assert_eq!(of(&state, None, now()), Cause::Known);
        let later = now() + seconds(2);
        let mut restored = state.clone();
        restored.note_restored([&rule], later);
        assert!(matches!(of(&restored, None, later), Cause::Awaited { .. }));
        let mut authorized = state.clone();
        authorized.note_authorized("somebody", [(&rule, None)], later);
        assert!(matches!(
            of(&authorized, None, later),
            Cause::Awaited { .. }
        ));
        authorized.note_revoked("somebody", [&rule], later + seconds(1));
        assert_eq!(of(&authorized, None, later), Cause::Known);
    }

    #[test]
    fn a_rule_that_a_person_recorded_and_that_never_was_live_waits_for_nobody() {
        let rule = key(RULE);
        let mut state = GroupState::default();
        state.note_decided([&rule], now());
        assert_eq!(of(&state, None, now()), Cause::Known);
        state.ids.insert("sgr-0a".parse().expect("an id"), rule);
        assert!(matches!(of(&state, None, now()), Cause::Awaited { .. }));
    }
}
