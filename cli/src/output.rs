//! Results to standard output, everything else to standard error.

use std::io::{ErrorKind, IsTerminal as _, Write as _};

use serde::Serialize;
use tracing_subscriber::EnvFilter;

use crate::args::Format;
use crate::failure::Failure;
use crate::steering::{json, spelled_out};

/// Shows results in the requested format.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    format: Format,
    asked: bool,
}

impl Output {
    /// A table on a terminal, JSON elsewhere, unless told otherwise.
    pub(crate) fn new(asked: Option<Format>) -> Self {
        let usual = if std::io::stdout().is_terminal() {
            Format::Table
        } else {
            Format::Json
        };
        Self {
            format: asked.unwrap_or(usual),
            asked: asked.is_some(),
        }
    }

    /// Whether the command line names a format.
    pub(crate) fn is_asked(self) -> bool {
        self.asked
    }

    /// Whether results are text for people.
    pub(crate) fn is_table(self) -> bool {
        self.format == Format::Table
    }

    /// Shows one result: as a document, or as the text of it.
    pub(crate) fn show(
        self,
        document: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Table => print(&spelled_out(&text())),
            Format::Json => print(&json(document).map_err(Failure::failed)?),
        }
    }

    /// Shows documents: one as it is, several as a list.
    pub(crate) fn show_each(
        self,
        documents: &[impl Serialize],
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        match documents {
            [one] => self.show(one, text),
            _ => self.show(&documents, text),
        }
    }
}

/// Writes to standard output. A reader that has had enough (`rulekeeper list | head -1`) is no failure.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::failed(format_args!(
            "the result could not be written: {error}"
        ))),
        _ => Ok(()),
    }
}

/// What is logged unless `RULEKEEPER_LOG` says otherwise. Where there is no instance metadata the SDK warns of that before
/// it looks elsewhere, which is nothing to worry about.
const USUAL_LOGS: &str = "warn,aws_config=error";

/// Sends logs that pass the filter to standard error.
pub(crate) fn log_to_stderr(filter: Option<String>) -> Result<(), Failure> {
    let filter = filter
        .filter(|text| !text.trim().is_empty())
        .unwrap_or_else(|| USUAL_LOGS.to_owned());
    let filter = EnvFilter::builder().parse(&filter).map_err(|error| {
        Failure::usage(format_args!(
            "RULEKEEPER_LOG is {filter:?}, not a tracing filter such as info: {error}"
        ))
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    Ok(())
}
