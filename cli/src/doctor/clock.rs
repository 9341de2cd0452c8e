//! Which clock is wrong, and by how much.
//!
//! A request must reach AWS within five minutes of the time in its signature (IAM User Guide, "AWS Signature Version 4
//! for API requests"); some services grant more. Pauses end, and incidents are told, in real time, so less matters too.

use jiff::Timestamp;
use rulekeeper_core::function::permissions::{Check, Findings};

use super::check::{failed, ok, skipped, warning};
use super::facts::Reading;

/// From here on a clock gets a warning. The `Date` of an answer is to the second, and the network takes a part.
const DOUBTFUL_MS: i64 = 5_000;

/// From here on a clock is broken: a minute more, and AWS may refuse every call.
const BROKEN_MS: i64 = 4 * 60 * 1_000;

/// By how much our clock is ahead of the told time, in milliseconds; negative when it is behind. 0 as long as both can
/// be right.
pub(super) fn offset_ms(reading: &Reading) -> i64 {
    let (sent, received) = (
        reading.sent.as_millisecond(),
        reading.received.as_millisecond(),
    );
    let earliest = reading.told.as_millisecond();
    let latest = earliest + reading.blur_ms;
    match () {
        () if sent > latest => sent - latest,
        () if received < earliest => received - earliest,
        () => 0,
    }
}

/// Our own clock, by that of AWS.
pub(super) fn ours(reading: Option<&Reading>) -> Check {
    match reading {
        None => skipped("clock", "this machine", "no service answered with its time"),
        Some(reading) => judge(
            "this machine",
            offset_ms(reading),
            "Set the clock: `timedatectl set-ntp true`, or `chronyc makestep` where chrony runs.",
        ),
    }
}

/// The function's clock, by that of AWS: `ahead_ms` is how far ours is ahead of it.
pub(super) fn of_function(
    findings: &Findings,
    sent: Timestamp,
    received: Timestamp,
    ahead_ms: i64,
) -> Check {
    let reading = Reading {
        sent,
        told: findings.time,
        blur_ms: 0,
        received,
    };
    judge(
        "the function",
        ahead_ms - offset_ms(&reading),
        "Lambda sets that clock: deploy again to start new instances, and ask AWS if that does not help.",
    )
}

fn judge(subject: &str, ahead_ms: i64, fix: &str) -> Check {
    let side = if ahead_ms > 0 { "ahead of" } else { "behind" };
    #[expect(
        clippy::cast_precision_loss,
        reason = "a clock that is off by millennia may be told roughly"
    )]
    let seconds = ahead_ms.abs() as f64 / 1_000.0;
    let found = format!("{seconds:.0} s {side} AWS");
    match ahead_ms.abs() {
        0..DOUBTFUL_MS => ok("clock", subject, "agrees with AWS to a few seconds"),
        DOUBTFUL_MS..BROKEN_MS => {
            let found = format!("{found}: pauses end and incidents are recorded at the wrong time");
            warning("clock", subject, found).fix(fix)
        }
        _ => {
            let found = format!("{found}: from five minutes on AWS may refuse every call");
            failed("clock", subject, found).fix(fix)
        }
    }
}
