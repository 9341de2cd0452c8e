//! What many runs add up to.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::thread;

use crate::case::Case;
use crate::run::{Log, run};
use rulekeeper_core::probe::{self, ROWS};

/// What many runs add up to.
#[derive(Debug, Default)]
pub(crate) struct Sum {
    seeds: Range<u64>,
    events: usize,
    invocations: usize,
    died: usize,
    /// How often each verdict was given.
    rows: BTreeMap<&'static str, u64>,
    faults: BTreeMap<String, usize>,
    /// The seeds that break a promise, and how.
    pub(crate) bad: Vec<(u64, Vec<String>)>,
}

impl Sum {
    /// Runs seeds, on two threads.
    pub(crate) fn of(seeds: Range<u64>) -> Self {
        let half = |rest: u64| {
            let seeds = seeds.clone();
            thread::spawn(move || {
                let mut sum = Self::default();
                drop(probe::take());
                for seed in seeds.filter(|seed| seed % 2 == rest) {
                    sum.add(seed, run(&Case::of_seed(seed)));
                }
                sum.rows = probe::take();
                sum
            })
        };
        let mut all = Self {
            seeds: seeds.clone(),
            ..Self::default()
        };
        for half in [half(0), half(1)] {
            all.join(half.join().expect("no run panics"));
        }
        all.bad.sort();
        all
    }

    fn add(&mut self, seed: u64, log: Log) {
        self.join(Self {
            events: log.events,
            invocations: log.invocations,
            died: log.died,
            faults: log.faults,
            ..Self::default()
        });
        if !log.broken.is_empty() {
            self.bad.push((seed, log.broken));
        }
    }

    fn join(&mut self, other: Self) {
        self.events += other.events;
        self.invocations += other.invocations;
        self.died += other.died;
        for (fault, times) in other.faults {
            *self.faults.entry(fault).or_default() += times;
        }
        for (row, times) in other.rows {
            *self.rows.entry(row).or_default() += times;
        }
        self.bad.extend(other.bad);
    }

    /// The verdicts that were not given.
    pub(crate) fn unreached(&self) -> Vec<&'static str> {
        let rows = ROWS.into_iter();
        rows.filter(|row| !self.rows.contains_key(row)).collect()
    }

    /// The story of the first bad seed, made as small as it goes.
    pub(crate) fn first_story(&self) -> Option<String> {
        let (seed, _) = self.bad.first()?;
        let (case, log) = shrunk(Case::of_seed(*seed));
        let story = log.story.join("\n");
        Some(format!("seed {seed}, made smaller: {case:#?}\n{story}"))
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seeds,
            events,
            invocations,
            died,
            ..
        } = self;
        let (first, last) = (seeds.start, seeds.end.saturating_sub(1));
        writeln!(
            f,
            "seeds {first} to {last}: {events} events, {invocations} invocations, {died} of them died"
        )?;
        writeln!(f, "verdicts:")?;
        for row in ROWS {
            writeln!(f, "{:>9} {row}", self.rows.get(row).unwrap_or(&0))?;
        }
        writeln!(f, "faults:")?;
        for (fault, times) in &self.faults {
            writeln!(f, "{times:>9} {fault}")?;
        }
        for (seed, broken) in &self.bad {
            writeln!(f, "seed {seed}: {}", broken.join("; "))?;
        }
        write!(f, "{} seeds break a promise", self.bad.len())
    }
}

/// The smallest case that still breaks a promise.
fn shrunk(mut case: Case) -> (Case, Log) {
    let mut log = run(&case);
    'smaller: loop {
        for smaller in case.smaller() {
            let ended = run(&smaller);
            if !ended.broken.is_empty() {
                (case, log) = (smaller, ended);
                continue 'smaller;
            }
        }
        return (case, log);
    }
}
