//! The time of a run: tokio's paused clock, which jumps to the next moment at which something happens.

use std::cell::Cell;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use rulekeeper_core::fakes;

thread_local! {
    static BEGAN: Cell<Option<Instant>> = const { Cell::new(None) };
    static SKEW_MS: Cell<i64> = const { Cell::new(0) };
}

/// Begins a run. The clocks of the function's instances may be wrong by this much.
pub(crate) fn begin(skew_ms: u64) {
    BEGAN.set(Some(Instant::now()));
    SKEW_MS.set(i64::try_from(skew_ms).expect("short"));
}

fn now(skew: i64) -> Timestamp {
    let began = BEGAN.get().expect("a run has begun");
    let passed = SignedDuration::try_from(began.elapsed()).expect("a few days");
    let skew = SignedDuration::from_millis(skew * SKEW_MS.get());
    fakes::now() + passed + skew
}

/// CloudTrail's clock, and an operator's.
pub(crate) fn exact() -> Timestamp {
    now(0)
}

/// An instance's clock.
pub(crate) fn ahead() -> Timestamp {
    now(1)
}

/// Another one's.
pub(crate) fn behind() -> Timestamp {
    now(-1)
}

/// The time of an event.
pub(crate) fn whole_second() -> String {
    let second = exact().as_second();
    Timestamp::from_second(second)
        .expect("in range")
        .to_string()
}

/// Seconds since the run began, for messages.
pub(crate) fn since_began(at: Instant) -> f64 {
    let began = BEGAN.get().expect("a run has begun");
    at.saturating_duration_since(began).as_secs_f64()
}
