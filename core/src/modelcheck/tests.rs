//! Explores the scenarios, and shows that mistakes are noticed.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model, Path};

use super::properties::{A, B, C, D, E, F, G, H, I, J};
use super::protocol::{Action, Protocol};
use super::scenario::Scenario;
use super::scenarios::all;
use super::state::State;
use crate::probe::Fault;

/// The most time for one scenario. It is far more than any scenario needs. A scenario that does not finish fails.
const PATIENCE: Duration = Duration::from_secs(1_200);

/// The slowest scenarios. `cargo test -p rulekeeper-core` leaves them to `make test`.
const LONG: [&str; 12] = [
    "aborted, two instances",
    "aborted twice",
    "accepted, two calls",
    "accepted, three calls",
    "added, then dropped",
    "modified, lost",
    "new order, two instances",
    "reference deleted at the second try",
    "reference deleted late",
    "replaced, two instances",
    "dropped, everything goes wrong",
    "replaced, stopped, lost, late",
];

/// How much to explore.
#[derive(Clone, Copy, PartialEq)]
enum Extent {
    /// Without the long scenarios.
    Short,
    /// Every scenario, as CI does.
    All,
    /// Every scenario with wider bounds. This takes minutes.
    Large,
}

impl Extent {
    fn asked_for() -> Self {
        match std::env::var("RULEKEEPER_MODEL_BOUNDS").as_deref() {
            Ok("large") => Self::Large,
            Ok("all") => Self::All,
            Ok(other) => panic!("RULEKEEPER_MODEL_BOUNDS: {other:?} is neither `all` nor `large`"),
            Err(_) => Self::Short,
        }
    }
}

/// Words on standard output, for `--nocapture`.
#[expect(
    clippy::print_stdout,
    reason = "the table of what was explored is for people"
)]
fn say(text: &str) {
    println!("{text}");
}

fn in_words(path: Path<State, Action>) -> String {
    let mut text = String::new();
    for (state, action) in path.into_vec() {
        let _ = writeln!(text, "{state}");
        if let Some(action) = action {
            let _ = writeln!(text, "  {action:?}");
        }
    }
    text
}

/// Explores a scenario completely. Every promise must hold, and the ends of the scenario must be reached.
fn explore(scenario: Scenario) {
    let (name, began) = (scenario.name, Instant::now());
    let checker = Protocol::new(scenario, None).checker().threads(2);
    let checker = checker.timeout(PATIENCE).spawn_bfs().join();
    let took = began.elapsed();
    assert!(took < PATIENCE && checker.is_done(), "{name}: cut off");
    for property in checker.model().properties() {
        let found = checker.discovery(property.name);
        match (property.expectation.discovery_is_failure(), found) {
            (false, None) => panic!("{name}: never reached: {}", property.name),
            (true, Some(path)) => panic!("{name}: broken: {}\n{}", property.name, in_words(path)),
            _ => {}
        }
    }
    say(&format!(
        "{name:32} {:>9} {:>12} {:>6} {:>9} {:>7.1}",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        checker.model().replays(),
        took.as_secs_f64()
    ));
}

#[test]
fn the_protocol_keeps_its_promises_in_every_scenario() {
    say("scenario                            states  transitions  depth  replays  seconds");
    let only = std::env::var("RULEKEEPER_MODEL_ONLY").unwrap_or_default();
    let extent = Extent::asked_for();
    let named = |scenario: &Scenario| scenario.name.contains(&only);
    for scenario in all(extent == Extent::Large).into_iter().filter(named) {
        match extent == Extent::Short && LONG.contains(&scenario.name) {
            true => say(&format!("{:32} left to `make test`", scenario.name)),
            false => explore(scenario),
        }
    }
}

#[test]
fn long_scenarios_exist() {
    let names: Vec<&str> = all(false).iter().map(|scenario| scenario.name).collect();
    assert!(LONG.iter().all(|long| names.contains(long)), "{names:?}");
}

/// The length of the path to a state in which a mistake breaks a promise.
fn counterexample(fault: Fault, promise: &'static str, scenario: &str) {
    let found = all(false).into_iter().find(|it| it.name == scenario);
    let found = found.expect("a scenario of this name");
    let checker = Protocol::new(found, Some(fault)).checker().threads(2);
    let broken = HasDiscoveries::AnyOf([promise].into());
    let checker = checker
        .timeout(PATIENCE)
        .finish_when(broken)
        .spawn_bfs()
        .join();
    match checker.discovery(promise) {
        Some(path) => say(&format!(
            "{fault:?} breaks {promise} in {scenario:?} after {} steps",
            path.into_actions().len()
        )),
        None => panic!("{fault:?} breaks {promise} nowhere in {scenario:?}"),
    }
}

#[test]
fn every_promise_is_broken_by_some_mistake() {
    for (fault, promise, scenario) in [
        (
            Fault::RecordsHoldWhatEventsName,
            A,
            "released by an operator",
        ),
        (Fault::RecordsAreReadLate, A, "released by an operator"),
        (Fault::RecordedRulesStandIn, B, "a rule within another"),
        (Fault::JudgesBeforeSettling, C, "replaced, delivered twice"),
        (Fault::StatesAreOverwritten, C, "replaced, two instances"),
        (Fault::RestoresAreForgotten, C, "asked twice"),
        (Fault::ForgetsAborts, D, "aborted twice"),
        (Fault::RestoresAreForgotten, E, "a fight"),
        (Fault::WritesWithoutAuthor, F, "accepted"),
        (Fault::RecordsAreOverwritten, F, "applied meanwhile"),
        (Fault::CausesAreNotAwaited, G, "accepted, two calls"),
        (Fault::CausesAreNotAwaited, G, "accepted, three calls"),
        (Fault::ForgetsWhatModifiesTook, C, "modified, accepted"),
        (Fault::ForgetsWhatModifiesGave, C, "modified, followed"),
        (Fault::LooksOverwriteIds, C, "modified, accepted"),
        (Fault::IgnoresDescriptions, C, "described anew"),
        (
            Fault::CountsRulesOfOthers,
            D,
            "covered by a stranger's rule",
        ),
        (
            Fault::IgnoresDeletions,
            H,
            "reference deleted at the second try",
        ),
        (
            Fault::TakesThrottlesForRefusals,
            H,
            "narrowed, throttled at first",
        ),
        (Fault::LetsLargeChangesThrough, I, "a large change"),
        (Fault::StatesExpire, I, "a narrowing refused"),
        (Fault::StatesExpire, C, "a large change, two days later"),
        (Fault::LosesFactsQuietly, J, "busy table, accepted"),
    ] {
        counterexample(fault, promise, scenario);
    }
}
