//! A run of the watch over many groups, of which one loses a rule.

use std::path::Path;
use std::time::{Duration, Instant};

use rulekeeper_bench::Result;
use rulekeeper_bench::screen::{Screen, markdown_row};
use rulekeeper_local::Delivery;
use serde_json::{Value, json};

use crate::cost::{Cost, cpu_ms};
use crate::setup::Setup;
use crate::sweep::reports;

/// Rules of each group, beside the egress rule that EC2 makes: 200 such groups fill seven pages of rules.
const RULES: usize = 30;

const EVERY_SECONDS: u64 = 2;

/// How long an invocation may last. The watch ends 14 s before.
const TIMEOUT: Duration = Duration::from_secs(60);

const LOOK: &str = "DescribeSecurityGroups";

pub(crate) fn heading(screen: &Screen) -> Result<()> {
    Ok(screen.markdown_head(&[
        "watched groups",
        "looks",
        &format!("`{LOOK}` a look"),
        "longest pause",
        "throttled",
        "rule back after",
        "CPU a look",
        "peak memory",
    ])?)
}

/// Watches, drops a rule of the last group, and fails unless it is back and nothing was throttled.
pub(crate) async fn run(screen: &Screen, function: &Path, groups: usize) -> Result<()> {
    let delivery = Delivery {
        event_names: Default::default(),
        ..Delivery::default()
    };
    let setup = Setup::start(function, delivery, groups, RULES, Some(TIMEOUT)).await?;
    setup.stack.cloud().clear_calls();
    let request = json!({"watch": {"every_seconds": EVERY_SECONDS}});
    setup.stack.lambda().invoke_event(request);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let ec2 = setup.stack.cloud().ec2().quietly();
    let group = setup.groups.last().ok_or("there are no groups")?;
    ec2.revoke(group, &[&setup.rules[0]])?;
    let began = Instant::now();
    while ec2.rules(group).len() < RULES {
        if began.elapsed() > TIMEOUT {
            return Err("the rule is not back".into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let back = began.elapsed();
    setup.wait_idle().await?;
    let cpu = cpu_ms()?;
    let cost = Cost::of(&setup.stack)?;
    let reports = reports(setup.stack.lambda());
    let of_watch = reports.iter().map(|report| &report["watch"]);
    let of_watch: Vec<&Value> = of_watch.filter(|watch| watch.is_object()).collect();
    let number = |watch: &Value, name: &str| watch[name].as_u64().unwrap_or(0);
    let looks: u64 = of_watch.iter().map(|watch| number(watch, "looks")).sum();
    let pauses = of_watch
        .iter()
        .map(|watch| number(watch, "longest_pause_ms"));
    screen.line(&markdown_row(&[
        groups.to_string(),
        looks.to_string(),
        format!("{:.1}", cost.count(LOOK) as f64 / looks as f64),
        format!("{:.1} s", pauses.max().unwrap_or(0) as f64 / 1000.0),
        cost.throttled.to_string(),
        format!("{:.1} s", back.as_secs_f64()),
        format!("{:.0} ms", cpu / looks as f64),
        format!("{:.0} MiB", cost.peak_mib),
    ]))?;
    setup.stack.shutdown().await;
    Ok(())
}
