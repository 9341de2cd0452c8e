//! Public outages, replayed (`make outages`): how long traffic was cut without rulekeeper and with it, how many API calls
//! each side made, and whether they fought.
//!
//! The function is the real one, over the Lambda Runtime API, real HTTP and real seconds; `rulekeeper-local` is the cloud.
//! The controllers are scripts after public reports and sources. Each story is replayed once without rulekeeper and once
//! for each delay of events, all side by side, each in a cloud of its own. Everything is measured but the waits that are
//! skipped, which are printed. After each replay, `audit` looks for lost rules and for calls that rulekeeper may not
//! make; one finding, and there is no table.

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
mod options;
mod replay;
mod rules;
mod setup;
mod stories;
mod table;
mod text;
mod watch;

use options::Options;
use replay::Outcome;
use setup::{Mode, Setup};
use stories::Incident;

/// One replay: of which story, and who keeps the rules.
type Case = (Incident, Mode);

fn main() -> ExitCode {
    let options = Options::parse();
    let screen = Screen::stdout();
    exit_code(if options.list {
        text::list(&screen)
    } else {
        replay(&screen, &options)
    })
}

fn replay(screen: &Screen, options: &Options) -> Result<()> {
    let function = options.function.program()?;
    if let Some(file) = &options.update {
        // A file without the marks is better known before the replays than after them.
        table::update(file, None)?;
    }
    text::introduction(screen, &options.delays)?;
    let incidents = options.incidents();
    let (outcomes, failures) = play_all(&options.delays, &incidents, &function);
    for incident in &incidents {
        text::story(screen, *incident, &outcomes)?;
    }
    if !failures.is_empty() {
        return Err(failures.join("\n        ").into());
    }
    let table = table::markdown(&incidents, &options.delays, &outcomes);
    screen.heading("The table")?;
    screen.gap()?;
    screen.line(table.trim_end())?;
    if let Some(file) = &options.update {
        table::update(file, Some(&table))?;
        screen.paragraph(&format!("{} has it now.", file.display()))?;
    }
    Ok(())
}

/// Between the beginnings of two replays, so that their functions do not all start at the same moment. At a quarter of a
/// second, two cores are busy enough to add half a second to what is measured.
const START_INTERVAL: Duration = Duration::from_secs(1);

/// What came of the replays, and what went wrong with them.
type Played = (Vec<(Case, Outcome)>, Vec<String>);

/// All replays at once, those that take longest first.
fn play_all(delays: &[Duration], incidents: &[Incident], function: &Path) -> Played {
    let mut delays = delays.to_vec();
    delays.sort_by(|one, other| other.cmp(one));
    let modes = delays.into_iter().map(Mode::With);
    let mut incidents = incidents.to_vec();
    incidents.sort_by_key(|incident| !incident.is_long());
    let replays: Vec<Case> = modes
        .chain([Mode::Without])
        .flat_map(|mode| incidents.iter().map(move |it| (*it, mode)))
        .collect();
    let began = Instant::now();
    let (tell, told) = mpsc::channel();
    let (mut outcomes, mut failures) = (Vec::new(), Vec::new());
    thread::scope(|scope| {
        for (number, replay) in (0..).zip(replays.iter().copied()) {
            let tell = tell.clone();
            scope.spawn(move || {
                thread::sleep(START_INTERVAL * number);
                // An error means that nobody listens any more.
                let _ = tell.send((replay, play(replay, function)));
            });
        }
        drop(tell);
        for (number, (replay, result)) in (1..).zip(told) {
            let name = text::name(replay);
            let result = result.map_err(|failure| format!("{name}: {failure}"));
            let line = match &result {
                Ok(outcome) => format!("{name}: {}", text::cut(outcome)),
                Err(failure) => failure.clone(),
            };
            let at = began.elapsed().as_secs();
            eprintln!("[{at:>3} s, {number} of {}] {line}", replays.len());
            match result {
                Ok(outcome) => outcomes.push((replay, outcome)),
                Err(failure) => failures.push(failure),
            }
        }
    });
    (outcomes, failures)
}

fn play((incident, mode): Case, function: &Path) -> Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let setup = Setup::start(mode, function.to_path_buf())?;
    runtime.block_on(incident.play(setup))
}
