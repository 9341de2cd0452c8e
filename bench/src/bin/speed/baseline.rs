//! Comparing instruction counts with those that are committed, so that a change which makes the work longer is seen.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use rulekeeper_bench::Result;
use rulekeeper_bench::screen::{Screen, markdown_row};

use crate::groups::Place;
use crate::instructions;
use crate::programs::Program;

/// How far a count may be from its baseline. Hash maps with random seeds make two runs differ by less than one percent.
const TOLERANCE: f64 = 0.05;

const WORKS: [&str; 3] = ["parse", "plan", "judge"];
const SIZES: [usize; 2] = [20, 1_000];

/// Counts, and compares with the file, or writes it.
///
/// # Errors
/// When a count is further from the baseline than the tolerance, or has none.
pub(crate) fn compare(
    screen: &Screen,
    place: &Place,
    function: &Program,
    file: &Path,
    update: bool,
) -> Result<()> {
    let compiler = Command::new("rustc").arg("--version").output()?.stdout;
    let compiler = format!("# {}", String::from_utf8_lossy(&compiler).trim());
    let baseline = fs::read_to_string(file).unwrap_or_default();
    if !update && !baseline.lines().any(|line| line == compiler) {
        // Other compilers make other code.
        screen.line(&format!(
            "Not compared: {} is not of {}",
            file.display(),
            &compiler[2..]
        ))?;
        return Ok(());
    }
    let counts = counts(place, function)?;
    if update {
        let mut text = format!(
            "{compiler}\n# Instructions of a debug build, from `make instructions UPDATE=1`.\n"
        );
        for (name, count) in &counts {
            writeln!(text, "{name}\t{count}")?;
        }
        return Ok(fs::write(file, text)?);
    }
    let lines = baseline.lines().filter_map(|line| line.split_once('\t'));
    let before: BTreeMap<&str, u64> = lines
        .filter_map(|(name, count)| Some((name, count.parse().ok()?)))
        .collect();
    let mut worse = Vec::new();
    screen.markdown_head(&["work", "instructions", "baseline", "more"])?;
    for (name, count) in &counts {
        let Some(was) = before.get(name.as_str()) else {
            return Err(format!("{} has no line {name:?}", file.display()).into());
        };
        let more = *count as f64 / *was as f64 - 1.0;
        let percent = format!("{:+.1} %", more * 100.0);
        screen.line(&markdown_row(&[
            name.clone(),
            count.to_string(),
            was.to_string(),
            percent.clone(),
        ]))?;
        if more.abs() > TOLERANCE {
            worse.push(format!("{name} {percent}"));
        }
    }
    if worse.is_empty() {
        return Ok(());
    }
    Err(format!(
        "more than {:.0} % from the baseline: {}; if that is meant, `make instructions UPDATE=1` writes a new one",
        TOLERANCE * 100.0,
        worse.join(", ")
    )
    .into())
}

fn counts(place: &Place, function: &Program) -> Result<BTreeMap<String, u64>> {
    let work = function.file.with_file_name("examples").join("work");
    let mut counts = BTreeMap::new();
    for name in WORKS {
        for rules in SIZES {
            let count = instructions::of_work(&work, name, rules)?;
            counts.insert(format!("{name}, {rules} rules"), count);
        }
    }
    let event = instructions::counted(place, function, 20, 10, None)?;
    counts.insert("a warm event, 20 rules".to_owned(), event.warm);
    Ok(counts)
}
