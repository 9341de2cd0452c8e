//! Token buckets on our side, so that a sweep stays within EC2's limits.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota};
use tokio::time::Instant;

use rulekeeper_core::ports::Pace;

/// The bucket of one action in one account and Region: its size in tokens, and the time in which one token is added.
struct Bucket {
    burst: NonZeroU32,
    every: Duration,
}

const fn bucket(burst: u32, every_ms: u64) -> Bucket {
    let burst = match NonZeroU32::new(burst) {
        Some(burst) => burst,
        None => NonZeroU32::MIN,
    };
    Bucket {
        burst,
        every: Duration::from_millis(every_ms),
    }
}

/// A sweep's share of EC2's limits, which apply to all callers together. For filtered and paginated reads they are a
/// bucket of 100 and 20 a second, for authorizes 50 and 5 a second (EC2 Developer Guide, "Request throttling"). A sweep
/// that is alone takes four fifths of the rate: 16 reads and 4 authorizes a second.
const READS: Bucket = bucket(60, 62);
const AUTHORIZES: Bucket = bucket(30, 250);

/// The share of a sweep next to two others: 6 reads and 1.5 authorizes a second.
const READS_OF_PART: Bucket = bucket(20, 167);
const AUTHORIZES_OF_PART: Bucket = bucket(10, 667);

/// The watch's share: a fourth of the rate of reads, 5 a second. Its reconciles are at no pace.
const READS_OF_WATCH: Bucket = bucket(10, 200);

/// The buckets of sweeps in one account and Region.
#[derive(Debug)]
pub(super) struct Pacer {
    reads: DefaultDirectRateLimiter,
    authorizes: DefaultDirectRateLimiter,
}

impl Pacer {
    /// Full buckets for a pace. `None` for a pace without a limit.
    pub(super) fn new(pace: Pace) -> Option<Self> {
        let (reads, authorizes) = match pace {
            Pace::Free => return None,
            Pace::Alone => (READS, AUTHORIZES),
            Pace::AmongThree => (READS_OF_PART, AUTHORIZES_OF_PART),
            Pace::Watch => (READS_OF_WATCH, AUTHORIZES_OF_PART),
        };
        Some(Self {
            reads: limiter(&reads)?,
            authorizes: limiter(&authorizes)?,
        })
    }

    pub(super) async fn read(&self, deadline: Instant) {
        wait(&self.reads, deadline).await;
    }

    pub(super) async fn authorize(&self, deadline: Instant) {
        wait(&self.authorizes, deadline).await;
    }
}

/// `None` only for a bucket that is never filled.
fn limiter(bucket: &Bucket) -> Option<DefaultDirectRateLimiter> {
    let quota = Quota::with_period(bucket.every)?.allow_burst(bucket.burst);
    Some(DefaultDirectRateLimiter::direct(quota))
}

/// Waits for a token, at most until the deadline. After the deadline the call ends by itself.
async fn wait(limiter: &DefaultDirectRateLimiter, deadline: Instant) {
    while let Err(not_yet) = limiter.check() {
        let ready = Instant::now() + not_yet.wait_time_from(DefaultClock::default().now());
        tokio::time::sleep_until(ready.min(deadline)).await;
        if ready >= deadline {
            return;
        }
    }
}
