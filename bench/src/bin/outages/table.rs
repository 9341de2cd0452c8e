//! The Markdown table, and the file that it is written to.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rulekeeper_bench::Result;
use rulekeeper_bench::screen::{NBSP, markdown_row};
use rulekeeper_bench::time::short;

use crate::Case;
use crate::replay::{End, Outcome};
use crate::setup::{Mode, WATCH_SECONDS};
use crate::stories::Story;
use crate::text::{is_never_cut, spans};

const BEGIN: &str = "<!-- outages:begin -->";
const END: &str = "<!-- outages:end -->";

/// One row for each story.
pub(crate) fn markdown(
    stories: &[&Story],
    delays: &[Duration],
    outcomes: &[(Case, Outcome)],
) -> String {
    let mut head = ["outage", "policy", "without"].map(str::to_owned).to_vec();
    head.extend(
        delays
            .iter()
            .map(|delay| format!("with, {}", short(*delay))),
    );
    head.extend(delays.iter().max().map(|delay| {
        format!(
            "watched, every {WATCH_SECONDS} s, events after {}",
            short(*delay)
        )
    }));
    head.extend(["its calls, without → with", "rulekeeper's calls", "fight"].map(str::to_owned));
    let rule = vec!["---".to_owned(); head.len()];
    let rows = stories.iter().map(|story| row(story, delays, outcomes));
    let rows = [head, rule].into_iter().chain(rows);
    let lines = rows.map(|cells| markdown_row(&cells) + "\n");
    lines.collect::<String>().replace(NBSP, " ")
}

fn row(story: &Story, delays: &[Duration], outcomes: &[(Case, Outcome)]) -> Vec<String> {
    let find = |mode: Mode| {
        let found = outcomes.iter().find(|(case, _)| case.is(story, mode));
        found.map(|(_, outcome)| outcome)
    };
    let without = find(Mode::Without);
    let with = delays.iter().filter_map(|delay| find(Mode::With(*delay)));
    let with: Vec<&Outcome> = with.collect();
    let range = |count: fn(&Outcome) -> usize| {
        let counts = with.iter().map(|outcome| count(outcome));
        match (counts.clone().min(), counts.max()) {
            (Some(least), Some(most)) if least < most => format!("{least}–{most}"),
            (least, _) => least.unwrap_or(0).to_string(),
        }
    };
    let watched = delays.iter().max();
    let watched = watched.and_then(|delay| find(Mode::Watched(*delay)));
    let mut cells = vec![linked(story), story.policy.to_owned()];
    let shown = without.into_iter().chain(with.iter().copied());
    cells.extend(shown.chain(watched).map(cut));
    let own = without.map_or(0, |outcome| outcome.counts.principal);
    cells.push(format!("{own} → {}", range(|it| it.counts.principal)));
    let (ec2, table) = (range(|it| it.counts.ec2), range(|it| it.counts.table));
    cells.push(format!("{ec2} EC2, {table} table"));
    let fights = with.iter().copied().chain(watched);
    let mut fights: Vec<String> = fights.map(|outcome| outcome.counts.fight()).collect();
    fights.dedup();
    cells.push(fights.join(" / "));
    cells
}

fn linked(story: &Story) -> String {
    match story.source {
        Some((name, link)) => format!("{} ([{name}]({link}))", story.title),
        None => story.title.to_owned(),
    }
}

fn cut(outcome: &Outcome) -> String {
    match outcome.end {
        End::Decided => "as decided".to_owned(),
        End::Cut => "until fixed".to_owned(),
        End::Flows if is_never_cut(outcome) => "none".to_owned(),
        End::Flows => spans(&outcome.traffic),
    }
}

/// Writes the table between the markers of a file; without a table, checks that the file has them.
///
/// # Errors
/// When the file cannot be read or written, or does not have both markers.
pub(crate) fn update(file: &Path, table: Option<&str>) -> Result<()> {
    let name = file.display();
    let text = fs::read_to_string(file).map_err(|error| format!("{name}: {error}"))?;
    let parts = text.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after))
    });
    let Some((before, after)) = parts else {
        return Err(format!("{name}: has no lines {BEGIN} and {END}").into());
    };
    if let Some(table) = table {
        let text = format!("{before}{BEGIN}\n{table}{END}{after}");
        fs::write(file, text).map_err(|error| format!("{name}: {error}"))?;
    }
    Ok(())
}
