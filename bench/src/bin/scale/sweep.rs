//! One scheduled sweep of a fleet, to its end.

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use rulekeeper_local::{Delivery, Stack};
use serde_json::Value;

use crate::PATIENCE;
use crate::measure::Cost;
use crate::stage::{self, DEAD_SWEEPS};
use rulekeeper_bench::Failure;

const QUERY: &str = "Query";
const READ: &str = "DescribeSecurityGroupRules";
const AUTHORIZE: &str = "AuthorizeSecurityGroupIngress";

pub(crate) fn heading(out: &mut impl Write) -> Result<(), Failure> {
    writeln!(
        out,
        "| groups | lost a rule | all back after | invocations | `Query` | `{READ}` | `{AUTHORIZE}` | other calls | throttled | peak memory |"
    )?;
    writeln!(
        out,
        "| --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |"
    )?;
    Ok(())
}

pub(crate) async fn run(
    out: &mut impl Write,
    function: &Path,
    count: usize,
    drifted_percent: f64,
    rules: usize,
) -> Result<(), Failure> {
    let stack = stage::start(function, Delivery::default(), 60)?;
    let rules = stage::rules(rules);
    let groups = stage::groups(&stack, count, &rules)?;
    stage::record(&stack, &groups, &rules).await?;
    let drifted = spread(&groups, drifted_percent);
    let ec2 = stack.cloud().ec2().quietly();
    for group in &drifted {
        ec2.revoke(group, &[&rules[0]])?;
    }
    stack.cloud().clear_calls();

    let began = Instant::now();
    stack.bridge().schedule("sweep");
    stack.lambda().wait_idle(PATIENCE).await?;
    let took = began.elapsed();

    accounted(&stack, &groups, &drifted, rules.len())?;
    let cost = Cost::of(&stack)?;
    writeln!(
        out,
        "| {count} | {} | {:.1} s | {} | {} | {} | {} | {} | {} | {:.0} MiB |",
        drifted.len(),
        took.as_secs_f64(),
        cost.invocations,
        cost.count(QUERY),
        cost.count(READ),
        cost.count(AUTHORIZE),
        cost.others(&[QUERY, READ, AUTHORIZE]),
        cost.throttled,
        cost.peak_mib,
    )?;
    out.flush()?;
    stack.shutdown().await;
    Ok(())
}

/// So many of them, spread evenly.
fn spread(groups: &[String], percent: f64) -> Vec<String> {
    let wanted = (groups.len() as f64 * percent / 100.0).round() as usize;
    let chosen = groups.iter().enumerate().filter(|(place, _)| {
        wanted > 0 && place * wanted / groups.len() != (place + 1) * wanted / groups.len()
    });
    chosen.map(|(_, group)| group.clone()).collect()
}

/// Fails unless every rule is back and every group is in the answers.
fn accounted(
    stack: &Stack,
    groups: &[String],
    drifted: &[String],
    rules: usize,
) -> Result<(), Failure> {
    let ec2 = stack.cloud().ec2();
    let open = drifted
        .iter()
        .filter(|group| ec2.rules(group).len() != rules)
        .count();
    let letters = stack.lambda().dead_letters().len() + stack.queues().bodies(DEAD_SWEEPS).len();
    let (mut looked_at, mut restored) = (0, 0);
    for report in reports(stack) {
        looked_at += report["sweep"]["groups"].as_u64().unwrap_or(0);
        restored += report["sweep"]["restored"].as_u64().unwrap_or(0);
    }
    let all_well = open == 0
        && letters == 0
        && looked_at == groups.len() as u64
        && restored == drifted.len() as u64;
    match all_well {
        true => Ok(()),
        false => Err(format!(
            "of {} groups {looked_at} were looked at and {restored} of {} restored; {open} are open, {letters} letters are dead",
            groups.len(),
            drifted.len()
        )
        .into()),
    }
}

/// Every sweep's answer, off the log: that to a queue is no more than which messages failed.
fn reports(stack: &Stack) -> Vec<Value> {
    let lines = stack.lambda().logs().into_iter();
    let lines = lines.filter_map(|line| serde_json::from_str::<Value>(&line.text).ok());
    let reports = lines.filter(|line| line["message"] == "report");
    reports.map(|line| line["report"].clone()).collect()
}
