//! Times as people write them.

use std::time::Duration;

/// `500ms`, `2s`, `1.5s`: at most a minute, because somebody waits for it.
///
/// # Errors
/// What is wrong with it, for the message of the command line.
pub fn read(text: &str) -> Result<Duration, String> {
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
