//! What can be asked for.

use std::path::PathBuf;
use std::time::Duration;

use crate::stories::Incident;
use rulekeeper_bench::times;

pub(crate) const HELP: &str = "\
Usage: outages [--delays TIME,…] [--only NAME,…] [--update FILE] [--function FILE]

  --delays TIME,…  how long CloudTrail's events take to the function; each story is
                   told once for each [default: 2s,6s,60s]
  --only NAME,…    these stories alone; --list names them
  --update FILE    write the table between the lines <!-- outages:begin --> and
                   <!-- outages:end --> of a file
  --function FILE  another build of the function
                   [default: the one that is built along with this program]
  --list           name the stories, and end

It ends by itself, after about three minutes: with 0 if every story went as it should
and every rule is accounted for, else with 1 and with the file as it was.
";

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Wish {
    Help,
    List,
    Replay(Options),
}

/// How to replay.
#[derive(Debug)]
pub(crate) struct Options {
    /// From a call until the function is handed its event, one time for each column.
    pub(crate) delays: Vec<Duration>,
    pub(crate) incidents: Vec<Incident>,
    /// Where the table goes, besides standard output.
    pub(crate) update: Option<PathBuf>,
    /// The function's binary, if not the one beside us.
    pub(crate) function: Option<PathBuf>,
}

impl Options {
    /// Reads the command line.
    pub(crate) fn read(mut arguments: impl Iterator<Item = String>) -> Result<Wish, String> {
        let mut options = Self {
            delays: [2, 6, 60].map(Duration::from_secs).to_vec(),
            incidents: Incident::ALL.to_vec(),
            update: None,
            function: None,
        };
        while let Some(argument) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .ok_or_else(|| format!("{argument} needs a value"))
            };
            match argument.as_str() {
                "-h" | "--help" => return Ok(Wish::Help),
                "--list" => return Ok(Wish::List),
                "--delays" => options.delays = delays(&value()?)?,
                "--only" => options.incidents = incidents(&value()?)?,
                "--update" => options.update = Some(value()?.into()),
                "--function" => options.function = Some(value()?.into()),
                other => return Err(format!("{other} is not an option")),
            }
        }
        if options.update.is_some() && options.incidents.len() < Incident::ALL.len() {
            return Err(
                "--update takes the table of all stories, so it does not go with --only".into(),
            );
        }
        Ok(Wish::Replay(options))
    }
}

fn delays(text: &str) -> Result<Vec<Duration>, String> {
    let delays = text.split(',').map(times::read);
    let delays: Result<Vec<_>, _> = delays.collect();
    delays.map_err(|problem| format!("--delays: {problem}"))
}

fn incidents(text: &str) -> Result<Vec<Incident>, String> {
    let named = |name: &str| {
        let found = Incident::ALL.into_iter().find(|it| it.story().name == name);
        found.ok_or_else(|| format!("--only: there is no story {name}; --list names them"))
    };
    text.split(',').map(named).collect()
}
