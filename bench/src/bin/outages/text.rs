//! The results as text.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use rulekeeper_bench::Result;
use rulekeeper_bench::screen::Screen;
use rulekeeper_bench::time::{length, short};

use crate::Case;
use crate::measurements::{Cut, Measured};
use crate::replay::{End, Outcome, Skip};
use crate::setup::{EC2_CALL, Mode, WATCH_SECONDS};
use crate::stories::{STORIES, Story};

/// The names that `--only` takes.
pub(crate) fn list(screen: &Screen) -> Result<()> {
    for story in &STORIES {
        screen.hanging(&format!("{:21}", story.name), story.title)?;
    }
    Ok(())
}

pub(crate) fn introduction(screen: &Screen, delays: &[Duration]) -> Result<()> {
    let delays: Vec<String> = delays.iter().map(|delay| short(*delay)).collect();
    screen.heading("Public outages, replayed on this machine")?;
    screen.paragraph(&format!(
        "The function and the CLI are real; EC2, CloudTrail, EventBridge and Lambda are rulekeeper-local. The controllers \
         are scripts that follow public reports and sources. Each story is replayed once without rulekeeper, once \
         for each delay of CloudTrail's events ({}), and once with the longest of them and the watch, which reads the \
         group every {WATCH_SECONDS} s; all at the same time.",
        delays.join(", ")
    ))?;
    screen.paragraph(&format!(
        "Traffic is cut while no rule lets the connections of the story pass; a thread reads the rules every 5 ms. Every \
         EC2 call takes {}. Long waits of the outage itself are skipped, added to the measured times, and printed; \
         times that contain a skipped wait are marked †. The function's clock does not skip: what it remembers \
         for ten or fifteen minutes, it remembers after a skipped wait too.",
        short(EC2_CALL)
    ))?;
    Ok(())
}

/// A story and the results of its replays.
pub(crate) fn story(screen: &Screen, story: &Story, outcomes: &[(Case, Outcome)]) -> Result<()> {
    screen.heading(story.title)?;
    screen.paragraph(story.text)?;
    if let Some((name, link)) = story.source {
        screen.paragraph(&format!("{name}: {link}"))?;
    }
    screen.gap()?;
    let results = outcomes.iter();
    let results = results.filter(|(case, _)| case.story.name == story.name);
    let mut results: Vec<(Mode, &Outcome)> = results.map(|(case, it)| (case.mode, it)).collect();
    results.sort_by_key(|(mode, _)| *mode);
    for (mode, outcome) in &results {
        screen.hanging(&format!("{:20}", mode_name(*mode)), &cut(outcome))?;
        screen.hanging(&" ".repeat(20), &calls(*mode, outcome))?;
    }
    // The replays of a story skip the same waits; the skipped times differ by fractions of a second.
    let mut skips: BTreeMap<&str, Duration> = BTreeMap::new();
    for (_, outcome) in results {
        let mut own: BTreeMap<&str, Duration> = BTreeMap::new();
        for Skip { time, text } in &outcome.skips {
            *own.entry(text).or_default() += *time;
        }
        skips.extend(own);
    }
    for (text, time) in skips {
        let text = format!("{}: {text}", length(time));
        screen.hanging(&format!("{:20}", "skipped"), &text)?;
    }
    Ok(())
}

/// The name of a replay.
pub(crate) fn name(case: &Case) -> String {
    format!("{}, {}", case.story.name, mode_name(case.mode))
}

fn mode_name(mode: Mode) -> String {
    match mode {
        Mode::Without => "without rulekeeper".to_owned(),
        Mode::With(delay) => format!("events after {}", short(delay)),
        Mode::Watched(delay) => format!("watched, after {}", short(delay)),
    }
}

/// How long traffic was cut, and how it ended.
pub(crate) fn cut(outcome: &Outcome) -> String {
    match outcome.end {
        End::Decided => "cut, as decided".to_owned(),
        End::Cut => format!(
            "cut until somebody fixes it; observed for {}",
            spans(&outcome.traffic)
        ),
        End::Flows if is_never_cut(outcome) => "not cut".to_owned(),
        End::Flows => format!("cut for {}", spans(&outcome.traffic)),
    }
}

/// Whether all traffic passed all the time.
pub(crate) fn is_never_cut(outcome: &Outcome) -> bool {
    outcome.traffic.iter().all(|it| it.cuts.is_empty())
}

/// How long each cut was, in order; for each port if the ports differ.
pub(crate) fn spans(traffic: &[Measured]) -> String {
    let mut spans_of_ports: Vec<(String, Vec<String>)> = Vec::new();
    let mut traffic: Vec<&Measured> = traffic.iter().collect();
    traffic.sort_by_key(|it| Reverse(it.cuts.iter().max().copied()));
    for it in traffic {
        let spans: Vec<String> = it.cuts.iter().map(span).collect();
        let spans = match spans.as_slice() {
            [] => "none".to_owned(),
            spans => spans.join(" + "),
        };
        let port = it.traffic.port.to_string();
        match spans_of_ports.iter_mut().find(|(known, _)| *known == spans) {
            Some((_, ports)) => ports.push(port),
            None => spans_of_ports.push((spans, vec![port])),
        }
    }
    if let [(spans, _)] = spans_of_ports.as_slice() {
        return spans.clone();
    }
    let texts = spans_of_ports.iter().map(|(spans, ports)| {
        let word = if ports.len() == 1 { "port" } else { "ports" };
        format!("{spans} ({word} {})", ports.join(", "))
    });
    texts.collect::<Vec<_>>().join(", ")
}

fn span(cut: &Cut) -> String {
    let mark = if cut.has_skips { "†" } else { "" };
    format!("{}{mark}", length(cut.length))
}

fn calls(mode: Mode, outcome: &Outcome) -> String {
    let counts = &outcome.counts;
    let own = format!("{} EC2 calls of its own", counts.principal);
    if mode == Mode::Without {
        return own;
    }
    format!(
        "{own}; rulekeeper: {} events, {} EC2 calls, {} table calls; fight: {}",
        outcome.events,
        counts.ec2,
        counts.table,
        counts.fight()
    )
}
