//! One scheduled sweep of many groups, until the last part of it is done.

use std::path::Path;
use std::time::Instant;

use rulekeeper_bench::Result;
use rulekeeper_bench::screen::{Screen, markdown_row};
use rulekeeper_local::{Delivery, Lambda};
use serde_json::Value;

use crate::cost::{AUTHORIZE, Cost, QUERY, READ};
use crate::options::Options;
use crate::setup::Setup;

pub(crate) fn heading(screen: &Screen) -> Result<()> {
    Ok(screen.markdown_head(&[
        "groups",
        "lost a rule",
        "all back after",
        "invocations",
        &format!("`{QUERY}`"),
        &format!("`{READ}`"),
        &format!("`{AUTHORIZE}`"),
        "other calls",
        "throttled",
        "peak memory",
    ])?)
}

/// Revokes a rule of some groups, and sweeps all of them.
pub(crate) async fn run(
    screen: &Screen,
    function: &Path,
    groups: usize,
    options: &Options,
) -> Result<()> {
    let setup = Setup::start(function, Delivery::default(), groups, options.rules, None).await?;
    let drifted = spread(&setup.groups, options.drifted);
    let ec2 = setup.stack.cloud().ec2().quietly();
    for group in &drifted {
        ec2.revoke(group, &[&setup.rules[0]])?;
    }
    setup.stack.cloud().clear_calls();

    let began = Instant::now();
    setup.stack.bridge().schedule("sweep");
    setup.wait_idle().await?;
    let took = began.elapsed();

    check(&setup, drifted.len())?;
    let cost = Cost::of(&setup.stack)?;
    screen.line(&markdown_row(&[
        groups.to_string(),
        drifted.len().to_string(),
        format!("{:.1} s", took.as_secs_f64()),
        cost.invocations.to_string(),
        cost.count(QUERY).to_string(),
        cost.count(READ).to_string(),
        cost.count(AUTHORIZE).to_string(),
        cost.others(&[QUERY, READ, AUTHORIZE]).to_string(),
        cost.throttled.to_string(),
        format!("{:.0} MiB", cost.peak_mib),
    ]))?;
    setup.stack.shutdown().await;
    Ok(())
}

/// This percentage of the groups, spread evenly.
fn spread(groups: &[String], percent: f64) -> Vec<&String> {
    let wanted = (groups.len() as f64 * percent / 100.0).round() as usize;
    let chosen = groups.iter().enumerate().filter(|(place, _)| {
        wanted > 0 && place * wanted / groups.len() != (place + 1) * wanted / groups.len()
    });
    chosen.map(|(_, group)| group).collect()
}

/// Fails unless every rule is back and every group is in a report.
fn check(setup: &Setup, drifted: usize) -> Result<()> {
    let (mut seen, mut restored) = (0, 0);
    for report in reports(setup.stack.lambda()) {
        seen += report["sweep"]["groups"].as_u64().unwrap_or(0);
        restored += report["sweep"]["restored"].as_u64().unwrap_or(0);
    }
    let (open, dead_letters) = (setup.drifted(), setup.dead_letters());
    let groups = setup.groups.len();
    if open + dead_letters == 0 && seen == groups as u64 && restored == drifted as u64 {
        return Ok(());
    }
    Err(format!(
        "of {groups} groups {seen} were looked at, and of {drifted} that lost a rule {restored} were restored; {open} \
         still lack rules; there are {dead_letters} dead letters"
    )
    .into())
}

/// The reports of all work, from the log: the answer to a queue says only which messages failed.
pub(crate) fn reports(lambda: &Lambda) -> Vec<Value> {
    let lines = lambda.logs().into_iter();
    let lines = lines.filter_map(|line| serde_json::from_str::<Value>(&line.text).ok());
    let reports = lines.filter(|line| line["message"] == "report");
    reports.map(|line| line["report"].clone()).collect()
}
