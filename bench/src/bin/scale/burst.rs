//! Many revokes in a few seconds, each event delivered twice.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use rulekeeper_bench::Result;
use rulekeeper_bench::screen::{Screen, markdown_row};
use rulekeeper_local::{Delivery, Stack};

use crate::TIMEOUT;
use crate::cost::{AUTHORIZE, Cost, READ};
use crate::options::Burst;
use crate::setup::Setup;

/// How long all revokes take together.
const DURATION: Duration = Duration::from_secs(3);

/// How often each event is delivered.
const COPIES: u32 = 2;

pub(crate) fn heading(screen: &Screen) -> Result<()> {
    screen.gap()?;
    Ok(screen.markdown_head(&[
        "revokes",
        "groups",
        "deliveries",
        "all back after",
        "invocations",
        "failed",
        "reads, most of a group",
        "authorizes, most of a group",
        "throttled",
        "peak memory",
    ])?)
}

/// Revokes each rule of each group, one by one.
pub(crate) async fn run(screen: &Screen, function: &Path, burst: Burst) -> Result<()> {
    let rules = (burst.revokes / burst.groups).max(1);
    let delivery = Delivery {
        delay_ms: 2_000,
        jitter_ms: 2_000,
        duplicates: COPIES - 1,
        ..Delivery::default()
    };
    let setup = Setup::start(function, delivery, burst.groups, rules, None).await?;
    let stack = &setup.stack;
    stack.cloud().clear_calls();

    let began = Instant::now();
    let revokes = u32::try_from(setup.groups.len() * setup.rules.len())?;
    let pause = DURATION / revokes;
    let ec2 = stack.cloud().ec2();
    let mut number = 0;
    for rule in &setup.rules {
        for group in &setup.groups {
            ec2.revoke(group, &[rule])?;
            number += 1;
            tokio::time::sleep_until((began + pause * number).into()).await;
        }
    }
    let took = wait_restored(&setup, began).await?;
    setup.wait_idle().await?;
    let dead_letters = setup.dead_letters();
    if dead_letters > 0 {
        return Err(format!("there are {dead_letters} dead letters").into());
    }
    // A late event must not have removed a rule.
    wait_restored(&setup, began).await?;

    let cost = Cost::of(stack)?;
    let events = stack.bridge().log();
    let events = events.iter().filter(|it| it.name.starts_with("Revoke"));
    let most_of_a_group = |action| format!("{}, {}", cost.count(action), most(stack, action));
    screen.line(&markdown_row(&[
        revokes.to_string(),
        burst.groups.to_string(),
        (COPIES as usize * events.count()).to_string(),
        format!("{:.1} s", took.as_secs_f64()),
        cost.invocations.to_string(),
        cost.failed.to_string(),
        most_of_a_group(READ),
        most_of_a_group(AUTHORIZE),
        cost.throttled.to_string(),
        format!("{:.0} MiB", cost.peak_mib),
    ]))?;
    setup.stack.shutdown().await;
    Ok(())
}

/// Waits until every rule is back, and returns the time since the first revoke.
async fn wait_restored(setup: &Setup, began: Instant) -> Result<Duration> {
    while setup.drifted() > 0 {
        if began.elapsed() > TIMEOUT {
            return Err("rules are still missing".into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(began.elapsed())
}

/// The most calls of an action for one group.
fn most(stack: &Stack, action: &str) -> usize {
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
