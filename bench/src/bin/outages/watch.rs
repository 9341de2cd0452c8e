//! What is seen of one replay: which of the traffic that has to get through is cut, and for how long.

use std::collections::BTreeSet;
use std::time::Duration;

use rulekeeper_bench::Result;
use rulekeeper_bench::journal::{is_by_function, sent_events};
use rulekeeper_bench::probe::{Change, Probe};
use rulekeeper_bench::time::{Moment, micros, now};
use rulekeeper_local::{Cloud, Lambda, Outcome, Stack};
use serde_json::Value;

use crate::rules::{Rule, Traffic};

/// Some thirty replays share the machine, and nothing is told finer than a tenth of a second.
const PROBE_INTERVAL: Duration = Duration::from_millis(5);

/// The answers of the function are copied to be read, so they are not read all the time.
const REPORT_INTERVAL: Duration = Duration::from_millis(200);

/// A time in which traffic did not get through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cut {
    pub(crate) length: Duration,
    /// Part of it is waiting that was not waited.
    pub(crate) has_skips: bool,
}

/// Traffic that has to get through, and when it did not.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    pub(crate) traffic: Traffic,
    pub(crate) cuts: Vec<Cut>,
    /// Since when it is cut, and what was skipped since.
    open: Option<(Moment, Duration)>,
}

impl Measured {
    fn update(&mut self, live: &BTreeSet<Rule>, at: Moment) {
        let passes = live.iter().any(|rule| self.traffic.passes(rule));
        match self.open {
            None if !passes => self.open = Some((at, Duration::ZERO)),
            Some(_) if passes => self.close(at),
            _ => {}
        }
    }

    fn close(&mut self, at: Moment) {
        if let Some((since, skipped)) = self.open.take() {
            let measured = Duration::from_micros(at.saturating_sub(since));
            self.cuts.push(Cut {
                length: measured + skipped,
                has_skips: !skipped.is_zero(),
            });
        }
    }
}

/// A probe, and what follows from what it tells.
#[derive(Debug)]
pub(crate) struct Watch {
    probe: Probe,
    cloud: Cloud,
    lambda: Lambda,
    live: BTreeSet<Rule>,
    traffic: Vec<Measured>,
    events: usize,
    invocations: usize,
    reports: Vec<Value>,
    next_read: Moment,
}

impl Watch {
    /// Starts to look.
    ///
    /// # Errors
    /// When some of the traffic does not get through to begin with.
    pub(crate) fn start(stack: &Stack, group: &str, needed: Vec<Traffic>) -> Result<Self> {
        let live = stack.cloud().ec2().rules(group);
        let mut watch = Self {
            probe: Probe::start(stack, group, PROBE_INTERVAL),
            cloud: stack.cloud().clone(),
            lambda: stack.lambda().clone(),
            live: live.iter().filter_map(|rule| Rule::parse(rule)).collect(),
            traffic: Vec::new(),
            events: 0,
            invocations: 0,
            reports: Vec::new(),
            next_read: 0,
        };
        for traffic in needed {
            watch.add(traffic)?;
        }
        Ok(watch)
    }

    /// More traffic that has to get through from now on.
    ///
    /// # Errors
    /// When it does not get through already.
    pub(crate) fn add(&mut self, traffic: Traffic) -> Result<()> {
        if !self.live.iter().any(|rule| traffic.passes(rule)) {
            return Err(format!("the story begins with {traffic} cut").into());
        }
        self.traffic.push(Measured {
            traffic,
            cuts: Vec::new(),
            open: None,
        });
        Ok(())
    }

    /// Takes in what happened since the last look.
    ///
    /// # Errors
    /// When an invocation of the function failed for good.
    pub(crate) fn update(&mut self) -> Result<()> {
        for (at, change) in self.probe.changes() {
            match change {
                Change::Gone(rules) => {
                    let gone: BTreeSet<_> = read(&rules).collect();
                    self.live.retain(|rule| !gone.contains(rule));
                }
                Change::Back(rules) => self.live.extend(read(&rules)),
                Change::Delivered(count) => self.events = count,
            }
            for needed in &mut self.traffic {
                needed.update(&self.live, at);
            }
        }
        if now() >= self.next_read {
            self.next_read = now() + micros(REPORT_INTERVAL);
            self.read_reports()?;
        }
        Ok(())
    }

    fn read_reports(&mut self) -> Result<()> {
        let invocations = self.lambda.invocations();
        for invocation in invocations.iter().skip(self.invocations) {
            let answer = &invocation.response;
            let passing = answer["errorType"] == "rulekeeper.Retryable";
            if invocation.outcome != Outcome::Success && !passing {
                return Err(format!("the function failed: {answer}").into());
            }
            self.reports.push(answer.clone());
        }
        self.invocations = invocations.len();
        Ok(())
    }

    /// Adds waiting that is not waited.
    pub(crate) fn skip(&mut self, time: Duration) {
        for (_, skipped) in self.traffic.iter_mut().filter_map(|it| it.open.as_mut()) {
            *skipped += time;
        }
    }

    /// Whether some traffic does not get through.
    pub(crate) fn is_cut(&self) -> bool {
        self.traffic.iter().any(|needed| needed.open.is_some())
    }

    /// Since when each traffic is cut, if it is.
    pub(crate) fn open_cuts(&self) -> Vec<Option<Moment>> {
        let open = self.traffic.iter().map(|needed| needed.open);
        open.map(|open| open.map(|(since, _)| since)).collect()
    }

    /// How many events have to be handed over until all calls so far of others than the function have been: its own ask
    /// for nothing.
    pub(crate) fn events_to_come(&self) -> usize {
        let sent = sent_events(&self.cloud);
        let last = sent.iter().rposition(|(_, record)| !is_by_function(record));
        last.map_or(0, |index| index + 1)
    }

    /// Whether so many events have been handed to the function, and all of them are handled.
    pub(crate) fn is_idle_after(&self, events: usize) -> bool {
        let load = self.lambda.load();
        self.events >= events && load.queued + load.running + load.waiting == 0
    }

    /// What was needed, with the times in which it was cut, the present one included.
    pub(crate) fn traffic(&self) -> Vec<Measured> {
        let mut needed = self.traffic.clone();
        for it in &mut needed {
            it.close(now());
        }
        needed
    }

    /// What is live.
    pub(crate) fn live(&self) -> &BTreeSet<Rule> {
        &self.live
    }

    /// How many events the function has been handed.
    pub(crate) fn events(&self) -> usize {
        self.events
    }

    /// What the function reported, oldest first.
    pub(crate) fn reports(&self) -> &[Value] {
        &self.reports
    }
}

fn read(rules: &[String]) -> impl Iterator<Item = Rule> {
    rules.iter().filter_map(|rule| Rule::parse(rule))
}
