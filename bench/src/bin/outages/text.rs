//! The replays in words.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use rulekeeper_bench::Result;
use rulekeeper_bench::screen::Screen;
use rulekeeper_bench::time::{length, short};

use crate::Case;
use crate::replay::{End, Outcome, Skip};
use crate::setup::{EC2_CALL, Mode};
use crate::stories::Incident;
use crate::watch::{Cut, Measured};

/// The names that `--only` takes.
pub(crate) fn list(screen: &Screen) -> Result<()> {
    for incident in Incident::ALL {
        let story = incident.story();
        screen.hanging(&format!("{:21}", story.name), story.title)?;
    }
    Ok(())
}

pub(crate) fn introduction(screen: &Screen, delays: &[Duration]) -> Result<()> {
    let delays: Vec<String> = delays.iter().map(|delay| short(*delay)).collect();
    screen.heading("Public outages, replayed on this machine")?;
    screen.paragraph(&format!(
        "The function and the CLI are the real ones; EC2, CloudTrail, EventBridge and Lambda are rulekeeper-local. The \
         controllers are scripts after public reports and sources. Each story is replayed once without rulekeeper and \
         once for each delay of CloudTrail's events ({}), all side by side.",
        delays.join(", ")
    ))?;
    screen.paragraph(&format!(
        "Traffic counts as cut while a connection that the story names would find no rule; a thread looks every 5 ms. An \
         EC2 call takes {}, whoever makes it. Waits of the outage itself that are too long to wait are skipped, added to \
         the clock, and printed; times that contain such waits are marked †. The function's own clock does not \
         skip: what it remembers for ten or fifteen minutes, it still knows.",
        short(EC2_CALL)
    ))?;
    Ok(())
}

/// One story with the figures of all its replays.
pub(crate) fn story(
    screen: &Screen,
    incident: Incident,
    outcomes: &[(Case, Outcome)],
) -> Result<()> {
    let story = incident.story();
    screen.heading(story.title)?;
    screen.paragraph(story.text)?;
    if let Some((name, link)) = story.source {
        screen.paragraph(&format!("{name}: {link}"))?;
    }
    screen.gap()?;
    let mut ours: Vec<_> = outcomes
        .iter()
        .filter(|((it, _), _)| *it == incident)
        .collect();
    ours.sort_by_key(|((_, mode), _)| match mode {
        Mode::Without => Duration::ZERO,
        Mode::With(delay) => *delay,
    });
    for ((_, mode), outcome) in &ours {
        let head = format!("{:20}", mode_name(*mode));
        screen.hanging(&head, &cut(outcome))?;
        screen.hanging(&" ".repeat(20), &calls(*mode, outcome))?;
    }
    // All replays of a story skip for the same reasons, and differ by the moments that they took up to there.
    let mut skips: BTreeMap<&str, Duration> = BTreeMap::new();
    for (_, outcome) in ours {
        let mut own: BTreeMap<&str, Duration> = BTreeMap::new();
        for Skip { time, why } in &outcome.skips {
            *own.entry(why).or_default() += *time;
        }
        skips.extend(own);
    }
    for (why, time) in skips {
        let text = format!("{}: {why}", length(time));
        screen.hanging(&format!("{:20}", "skipped"), &text)?;
    }
    Ok(())
}

/// The story and the mode.
pub(crate) fn name((incident, mode): Case) -> String {
    format!("{}, {}", incident.story().name, mode_name(mode))
}

fn mode_name(mode: Mode) -> String {
    match mode {
        Mode::Without => "without rulekeeper".to_owned(),
        Mode::With(delay) => format!("events after {}", short(delay)),
    }
}

/// How long traffic was cut, and how it ended.
pub(crate) fn cut(outcome: &Outcome) -> String {
    match outcome.end {
        End::Decided => "cut, as was decided".to_owned(),
        End::Cut => format!(
            "cut until somebody mends it; looked at for {}",
            spans(&outcome.traffic)
        ),
        End::Flows if is_never_cut(outcome) => "not cut".to_owned(),
        End::Flows => format!("cut for {}", spans(&outcome.traffic)),
    }
}

/// Whether all traffic got through all the time.
pub(crate) fn is_never_cut(outcome: &Outcome) -> bool {
    outcome.traffic.iter().all(|needed| needed.cuts.is_empty())
}

/// The times in which traffic was cut, one after the other; for each port if they differ.
pub(crate) fn spans(needed: &[Measured]) -> String {
    let mut told: Vec<(String, Vec<String>)> = Vec::new();
    let mut needed: Vec<&Measured> = needed.iter().collect();
    needed.sort_by_key(|it| Reverse(it.cuts.iter().max().copied()));
    for it in needed {
        let spans: Vec<String> = it.cuts.iter().map(span).collect();
        let spans = match spans.as_slice() {
            [] => "none".to_owned(),
            spans => spans.join(" + "),
        };
        let port = it.traffic.port.to_string();
        match told.iter_mut().find(|(known, _)| *known == spans) {
            Some((_, ports)) => ports.push(port),
            None => told.push((spans, vec![port])),
        }
    }
    if let [(spans, _)] = told.as_slice() {
        return spans.clone();
    }
    let told = told.iter().map(|(spans, ports)| {
        let word = if ports.len() == 1 { "port" } else { "ports" };
        format!("{spans} ({word} {})", ports.join(", "))
    });
    told.collect::<Vec<_>>().join(", ")
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
