//! Prints what happens to a group while it happens. The lines come from the probe, from the stack's journal of calls, from
//! CloudTrail's records and from the function's reports.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rulekeeper_bench::Result;
use rulekeeper_bench::journal::{is_function, sent_events};
use rulekeeper_bench::probe::{Change, Probe, delivered};
use rulekeeper_bench::screen::Screen;
use rulekeeper_bench::time::{Moment, between, micros, now, seconds};
use rulekeeper_local::{Cloud, Invocation, Lambda, Load, Stack};
use serde_json::Value;

use crate::lines;

/// How often the probe reads the group.
const PROBE_INTERVAL: Duration = Duration::from_millis(1);

/// How long a line waits before it is printed, because another source may have an earlier line.
const SORT_DELAY: Duration = Duration::from_millis(30);

/// A rule that was revoked.
#[derive(Debug, Clone, Copy)]
struct Revoked {
    gone: Moment,
    back: Option<Moment>,
}

/// An entry, of one line or more.
#[derive(Debug)]
struct Line {
    at: Moment,
    who: &'static str,
    text: Vec<String>,
}

/// One observation of a group, from just before the revoke.
#[derive(Debug)]
pub(crate) struct Observer<'a> {
    screen: &'a Screen,
    cloud: &'a Cloud,
    lambda: &'a Lambda,
    probe: Probe,
    /// The time of the first line.
    began: Option<Moment>,
    lines: Vec<Line>,
    revoked: BTreeMap<String, Revoked>,
    reports: Vec<Value>,
    error: Option<String>,
    /// When the function got an event, by the id of the event.
    arrived: BTreeMap<String, Moment>,
    // How much of each source has been read.
    last_call: u64,
    authorizes: usize,
    invocations: usize,
    delivered: usize,
}

impl<'a> Observer<'a> {
    /// Starts the probe. Times count from the first line.
    pub(crate) fn start(screen: &'a Screen, stack: &'a Stack, group: &str) -> Self {
        let (cloud, lambda) = (stack.cloud(), stack.lambda());
        Self {
            screen,
            cloud,
            lambda,
            probe: Probe::start(stack, group, PROBE_INTERVAL),
            began: None,
            lines: Vec::new(),
            revoked: BTreeMap::new(),
            reports: Vec::new(),
            error: None,
            arrived: BTreeMap::new(),
            last_call: cloud.calls().last().map_or(0, |call| call.sequence),
            authorizes: lines::rules_authorized(cloud).len(),
            invocations: lambda.invocations().len(),
            delivered: delivered(cloud, lambda),
        }
    }

    /// Adds a line about what happens now.
    pub(crate) fn say(&mut self, who: &'static str, text: impl Into<String>) {
        self.add(now(), who, vec![text.into()]);
    }

    /// Adds a line with more lines below it.
    pub(crate) fn say_with(&mut self, who: &'static str, text: String, more: &[String]) {
        let more = more.iter().map(|line| format!("  {line}"));
        self.add(now(), who, std::iter::once(text).chain(more).collect());
    }

    fn add(&mut self, at: Moment, who: &'static str, text: Vec<String>) {
        self.began.get_or_insert(at);
        self.lines.push(Line { at, who, text });
    }

    /// Observes until a condition holds, and returns true; false if it does not hold in time.
    ///
    /// # Errors
    /// When an invocation of the function fails.
    pub(crate) async fn watch(
        &mut self,
        timeout: Duration,
        until: impl Fn(&Self) -> bool,
    ) -> Result<bool> {
        let deadline = now() + micros(timeout);
        loop {
            self.collect();
            self.print(now().saturating_sub(micros(SORT_DELAY)))?;
            let done = until(self);
            if done || self.error.is_some() || now() > deadline {
                self.print(Moment::MAX)?;
                return match self.error.take() {
                    Some(error) => Err(error.into()),
                    None => Ok(done),
                };
            }
            tokio::time::sleep(Duration::from_millis(4)).await;
        }
    }

    /// Prints everything until now.
    pub(crate) async fn catch_up(&mut self) -> Result<()> {
        self.watch(SORT_DELAY, |_| false).await.map(drop)
    }

    /// Whether no event is on its way and no invocation runs.
    pub(crate) fn is_idle(&self) -> bool {
        self.lambda.load() == Load::default()
    }

    /// The revoked rules that are not back.
    pub(crate) fn missing(&self) -> BTreeSet<String> {
        let missing = self.revoked.iter().filter(|(_, it)| it.back.is_none());
        missing.map(|(rule, _)| rule.clone()).collect()
    }

    /// How many rules were revoked.
    pub(crate) fn revoked(&self) -> usize {
        self.revoked.len()
    }

    /// How many of them are back.
    pub(crate) fn restored(&self) -> usize {
        self.revoked() - self.missing().len()
    }

    /// From the first revoked rule until the last restored one.
    pub(crate) fn cut(&self) -> Duration {
        let gone = self.revoked.values().map(|it| it.gone).min();
        let back = self.revoked.values().filter_map(|it| it.back).max();
        between(gone.unwrap_or(0), back.unwrap_or(0))
    }

    /// The function's reports, oldest first.
    pub(crate) fn reports(&self) -> &[Value] {
        &self.reports
    }

    fn collect(&mut self) {
        for (at, change) in self.probe.changes() {
            match change {
                Change::Gone(rules) => self.gone(at, rules),
                Change::Back(rules) => self.back(at, &rules),
                Change::Delivered(count) => self.delivered(at, count),
            }
        }
        self.collect_calls();
        let invocations = self.lambda.invocations();
        for invocation in invocations.iter().skip(self.invocations) {
            self.invoked(invocation);
        }
        self.invocations = invocations.len();
    }

    fn gone(&mut self, at: Moment, rules: Vec<String>) {
        self.add(at, "group", vec![format!("{}: gone", subject(&rules))]);
        let revoked = Revoked {
            gone: at,
            back: None,
        };
        self.revoked
            .extend(rules.into_iter().map(|rule| (rule, revoked)));
    }

    fn back(&mut self, at: Moment, rules: &[String]) {
        let mut after = String::new();
        for rule in rules {
            if let Some(revoked) = self.revoked.get_mut(rule) {
                revoked.back = Some(at);
                after = format!(" after {}", seconds(between(revoked.gone, at)));
            }
        }
        let text = format!("{}: back{after}", subject(rules));
        self.add(at, "group", vec![text]);
    }

    fn delivered(&mut self, at: Moment, count: usize) {
        let sent = sent_events(self.cloud).into_iter();
        for (event, record) in sent.take(count).skip(self.delivered) {
            self.arrived.insert(event, at);
            self.add(at, "event", lines::event(&record));
        }
        self.delivered = count;
    }

    fn collect_calls(&mut self) {
        let calls = self.cloud.calls();
        let last = self.last_call;
        let new = calls.iter().filter(|call| call.sequence > last);
        for call in new.take_while(|call| call.outcome.is_some()) {
            let by_function = is_function(&call.principal);
            let mut rules = None;
            if by_function && call.action == "AuthorizeSecurityGroupIngress" {
                rules = lines::rules_authorized(self.cloud)
                    .get(self.authorizes)
                    .copied();
                if rules.is_none() {
                    // CloudTrail has no record of it yet.
                    return;
                }
                self.authorizes += 1;
            }
            self.last_call = call.sequence;
            if by_function {
                self.add(call.time_ms * 1_000, "call", lines::call(call, rules));
            }
        }
    }

    fn invoked(&mut self, invocation: &Invocation) {
        let started = invocation.started_ms * 1_000;
        let event = invocation.payload["id"].as_str().unwrap_or_default();
        let arrived = self.arrived.get(event).copied().unwrap_or(started);
        let start = between(arrived, started);
        let at = started + invocation.took_us;
        match lines::report(invocation, start) {
            Ok(lines) => {
                self.add(at, "report", lines);
                self.reports.push(invocation.response.clone());
            }
            Err(error) => {
                self.add(at, "function", vec![error.clone()]);
                self.error.get_or_insert(error);
            }
        }
    }

    /// Prints the lines up to a moment, in order. Lines after the start of a running call wait for its end.
    fn print(&mut self, up_to: Moment) -> Result<()> {
        let calls = self.cloud.calls();
        let running = calls.iter().find(|call| call.sequence > self.last_call);
        let up_to = match running {
            Some(running) if up_to != Moment::MAX => up_to.min(running.time_ms * 1_000),
            _ => up_to,
        };
        self.lines.sort_by_key(|line| line.at);
        let ready = self.lines.partition_point(|line| line.at <= up_to);
        let began = self.began.unwrap_or(0);
        for Line { at, who, text } in self.lines.drain(..ready) {
            let after = between(began, at).as_secs_f64();
            let mut label = format!("{:>8}  {who:11}", format!("+{after:.3} s"));
            for part in text {
                self.screen.hanging(&label, &part)?;
                label = " ".repeat(label.chars().count());
            }
        }
        Ok(())
    }
}

/// The rule, or the number of rules.
fn subject(rules: &[String]) -> String {
    match rules {
        [rule] => rule.clone(),
        many => format!("{} rules", many.len()),
    }
}
