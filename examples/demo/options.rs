//! The demo's few options.

use std::path::PathBuf;
use std::time::Duration;

pub(crate) const HELP: &str = "\
Usage: demo [--delay TIME] [--function FILE]

  --delay TIME     how long CloudTrail's events take to the function, such as
                   500ms or 6s [default: 2s]
  --function FILE  another build of the function
                   [default: the one that is built along with the demo]

The demo ends by itself: with 0 if every rule is back that should be, else with 1.
";

/// What can be asked for.
#[derive(Debug)]
pub(crate) struct Options {
    /// From a call until the function is handed its event.
    pub(crate) delay: Duration,
    /// The function's binary, if not the one beside the demo's.
    pub(crate) function: Option<PathBuf>,
}

impl Options {
    /// Reads the command line; `None` if only help is asked for.
    pub(crate) fn read(
        mut arguments: impl Iterator<Item = String>,
    ) -> Result<Option<Self>, String> {
        let mut options = Self {
            delay: Duration::from_secs(2),
            function: None,
        };
        while let Some(argument) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .ok_or_else(|| format!("{argument} needs a value"))
            };
            match argument.as_str() {
                "-h" | "--help" => return Ok(None),
                "--delay" => options.delay = delay(&value()?)?,
                "--function" => options.function = Some(value()?.into()),
                other => return Err(format!("{other} is not an option")),
            }
        }
        Ok(Some(options))
    }
}

/// `500ms`, `2s`, `1.5s`: at most a minute, because somebody is watching.
fn delay(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 0.001),
        None => (text.strip_suffix('s').unwrap_or_default(), 1.0),
    };
    let seconds = number.parse::<f64>().map(|number| number * unit).ok();
    seconds
        .filter(|seconds| (0.0..=60.0).contains(seconds))
        .map(Duration::from_secs_f64)
        .ok_or_else(|| format!("--delay {text} is not a time from 0s to 60s, such as 500ms or 6s"))
}
