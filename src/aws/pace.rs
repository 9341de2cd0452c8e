//! Token buckets on our side, so that a sweep keeps to what EC2 grants.

use std::num::NonZeroU32;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota};
use tokio::time::Instant;

use crate::handler::Pace;

/// Tokens at once and a second, of one action in one account and Region.
struct Bucket {
    burst: u32,
    per_second: u32,
}

/// EC2 grants filtered and paginated reads 100 and 20 a second, and authorizes 50 and 5 a second, to all callers together
/// (EC2 Developer Guide, "Request throttling"). A fifth of either is left to others.
const READS: Bucket = Bucket {
    burst: 80,
    per_second: 16,
};
const AUTHORIZES: Bucket = Bucket {
    burst: 40,
    per_second: 4,
};

/// The buckets of sweeps in one account and Region.
#[derive(Debug)]
pub(super) struct Pacer {
    reads: DefaultDirectRateLimiter,
    authorizes: DefaultDirectRateLimiter,
}

impl Pacer {
    /// Full buckets for a pace, unless it is as fast as it goes.
    pub(super) fn new(pace: Pace) -> Option<Self> {
        let share = match pace {
            Pace::Free => return None,
            Pace::Sweep => 1,
            Pace::HalfSweep => 2,
        };
        Some(Self {
            reads: limiter(&READS, share),
            authorizes: limiter(&AUTHORIZES, share),
        })
    }

    pub(super) async fn read(&self, deadline: Instant) {
        wait(&self.reads, deadline).await;
    }

    pub(super) async fn authorize(&self, deadline: Instant) {
        wait(&self.authorizes, deadline).await;
    }
}

fn limiter(bucket: &Bucket, share: u32) -> DefaultDirectRateLimiter {
    let part = |number: u32| NonZeroU32::new(number / share).unwrap_or(NonZeroU32::MIN);
    let quota = Quota::per_second(part(bucket.per_second)).allow_burst(part(bucket.burst));
    DefaultDirectRateLimiter::direct(quota)
}

/// Waits for a token, no longer than until the deadline, after which the call ends by itself.
async fn wait(limiter: &DefaultDirectRateLimiter, deadline: Instant) {
    while let Err(not_yet) = limiter.check() {
        let ready = Instant::now() + not_yet.wait_time_from(DefaultClock::default().now());
        tokio::time::sleep_until(ready.min(deadline)).await;
        if ready >= deadline {
            return;
        }
    }
}
