//! EventBridge's rules: what brings events and sweeps to the function.

use rulekeeper_core::function::permissions::Check;

use super::check::{failed, ok, skipped, unknown, warning};
use super::facts::{RuleFacts, Rules, WANTED};

pub(super) fn unexamined() -> Vec<Check> {
    ["event_rule", "schedule"]
        .map(|check| {
            skipped(
                check,
                "-",
                "the function that they should target is not known",
            )
        })
        .into()
}

pub(super) fn judge(function: &str, rules: &Rules) -> Vec<Check> {
    let rules = match rules {
        Ok(rules) => rules,
        Err((action, error)) => {
            return ["event_rule", "schedule"]
                .map(|check| unknown(check, function, error, action))
                .into();
        }
    };
    let mut checks = of_events(function, rules);
    checks.extend(of_schedules(function, rules));
    checks.extend(
        rules
            .iter()
            .filter(|rule| rule.enabled)
            .filter_map(dead_letters),
    );
    checks
}

fn enable(rule: &RuleFacts) -> String {
    format!("aws events enable-rule --name {}", rule.name)
}

fn of_events(function: &str, rules: &[RuleFacts]) -> Vec<Check> {
    let mut checks = Vec::new();
    let through = |rule: &RuleFacts| match &rule.lets_through {
        Some(Ok(names)) => names.clone(),
        _ => Vec::new(),
    };
    let enabled: Vec<_> = rules
        .iter()
        .filter(|rule| rule.enabled)
        .flat_map(through)
        .collect();
    let disabled: Vec<_> = rules
        .iter()
        .filter(|rule| !rule.enabled)
        .flat_map(through)
        .collect();
    let mut unclear = false;
    for rule in rules {
        let Some(lets_through) = &rule.lets_through else {
            continue;
        };
        match lets_through {
            Err(error) => {
                unclear = true;
                checks.push(unknown(
                    "event_rule",
                    &rule.name,
                    error,
                    "events:TestEventPattern",
                ));
            }
            Ok(names) if names.is_empty() => {}
            Ok(names) if rule.enabled => checks.push(ok(
                "event_rule",
                &rule.name,
                format!("hands over {}", names.join(", ")),
            )),
            Ok(names) => {
                let found = "is disabled, so only the next sweep notices drops";
                let check = match names.iter().all(|name| enabled.contains(name)) {
                    true => warning(
                        "event_rule",
                        &rule.name,
                        "is disabled; another rule hands over the same",
                    ),
                    false => failed("event_rule", &rule.name, found),
                };
                checks.push(check.fix(enable(rule)));
            }
        }
    }
    let missing: Vec<_> = WANTED
        .iter()
        .map(|wanted| wanted.name)
        .filter(|name| !unclear && !enabled.contains(name) && !disabled.contains(name))
        .collect();
    let fix = "Deploy template.yaml again: its rule IngressDropped has the pattern.";
    if missing.contains(&WANTED[0].name) {
        let found = format!(
            "no rule of the default bus hands over {}",
            missing.join(", ")
        );
        checks.push(failed("event_rule", function, found).fix(fix));
    } else if !missing.is_empty() {
        let found = format!(
            "no rule hands over {}: only sweeps see those, and a followed principal's changes are misjudged",
            missing.join(", ")
        );
        checks.push(warning("event_rule", function, found).fix(fix));
    }
    checks
}

fn of_schedules(function: &str, rules: &[RuleFacts]) -> Vec<Check> {
    let schedules = rules
        .iter()
        .filter_map(|rule| Some((rule, rule.schedule.as_deref()?)));
    let on = schedules.clone().any(|(rule, _)| rule.enabled);
    let mut checks: Vec<_> = schedules
        .map(|(rule, expression)| match (rule.enabled, on) {
            (true, _) => ok("schedule", &rule.name, format!("sweeps by {expression}")),
            (false, true) => warning(
                "schedule",
                &rule.name,
                "is disabled; another rule starts sweeps",
            )
            .fix(enable(rule)),
            (false, false) => failed(
                "schedule",
                &rule.name,
                "is disabled, so nothing makes up for lost events",
            )
            .fix(enable(rule)),
        })
        .collect();
    if checks.is_empty() {
        let found = "no rule of the default bus starts sweeps, so nothing makes up for lost events";
        let fix = "Deploy template.yaml again: its rule Sweep has the schedule. Schedules of EventBridge Scheduler are not \
                    looked at.";
        checks.push(failed("schedule", function, found).fix(fix));
    }
    checks
}

fn dead_letters(rule: &RuleFacts) -> Option<Check> {
    let check = "rule_failures";
    match &rule.dead_letters {
        Ok(Some(_)) => None,
        Ok(None) => Some(
            warning(
                check,
                &rule.name,
                "what EventBridge cannot hand over is lost: the target has no dead-letter queue",
            )
            .fix("Deploy template.yaml again: it gives each rule the queue RuleDeadLetters."),
        ),
        Err(error) => Some(unknown(
            check,
            &rule.name,
            error,
            "events:ListTargetsByRule",
        )),
    }
}
