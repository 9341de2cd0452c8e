//! How much time an invocation has, and how the time is divided.

use std::time::Duration;

use tokio::time::Instant;

/// The deadlines of an invocation.
///
/// With less than about two seconds left, an invocation stops restoring and reports what it has done. An authorize that
/// Lambda cuts off would leave no report. A short time limit reserves a quarter of its time instead.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// After this, no authorize, read or wait begins.
    pub act_until: Instant,
    /// A call in progress is given up at this time.
    pub calls_until: Instant,
    /// A call for bookkeeping is given up at this time.
    pub record_until: Instant,
    /// The longest time for one call for bookkeeping: a fifth of the time. A table or a queue that accepts calls and does
    /// not answer must not take the time in which rules could be restored.
    pub bookkeeping_max: Duration,
}

impl Budget {
    /// Divides the remaining time of an invocation.
    pub fn of(remaining: Duration) -> Self {
        let reserve = (remaining / 4).min(Duration::from_secs(2));
        let now = Instant::now();
        Self {
            act_until: now + remaining - reserve,
            calls_until: now + remaining - reserve / 2,
            record_until: now + remaining - reserve / 8,
            bookkeeping_max: remaining / 5,
        }
    }

    /// When a call for bookkeeping that begins now is given up. Such a call writes to the table, or is about what is to be
    /// done later: no rule is restored with its answer.
    pub fn bookkeeping_until(&self) -> Instant {
        self.record_until.min(Instant::now() + self.bookkeeping_max)
    }

    /// The same, but new work must begin within `time` from now. A call in progress is awaited as before.
    #[must_use]
    pub fn at_most(self, time: Duration) -> Self {
        Self {
            act_until: self.act_until.min(Instant::now() + time),
            ..self
        }
    }

    /// The same, but every deadline is earlier, so that later work has time: by 1.5 s, or by an eighth of a shorter
    /// time.
    #[must_use]
    pub fn leaving_some(self) -> Self {
        let remaining = self.record_until.saturating_duration_since(Instant::now());
        let left = (remaining / 8).min(Duration::from_millis(1_500));
        let sooner = |moment: Instant| moment.checked_sub(left).unwrap_or(moment);
        Self {
            act_until: sooner(self.act_until),
            calls_until: sooner(self.calls_until),
            record_until: sooner(self.record_until),
            ..self
        }
    }

    /// Whether there is time for this wait and an action after it.
    pub fn allows(&self, wait: Duration) -> bool {
        Instant::now() + wait < self.act_until
    }
}

/// How long to wait before try number `tries` (from 0): 100 ms, doubled each time, at most 3 s. A random part of up to
/// half is subtracted, so that several instances do not try again at the same time.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place where chance is wanted"
)]
pub fn retry_delay(tries: u32) -> Duration {
    let ceiling = Duration::from_millis(100)
        .saturating_mul(1 << tries.min(5))
        .min(Duration::from_secs(3));
    ceiling.mul_f64(0.5 + fastrand::f64() / 2.0)
}
