//! Times: moments that are measured, and durations as arguments and as text.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::screen::NBSP;

/// Microseconds since the Unix epoch, comparable with the times in the stack's journal.
pub type Moment = u64;

/// The current time.
pub fn now() -> Moment {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    micros(since.unwrap_or_default())
}

/// A duration as a difference of moments.
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The time between two moments; none if they are in the wrong order.
pub fn between(earlier: Moment, later: Moment) -> Duration {
    Duration::from_micros(later.saturating_sub(earlier))
}

/// The value of an argument: `500ms`, `2s`, `1.5s`; at most a minute, because the user waits.
///
/// # Errors
/// What is wrong with it, for the message of the command line.
pub fn parse(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 0.001),
        None => (text.strip_suffix('s').unwrap_or_default(), 1.0),
    };
    let seconds = number.parse::<f64>().map(|number| number * unit).ok();
    seconds
        .filter(|seconds| (0.0..=60.0).contains(seconds))
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "it is not a time from 0s to 60s, such as 500ms or 6s".to_owned())
}

/// `12.3 ms`.
pub fn millis(duration: Duration) -> String {
    format!("{:.1}{NBSP}ms", duration.as_secs_f64() * 1_000.0)
}

/// `2.31 s`.
pub fn seconds(duration: Duration) -> String {
    format!("{:.2}{NBSP}s", duration.as_secs_f64())
}

/// `2 s` or `500 ms`.
pub fn short(time: Duration) -> String {
    if time.subsec_millis() == 0 {
        format!("{}{NBSP}s", time.as_secs())
    } else {
        format!("{}{NBSP}ms", time.as_millis())
    }
}

/// `2.1 s`; from two minutes `2 min 30 s`; from ten minutes, which reports do not give more exactly, `45 min`.
pub fn length(time: Duration) -> String {
    let seconds = time.as_secs_f64().round() as u64;
    match (seconds / 60, seconds % 60) {
        (0 | 1, _) => format!("{:.1}{NBSP}s", time.as_secs_f64()),
        (minutes @ 2..10, rest @ 1..) => format!("{minutes}{NBSP}min{NBSP}{rest}{NBSP}s"),
        (minutes, rest) => format!("{}{NBSP}min", minutes + rest / 30),
    }
}
