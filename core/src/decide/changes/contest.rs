//! Somebody who keeps dropping what we restore gets a limit.

use jiff::{SignedDuration, Timestamp};

use super::state::{Contest, GroupState};
use crate::model::RuleKey;

/// The time in which restores of one rule are counted, and after which a fight that did not go on is over.
pub const CONTEST_WINDOW: SignedDuration = SignedDuration::from_mins(10);

/// The most restores of one rule within [`CONTEST_WINDOW`]. The next drop makes the rule contested.
pub const RESTORES_IN_WINDOW_MAX: usize = 5;

/// How long after the end of a wait the next try may take to come: sweeps are to run at least hourly.
const TRY_WITHIN: SignedDuration = SignedDuration::from_hours(2);

/// The longest wait between two tries.
const WAIT_MAX: SignedDuration = SignedDuration::from_mins(30);

/// Whether a missing rule waits because of a contest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Backoff {
    /// It may be restored.
    None,
    /// It is left alone until the end of a wait that began before.
    Waiting(Contest),
    /// It is left alone from now on, for longer than before: this is worth a notice.
    Begins(Contest),
}

/// Whether a missing rule waits now. `by` is who dropped it this time, as far as known.
pub fn backoff_of(state: &GroupState, rule: &RuleKey, by: Option<&str>, now: Timestamp) -> Backoff {
    let restores: Vec<Timestamp> = state.restores(rule).collect();
    let step = match state.contested.get(rule) {
        Some(contest) if now < contest.until => return Backoff::Waiting(contest.clone()),
        Some(contest) => {
            let tried = restores.last().filter(|at| contest.until <= **at);
            match tried {
                // Its wait is over: one try.
                None => return Backoff::None,
                Some(at) if now.duration_since(*at) < CONTEST_WINDOW => {
                    contest.step.saturating_add(1)
                }
                Some(_) => return Backoff::None,
            }
        }
        None => {
            let lately = restores
                .iter()
                .filter(|at| now.duration_since(**at) < CONTEST_WINDOW);
            if lately.count() < RESTORES_IN_WINDOW_MAX {
                return Backoff::None;
            }
            1
        }
    };
    let before = state.contested.get(rule);
    let before = before.and_then(|known| known.by.as_deref());
    let by = by.or(before).map(str::to_owned);
    let until = now + wait(step);
    Backoff::Begins(Contest { step, until, by })
}

/// 1, 2, 4 … minutes, and never more than half an hour.
fn wait(step: u32) -> SignedDuration {
    let minutes = 1_i64
        .checked_shl(step.saturating_sub(1))
        .unwrap_or(i64::MAX);
    let wait = SignedDuration::try_from_mins(minutes).unwrap_or(WAIT_MAX);
    wait.min(WAIT_MAX)
}

impl GroupState {
    /// The same without the contested rules whose fight is over: nothing happened to them for a while after the try that
    /// followed the last wait, or nobody has tried for hours.
    #[must_use]
    pub fn without_ended_contests(mut self, now: Timestamp) -> Self {
        let mut contested = std::mem::take(&mut self.contested);
        contested.retain(|rule, contest| {
            let last = self.last_restored(rule);
            match last.filter(|at| contest.until <= *at) {
                Some(tried) => now.duration_since(tried) < CONTEST_WINDOW,
                None => now.duration_since(contest.until) < TRY_WITHIN,
            }
        });
        self.contested = contested;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::{key, now};

    const SECOND: SignedDuration = SignedDuration::from_secs(1);

    fn rule() -> RuleKey {
        key("tcp 443 from 10.0.0.0/8")
    }

    /// A rule that was restored at these seconds.
    fn restored(seconds: &[i32]) -> GroupState {
        let mut state = GroupState::default();
        for second in seconds {
            state.note_restored(&rule(), now() + SECOND * *second, None);
        }
        state
    }

    fn contested(mut state: GroupState, step: u32, until: Timestamp) -> GroupState {
        let by = Some("lbc".to_owned());
        state.contested.insert(rule(), Contest { step, until, by });
        state
    }

    #[test]
    fn the_sixth_drop_within_ten_minutes_begins_a_wait_and_each_further_one_a_longer_one() {
        let mut state = restored(&[0, 1, 2, 3]);
        let mut time = now() + SECOND * 4;
        assert_eq!(backoff_of(&state, &rule(), None, time), Backoff::None);
        state.note_restored(&rule(), time, None);
        for (step, minutes) in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 30), (7, 30)] {
            time += SECOND;
            // Who dropped it stays known where a later event does not tell.
            let by = (step == 1).then_some("lbc");
            let until = time + SignedDuration::from_mins(minutes);
            let begun = contested(state.clone(), step, until);
            let contest = begun.contested[&rule()].clone();
            let begins = Backoff::Begins(contest.clone());
            assert_eq!(backoff_of(&state, &rule(), by, time), begins);
            let waiting = backoff_of(&begun, &rule(), None, until - SECOND);
            assert_eq!(waiting, Backoff::Waiting(contest));
            assert_eq!(backoff_of(&begun, &rule(), None, until), Backoff::None);
            state = begun;
            state.note_restored(&rule(), until, None);
            time = until;
        }
    }

    #[test]
    fn restores_of_ten_minutes_ago_do_not_count() {
        let state = restored(&[0, 1, 2, 3, 4]);
        let backoff = |second| backoff_of(&state, &rule(), None, now() + SECOND * second);
        assert!(matches!(backoff(599), Backoff::Begins(_)));
        assert_eq!(backoff(600), Backoff::None);
    }

    #[test]
    fn a_fight_is_over_ten_minutes_after_the_try_that_held_or_two_hours_without_a_try() {
        let until = now() + SECOND * 60;
        for (restores, lasts) in [([0, 60], 600), ([0, 59], 7_200)] {
            let state = contested(restored(&restores), 1, until);
            let last = until + SECOND * (lasts - 1);
            let known = state.clone().without_ended_contests(last);
            assert_eq!(known, state, "{restores:?}");
            let known = known.without_ended_contests(last + SECOND);
            assert!(known.contested.is_empty(), "{restores:?}");
        }
        let tried = contested(restored(&[60]), 1, until);
        let backoff = |second| backoff_of(&tried, &rule(), None, until + SECOND * second);
        assert!(matches!(
            backoff(599),
            Backoff::Begins(Contest { step: 2, .. })
        ));
        assert_eq!(backoff(600), Backoff::None);
    }
}
