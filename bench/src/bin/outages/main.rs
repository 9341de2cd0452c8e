//! Replays of public outages (`make outages`): how long traffic was cut without rulekeeper and with it, how many API calls
//! each side made, and whether they fought over a rule.
//!
//! The function is the real one and runs under the Lambda Runtime API; `rulekeeper-local` stands in for AWS over HTTP. The
//! controllers are scripts that follow public reports and sources. Each story is replayed once without rulekeeper, once for
//! each delay of events, and once with the longest of them and a watched group. All replays run at the same time, each on a stack of its own. Times are measured; long waits
//! of the outage itself are skipped, and printed. After each replay, `audit` looks for lost rules and for calls that
//! rulekeeper may not make; with one finding the program fails and writes no table.

use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser as _;
use rulekeeper_bench::screen::Screen;
use rulekeeper_bench::{Result, exit_code};

mod audit;
mod controllers;
mod counts;
mod group_client;
mod measurements;
mod options;
mod replay;
mod rules;
mod setup;
mod stories;
mod table;
mod text;

use options::Options;
use replay::Outcome;
use setup::{Mode, Setup};
use stories::Story;

/// Time between the starts of two replays, so that their functions do not all start at once. With a quarter of a second,
/// two cores are so busy that measured times are half a second longer; with a second, 75 replays take the time of each other.
const START_INTERVAL: Duration = Duration::from_secs(2);

/// One replay to run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) story: &'static Story,
    pub(crate) mode: Mode,
}

impl Case {
    /// Whether this is the replay of a story in a mode.
    pub(crate) fn is(&self, story: &Story, mode: Mode) -> bool {
        self.story.name == story.name && self.mode == mode
    }

    fn run(&self, function: &Path) -> Result<Outcome> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let setup = Setup::start(self.mode, function)?;
        runtime.block_on((self.story.replay)(setup))
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let screen = Screen::stdout();
    exit_code(if options.list {
        text::list(&screen)
    } else {
        run(&screen, &options)
    })
}

fn run(screen: &Screen, options: &Options) -> Result<()> {
    let function = options.function.program()?;
    if let Some(file) = &options.update {
        // A file without the markers fails now, and not after the replays.
        table::update(file, None)?;
    }
    text::introduction(screen, &options.delays)?;
    let stories = options.stories();
    let (outcomes, errors) = run_all(&options.delays, &stories, &function);
    for story in &stories {
        text::story(screen, story, &outcomes)?;
    }
    if !errors.is_empty() {
        return Err(errors.join("\n        ").into());
    }
    let table = table::markdown(&stories, &options.delays, &outcomes);
    screen.heading("The table")?;
    screen.gap()?;
    screen.line(table.trim_end())?;
    if let Some(file) = &options.update {
        table::update(file, Some(&table))?;
        screen.paragraph(&format!("It is in {} now.", file.display()))?;
    }
    Ok(())
}

/// Runs all replays, those with the longest delays first. Returns the outcomes, and the errors of replays that failed.
fn run_all(
    delays: &[Duration],
    stories: &[&'static Story],
    function: &Path,
) -> (Vec<(Case, Outcome)>, Vec<String>) {
    let mut delays = delays.to_vec();
    delays.sort_by(|one, other| other.cmp(one));
    let watched = delays.first().map(|longest| Mode::Watched(*longest));
    let modes = delays.into_iter().map(Mode::With).chain([Mode::Without]);
    let modes = watched.into_iter().chain(modes);
    let cases: Vec<Case> = modes
        .flat_map(|mode| stories.iter().map(move |story| Case { story, mode }))
        .collect();
    let began = Instant::now();
    let (sender, results) = mpsc::channel();
    let (mut outcomes, mut errors) = (Vec::new(), Vec::new());
    thread::scope(|scope| {
        for (number, case) in (0..).zip(cases.iter().copied()) {
            let sender = sender.clone();
            scope.spawn(move || {
                thread::sleep(START_INTERVAL * number);
                // The receiver exists as long as the scope.
                let _ = sender.send((case, case.run(function)));
            });
        }
        drop(sender);
        for (number, (case, result)) in (1..).zip(results) {
            let name = text::name(&case);
            let line = match result {
                Ok(outcome) => {
                    let line = format!("{name}: {}", text::cut(&outcome));
                    outcomes.push((case, outcome));
                    line
                }
                Err(error) => {
                    errors.push(format!("{name}: {error}"));
                    format!("{name}: {error}")
                }
            };
            let at = began.elapsed().as_secs();
            eprintln!("[{at:>3} s, {number} of {}] {line}", cases.len());
        }
    });
    (outcomes, errors)
}
