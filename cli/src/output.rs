//! Results to standard output, everything else to standard error.

use std::io::{ErrorKind, IsTerminal as _, Write};

use serde::Serialize;
use serde_json::{Map, Value};
use tracing_subscriber::EnvFilter;

use crate::args::Format;
use crate::failure::Failure;
use crate::paint::colored;
use crate::steering::{json, spelled_out_around_marks, yaml};

/// The number of the documents' schema. It grows when a name goes or changes its meaning.
const SCHEMA: u8 = 1;

/// A result as a document: the same form for every verb, whatever the number of items.
#[derive(Debug, Serialize)]
pub(crate) struct Document<'a, T> {
    schema: u8,
    kind: &'static str,
    #[serde(flatten)]
    about: Map<String, Value>,
    items: &'a [T],
}

/// Shows results in the requested format.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    kind: &'static str,
    format: Format,
    asked: bool,
}

impl Output {
    /// A table on a terminal, JSON elsewhere, unless told otherwise. `kind` is that of the documents: the verb.
    pub(crate) fn new(kind: &'static str, asked: Option<Format>) -> Self {
        let usual = if std::io::stdout().is_terminal() {
            Format::Table
        } else {
            Format::Json
        };
        Self {
            kind,
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

    /// The document of these items.
    pub(crate) fn document<T>(self, items: &[T]) -> Document<'_, T> {
        Document {
            schema: SCHEMA,
            kind: self.kind,
            about: Map::new(),
            items,
        }
    }

    /// Shows items: as a document, or as the text of them.
    pub(crate) fn show(
        self,
        items: &[impl Serialize],
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        self.show_document(&self.document(items), text)
    }

    /// Shows one item.
    pub(crate) fn show_one(
        self,
        item: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        self.show(std::slice::from_ref(item), text)
    }

    /// Shows a document, or the text of it.
    pub(crate) fn show_document(
        self,
        document: &Document<'_, impl Serialize>,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Table => {
                let text = colored(&spelled_out_around_marks(&text()));
                written(anstream::AutoStream::auto(std::io::stdout().lock()), &text)
            }
            Format::Json => print(&json(document).map_err(Failure::failed)?),
            Format::Yaml => print(&yaml(document).map_err(Failure::failed)?),
        }
    }
}

impl<T> Document<'_, T> {
    /// The same with something that is about all items. Nothing is said of what is absent.
    pub(crate) fn with(mut self, name: &str, value: impl Serialize) -> Result<Self, Failure> {
        let value = serde_json::to_value(value).map_err(Failure::failed)?;
        if !value.is_null() {
            self.about.insert(name.to_owned(), value);
        }
        Ok(self)
    }
}

/// Writes to standard output. A reader that has had enough (`rulekeeper list | head -1`) is no failure.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    written(std::io::stdout().lock(), text)
}

fn written(mut out: impl Write, text: &str) -> Result<(), Failure> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::failed(format_args!(
            "the result could not be written: {error}"
        ))),
        _ => Ok(()),
    }
}

/// Clears the terminal, and begins at its top.
pub(crate) fn clear_terminal() -> Result<(), Failure> {
    print("\u{1b}[2J\u{1b}[H")
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
        // Nobody may be there to read that a log was not read.
        .log_internal_errors(false)
        .init();
    Ok(())
}
