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
