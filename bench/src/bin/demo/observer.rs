//! Tells what happens to a group while it happens. What it tells comes from the probe, from the stack's journal of
//! calls, from CloudTrail's records and from what the function answered.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rulekeeper_local::{Cloud, Invocation, Lambda, Load, Stack};
use serde_json::Value;

use crate::wording;
use rulekeeper_bench::Failure;
use rulekeeper_bench::journal::{is_function, sent_events};
use rulekeeper_bench::probe::{Moment, Probe, Sighting, delivered, micros, now};
use rulekeeper_bench::screen::Screen;
use rulekeeper_bench::screen::seconds;

/// How often the probe looks.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// How long a line waits for lines that belong before it: what is seen at one moment comes from several places.
const SORT_WITHIN: Duration = Duration::from_millis(30);

/// A rule that went.
#[derive(Debug, Clone, Copy)]
struct Away {
    gone: Moment,
    back: Option<Moment>,
}

/// Something to tell.
#[derive(Debug)]
struct Line {
    at: Moment,
    who: &'static str,
    text: Vec<String>,
}

/// One observation, from just before the revoke.
#[derive(Debug)]
pub(crate) struct Observer<'a> {
    screen: &'a Screen,
    cloud: &'a Cloud,
    lambda: &'a Lambda,
    probe: Probe,
    began: Option<Moment>,
    lines: Vec<Line>,
    away: BTreeMap<String, Away>,
    reports: Vec<Value>,
    error: Option<String>,
    /// When an event was handed over, by its id.
    handed_over: BTreeMap<String, Moment>,
    // How much of each source has been told.
    last_call: u64,
    authorizes: usize,
    invocations: usize,
    delivered: usize,
}

impl<'a> Observer<'a> {
    /// Starts to look. Time stamps count from the first line.
    pub(crate) fn start(screen: &'a Screen, stack: &'a Stack, group: &str) -> Self {
        let (cloud, lambda) = (stack.cloud(), stack.lambda());
        Self {
            screen,
            cloud,
            lambda,
            probe: Probe::start(stack, group, LOOK_EVERY),
            began: None,
            lines: Vec::new(),
            away: BTreeMap::new(),
            reports: Vec::new(),
            error: None,
            handed_over: BTreeMap::new(),
            last_call: cloud.calls().last().map_or(0, |call| call.sequence),
            authorizes: wording::authorizes_of_function(cloud).len(),
            invocations: lambda.invocations().len(),
            delivered: delivered(cloud, lambda),
        }
    }

    /// Adds a line about what is done now.
    pub(crate) fn say(&mut self, who: &'static str, text: impl Into<String>) {
        self.add(now(), who, vec![text.into()]);
    }

    /// The same with more lines below it.
    pub(crate) fn say_with(&mut self, who: &'static str, text: String, more: &[String]) {
        let more = more.iter().map(|line| format!("  {line}"));
        self.add(now(), who, std::iter::once(text).chain(more).collect());
    }

    fn add(&mut self, at: Moment, who: &'static str, text: Vec<String>) {
        self.began.get_or_insert(at);
        self.lines.push(Line { at, who, text });
    }

    /// Looks on until something is so, but only for so long; says whether it became so.
    ///
    /// # Errors
    /// When an invocation of the function fails.
    pub(crate) async fn watch(
        &mut self,
        most: Duration,
        until: impl Fn(&Self) -> bool,
    ) -> Result<bool, Failure> {
        let deadline = now() + micros(most);
        loop {
            self.take_in();
            self.tell(now().saturating_sub(micros(SORT_WITHIN)))?;
            let done = until(self);
            if done || self.error.is_some() || now() > deadline {
                self.tell(Moment::MAX)?;
                return match self.error.take() {
                    Some(error) => Err(error.into()),
                    None => Ok(done),
                };
            }
            tokio::time::sleep(Duration::from_millis(4)).await;
        }
    }

    /// Tells what is to tell until now.
    pub(crate) async fn catch_up(&mut self) -> Result<(), Failure> {
        self.watch(SORT_WITHIN, |_| false).await.map(drop)
    }

    /// Whether no event is on its way or being handled.
    pub(crate) fn is_quiet(&self) -> bool {
        self.lambda.load() == Load::default()
    }

    /// The rules that went and are not back.
    pub(crate) fn missing(&self) -> BTreeSet<String> {
        let missing = self.away.iter().filter(|(_, away)| away.back.is_none());
        missing.map(|(rule, _)| rule.clone()).collect()
    }

    /// How many rules went.
    pub(crate) fn dropped(&self) -> usize {
        self.away.len()
    }

    /// How many of them are back.
    pub(crate) fn restored(&self) -> usize {
        self.dropped() - self.missing().len()
    }

    /// From the first rule's going until the last one's return, of those that are back.
    pub(crate) fn cut(&self) -> Duration {
        let gone = self.away.values().map(|away| away.gone).min();
        let back = self.away.values().filter_map(|away| away.back).max();
        let cut = back.unwrap_or(0).saturating_sub(gone.unwrap_or(0));
        Duration::from_micros(cut)
    }

    /// What the function reported, oldest first.
    pub(crate) fn reports(&self) -> &[Value] {
        &self.reports
    }

    fn take_in(&mut self) {
        for (at, sighting) in self.probe.sightings() {
            match sighting {
                Sighting::Gone(rules) => self.gone(at, rules),
                Sighting::Back(rules) => self.back(at, &rules),
                Sighting::Delivered(count) => self.hand_over(at, count),
            }
        }
        self.take_in_calls();
        let invocations = self.lambda.invocations();
        for invocation in invocations.iter().skip(self.invocations) {
            self.answered(invocation);
        }
        self.invocations = invocations.len();
    }

    fn gone(&mut self, at: Moment, rules: Vec<String>) {
        self.add(at, "group", vec![format!("{}: gone", subject(&rules))]);
        let away = Away {
            gone: at,
            back: None,
        };
        self.away.extend(rules.into_iter().map(|rule| (rule, away)));
    }

    fn back(&mut self, at: Moment, rules: &[String]) {
        let mut after = String::new();
        for rule in rules {
            if let Some(away) = self.away.get_mut(rule) {
                away.back = Some(at);
                let cut = Duration::from_micros(at.saturating_sub(away.gone));
                after = format!(" after {}", seconds(cut));
            }
        }
        let text = format!("{}: back{after}", subject(rules));
        self.add(at, "group", vec![text]);
    }

    fn hand_over(&mut self, at: Moment, count: usize) {
        let sent = sent_events(self.cloud).into_iter();
        for (event, record) in sent.take(count).skip(self.delivered) {
            self.handed_over.insert(event, at);
            self.add(at, "event", wording::event(&record));
        }
        self.delivered = count;
    }

    fn take_in_calls(&mut self) {
        let calls = self.cloud.calls();
        let told = self.last_call;
        let new = calls.iter().filter(|call| call.sequence > told);
        for call in new.take_while(|call| call.outcome.is_some()) {
            let theirs = is_function(&call.principal);
            let mut rules = None;
            if theirs && call.action == "AuthorizeSecurityGroupIngress" {
                rules = wording::authorizes_of_function(self.cloud)
                    .get(self.authorizes)
                    .copied();
                if rules.is_none() {
                    // CloudTrail has not heard of it yet.
                    return;
                }
                self.authorizes += 1;
            }
            self.last_call = call.sequence;
            if theirs {
                self.add(call.time_ms * 1_000, "call", wording::call(call, rules));
            }
        }
    }

    fn answered(&mut self, invocation: &Invocation) {
        let started = invocation.started_ms * 1_000;
        let event = invocation.payload["id"].as_str().unwrap_or_default();
        let handed_over = self.handed_over.get(event).copied().unwrap_or(started);
        let start = Duration::from_micros(started.saturating_sub(handed_over));
        let at = started + invocation.took_us;
        match wording::answer(invocation, start) {
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

    /// Writes the lines up to a moment, in order. A call that still runs holds back what came after it.
    fn tell(&mut self, up_to: Moment) -> Result<(), Failure> {
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
            let after = Duration::from_micros(at.saturating_sub(began)).as_secs_f64();
            let mut head = format!("{:>8}  {who:11}", format!("+{after:.3} s"));
            for part in text {
                self.screen.hanging(&head, &part)?;
                head = " ".repeat(head.chars().count());
            }
        }
        Ok(())
    }
}

/// A rule by name, or how many.
fn subject(rules: &[String]) -> String {
    match rules {
        [rule] => rule.clone(),
        many => format!("{} rules", many.len()),
    }
}
