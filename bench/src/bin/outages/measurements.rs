//! Measures one replay: when the traffic of the story was cut, and for how long.

use std::collections::BTreeSet;
use std::time::Duration;

use rulekeeper_bench::Result;
use rulekeeper_bench::journal::{is_by_function, sent_events};
use rulekeeper_bench::probe::{Change, Probe};
use rulekeeper_bench::time::{Moment, between, micros, now};
use rulekeeper_local::{Cloud, Lambda, Outcome, Stack};
use serde_json::Value;

use crate::rules::{Rule, Traffic};
use crate::setup::WatchRun;

/// How often the probe reads the group. Some thirty replays share the machine, and times are printed in tenths of a second.
const PROBE_INTERVAL: Duration = Duration::from_millis(5);

/// How often the function's reports are read: each reading copies all of them.
const REPORT_INTERVAL: Duration = Duration::from_millis(200);

/// A time in which traffic was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cut {
    pub(crate) length: Duration,
    /// Whether part of it was skipped and not waited for.
    pub(crate) has_skips: bool,
}

/// Traffic, and when it was cut.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    pub(crate) traffic: Traffic,
    pub(crate) cuts: Vec<Cut>,
    /// The start of the present cut, and the time skipped since.
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
            self.cuts.push(Cut {
                length: between(since, at) + skipped,
                has_skips: !skipped.is_zero(),
            });
        }
    }
}

/// The measurements of a replay.
#[derive(Debug)]
pub(crate) struct Measurements {
    probe: Probe,
    cloud: Cloud,
    lambda: Lambda,
    live: BTreeSet<Rule>,
    traffic: Vec<Measured>,
    events: usize,
    reports: Vec<Value>,
    /// How many invocations' reports are among them.
    ended: usize,
    run: WatchRun,
    /// How many lines of the watch's log were read.
    lines: usize,
    next_read: Moment,
}

impl Measurements {
    /// Starts to measure.
    ///
    /// # Errors
    /// When some of the traffic is cut already.
    pub(crate) fn start(
        stack: &Stack,
        group: &str,
        traffic: Vec<Traffic>,
        run: WatchRun,
    ) -> Result<Self> {
        let live = stack.cloud().ec2().rules(group);
        let mut measurements = Self {
            probe: Probe::start(stack, group, PROBE_INTERVAL),
            cloud: stack.cloud().clone(),
            lambda: stack.lambda().clone(),
            live: parse(&live).collect(),
            traffic: Vec::new(),
            events: 0,
            reports: Vec::new(),
            ended: 0,
            run,
            lines: 0,
            next_read: 0,
        };
        for traffic in traffic {
            measurements.add(traffic)?;
        }
        Ok(measurements)
    }

    /// Measures more traffic from now on.
    ///
    /// # Errors
    /// When it is cut already.
    pub(crate) fn add(&mut self, traffic: Traffic) -> Result<()> {
        if !self.live.iter().any(|rule| traffic.passes(rule)) {
            return Err(format!("{traffic} is cut from the start").into());
        }
        self.traffic.push(Measured {
            traffic,
            cuts: Vec::new(),
            open: None,
        });
        Ok(())
    }

    /// Takes in what happened since the last call.
    ///
    /// # Errors
    /// When an invocation of the function failed and a retry would not help.
    pub(crate) fn update(&mut self) -> Result<()> {
        for (at, change) in self.probe.changes() {
            match change {
                Change::Gone(rules) => {
                    let gone: BTreeSet<_> = parse(&rules).collect();
                    self.live.retain(|rule| !gone.contains(rule));
                }
                Change::Back(rules) => self.live.extend(parse(&rules)),
                Change::Delivered(count) => self.events = count,
            }
            for measured in &mut self.traffic {
                measured.update(&self.live, at);
            }
        }
        if now() >= self.next_read {
            self.next_read = now() + micros(REPORT_INTERVAL);
            self.read_reports()?;
        }
        Ok(())
    }

    fn read_reports(&mut self) -> Result<()> {
        let invocations = self.lambda.invocations().into_iter();
        for invocation in invocations.skip(self.ended) {
            self.ended += 1;
            let report = invocation.response;
            let retryable = report["errorType"] == "rulekeeper.Retryable";
            if invocation.outcome != Outcome::Success && !retryable {
                return Err(format!("the function failed: {report}").into());
            }
            self.reports.push(report);
        }
        // The watch does not end, and logs each report.
        let logs = self.run.as_ref().map(|run| self.lambda.logs_of(run));
        let logs = logs.unwrap_or_default();
        for line in &logs[self.lines..] {
            let line: Value = serde_json::from_str(&line.text).unwrap_or_default();
            if line["report"]["group"].is_object() {
                self.reports.push(line["report"].clone());
            }
        }
        self.lines = logs.len();
        Ok(())
    }

    /// Adds time that is not waited for.
    pub(crate) fn skip(&mut self, time: Duration) {
        for (_, skipped) in self.traffic.iter_mut().filter_map(|it| it.open.as_mut()) {
            *skipped += time;
        }
    }

    /// Whether some traffic is cut.
    pub(crate) fn is_cut(&self) -> bool {
        self.traffic.iter().any(|it| it.open.is_some())
    }

    /// The start of the present cut of each traffic.
    pub(crate) fn open_cuts(&self) -> Vec<Option<Moment>> {
        let open = self.traffic.iter().map(|it| it.open);
        open.map(|open| open.map(|(since, _)| since)).collect()
    }

    /// How many events the function has to get until it has those of all calls so far. Its own calls do not count: their
    /// events change nothing.
    pub(crate) fn events_to_come(&self) -> usize {
        let sent = sent_events(&self.cloud);
        let last = sent.iter().rposition(|(_, record)| !is_by_function(record));
        last.map_or(0, |index| index + 1)
    }

    /// Whether the function has got this many events and has handled all of them.
    pub(crate) fn is_idle_after(&self, events: usize) -> bool {
        let load = self.lambda.load();
        let watching = usize::from(self.run.is_some());
        self.events >= events && load.queued + load.running + load.waiting == watching
    }

    /// The traffic with its cuts, the present one included.
    pub(crate) fn traffic(&self) -> Vec<Measured> {
        let mut traffic = self.traffic.clone();
        for measured in &mut traffic {
            measured.close(now());
        }
        traffic
    }

    /// The live rules.
    pub(crate) fn live(&self) -> &BTreeSet<Rule> {
        &self.live
    }

    /// How many events the function has got.
    pub(crate) fn events(&self) -> usize {
        self.events
    }

    /// The function's reports, oldest first.
    pub(crate) fn reports(&self) -> &[Value] {
        &self.reports
    }
}

fn parse(rules: &[String]) -> impl Iterator<Item = Rule> {
    rules.iter().filter_map(|rule| Rule::parse(rule))
}
