//! Many revokes in a few seconds, each event delivered twice.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use rulekeeper_local::{Delivery, Stack};

use crate::PATIENCE;
use crate::measure::Cost;
use crate::options::Burst;
use crate::stage;
use rulekeeper_bench::Failure;

const READ: &str = "DescribeSecurityGroupRules";
const AUTHORIZE: &str = "AuthorizeSecurityGroupIngress";

/// How long the revokes take altogether.
const DURATION: Duration = Duration::from_secs(3);

pub(crate) fn heading(out: &mut impl Write) -> Result<(), Failure> {
    writeln!(
        out,
        "\n| revokes | groups | deliveries | all back after | invocations | failed | reads, most of a group | authorizes, most of a group | throttled | peak memory |"
    )?;
    writeln!(
        out,
        "| --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |"
    )?;
    Ok(())
}

/// One revoke for each rule of each group.
pub(crate) async fn run(
    out: &mut impl Write,
    function: &Path,
    Burst {
        revokes,
        groups: count,
    }: Burst,
) -> Result<(), Failure> {
    let rules = (revokes / count).max(1);
    let quota = u32::try_from(rules.max(60))?;
    let delivery = Delivery {
        delay_ms: 2_000,
        jitter_ms: 2_000,
        duplicates: 1,
        ..Delivery::default()
    };
    let stack = stage::start(function, delivery, quota)?;
    let rules = stage::rules(rules);
    let groups = stage::groups(&stack, count, &rules)?;
    stage::record(&stack, &groups, &rules).await?;
    stack.cloud().clear_calls();

    let began = Instant::now();
    let revokes = groups.len() * rules.len();
    let pause = DURATION / u32::try_from(revokes)?;
    let ec2 = stack.cloud().ec2();
    let mut number = 0;
    for rule in &rules {
        for group in &groups {
            ec2.revoke(group, &[rule])?;
            number += 1;
            tokio::time::sleep_until((began + pause * number).into()).await;
        }
    }
    let back = all_back(&stack, &groups, rules.len(), began).await?;
    stack.lambda().wait_idle(PATIENCE).await?;
    let letters = stack.lambda().dead_letters().len();
    if letters > 0 {
        return Err(format!("{letters} events were given up").into());
    }
    // Nobody may take away by a late event what is back.
    all_back(&stack, &groups, rules.len(), began).await?;

    let cost = Cost::of(&stack)?;
    let told = stack.bridge().log();
    let told = told.iter().filter(|event| event.name.starts_with("Revoke"));
    let deliveries = 2 * told.count();
    writeln!(
        out,
        "| {revokes} | {count} | {deliveries} | {:.1} s | {} | {} | {}, {} | {}, {} | {} | {:.0} MiB |",
        back.as_secs_f64(),
        cost.invocations,
        cost.failed,
        cost.count(READ),
        most_of_a_group(&stack, READ),
        cost.count(AUTHORIZE),
        most_of_a_group(&stack, AUTHORIZE),
        cost.throttled,
        cost.peak_mib,
    )?;
    out.flush()?;
    stack.shutdown().await;
    Ok(())
}

/// Waits until every rule is back; says how long that was from the first revoke.
async fn all_back(
    stack: &Stack,
    groups: &[String],
    rules: usize,
    began: Instant,
) -> Result<Duration, Failure> {
    let ec2 = stack.cloud().ec2();
    loop {
        if groups.iter().all(|group| ec2.rules(group).len() == rules) {
            return Ok(began.elapsed());
        }
        if began.elapsed() > PATIENCE {
            return Err("rules are still missing".into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The most calls of an action for one group.
fn most_of_a_group(stack: &Stack, action: &str) -> usize {
    let mut of_groups: BTreeMap<String, usize> = BTreeMap::new();
    for call in stack.cloud().calls() {
        if call.action == action
            && let Some(group) = call.group
        {
            *of_groups.entry(group).or_default() += 1;
        }
    }
    of_groups.into_values().max().unwrap_or(0)
}
