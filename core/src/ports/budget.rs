//! How much time an invocation has, and how it is divided.

use std::time::Duration;

use tokio::time::Instant;

/// The moments after which something must not be begun or awaited any longer.
///
/// With less than about two seconds left an invocation stops restoring and says what it has done: an authorize that
/// Lambda cuts off would leave no report. Short time-outs keep a quarter of their time back instead.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// No further authorize, read or wait is begun after this.
    pub act_until: Instant,
    /// A call in flight is given up at this moment.
    pub calls_until: Instant,
    /// The writing of the incident is given up at this moment.
    pub record_until: Instant,
}

impl Budget {
    /// Divides what is left of an invocation.
    pub fn of(remaining: Duration) -> Self {
        let reserve = (remaining / 4).min(Duration::from_secs(2));
        let now = Instant::now();
        Self {
            act_until: now + remaining - reserve,
            calls_until: now + remaining - reserve / 2,
            record_until: now + remaining - reserve / 8,
        }
    }

    /// The same, but nothing further is begun later than so long from now. A call in flight is awaited as before.
    #[must_use]
    pub fn at_most(self, time: Duration) -> Self {
        Self {
            act_until: self.act_until.min(Instant::now() + time),
            ..self
        }
    }

    /// The same, but all of it ends a little sooner, so that something is left for what must follow: a second and a half,
    /// or an eighth of a short time.
    #[must_use]
    pub fn leaving_some(self) -> Self {
        let remaining = self.record_until.saturating_duration_since(Instant::now());
        let left = (remaining / 8).min(Duration::from_millis(1_500));
        let sooner = |moment: Instant| moment.checked_sub(left).unwrap_or(moment);
        Self {
            act_until: sooner(self.act_until),
            calls_until: sooner(self.calls_until),
            record_until: sooner(self.record_until),
        }
    }

    /// Whether there is time to wait this long and then still act.
    pub fn allows(&self, wait: Duration) -> bool {
        Instant::now() + wait < self.act_until
    }
}

/// How long to wait before try number `tries` (from 0): 100 ms, doubled each time, at most 3 s, of which a random half
/// is left out so that several instances do not come back together.
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
