//! The demo's few options.

use std::path::PathBuf;
use std::time::Duration;

use rulekeeper_bench::times;

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
                "--delay" => {
                    let time = times::read(&value()?);
                    options.delay = time.map_err(|problem| format!("--delay {problem}"))?;
                }
                "--function" => options.function = Some(value()?.into()),
                other => return Err(format!("{other} is not an option")),
            }
        }
        Ok(Some(options))
    }
}
