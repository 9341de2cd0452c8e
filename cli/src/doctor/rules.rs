//! EventBridge's rules: what brings events and sweeps to the function.

use rulekeeper_core::function::permissions::Check;
use rulekeeper_core::ports::ApiError;
use serde_json::{Value, json};

use super::{failed, ok, skipped, unknown, warning};

/// A call whose event the function wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    /// What it is called here.
    pub(super) name: &'static str,
    call: &'static str,
    error: Option<&'static str>,
}

/// What the rules have to let through. Without the first nothing is restored before the next sweep.
pub(super) const WANTED: [Wanted; 5] = [
    wanted("RevokeSecurityGroupIngress", None),
    wanted("ModifySecurityGroupRules", None),
    wanted("DeleteSecurityGroup", None),
    wanted("AuthorizeSecurityGroupIngress", None),
    Wanted {
        name: "a refused AuthorizeSecurityGroupIngress",
        ..wanted(
            "AuthorizeSecurityGroupIngress",
            Some("Client.RulesPerSecurityGroupLimitExceeded"),
        )
    },
];

const fn wanted(call: &'static str, error: Option<&'static str>) -> Wanted {
    Wanted {
        name: call,
        call,
        error,
    }
}

impl Wanted {
    /// An event of this kind as EventBridge delivers it, with what TestEventPattern asks of one.
    pub(super) fn event(&self, account: &str, region: &str) -> Value {
        let mut detail = json!({
            "eventVersion": "1.11", "eventSource": "ec2.amazonaws.com", "eventName": self.call, "awsRegion": region,
            "eventTime": "2026-01-01T00:00:00Z", "eventType": "AwsApiCall", "eventCategory": "Management",
            "managementEvent": true, "readOnly": false, "recipientAccountId": account,
            "userIdentity": {"type": "AssumedRole", "accountId": account},
            "requestParameters": {"groupId": "sg-0123456789abcdef0"}, "responseElements": {"_return": true},
        });
        if let Some(error) = self.error {
            detail["errorCode"] = error.into();
            detail["responseElements"] = Value::Null;
        }
        json!({
            "version": "0", "id": "6a1f6b0e-0000-4000-8000-000000000001", "detail-type": "AWS API Call via CloudTrail",
            "source": "aws.ec2", "account": account, "time": "2026-01-01T00:00:00Z", "region": region, "resources": [],
            "detail": detail,
        })
    }
}

/// A rule of the default bus whose target is the function.
#[derive(Debug)]
pub(super) struct RuleFacts {
    pub(super) name: String,
    pub(super) enabled: bool,
    /// `rate(…)` or `cron(…)`, of a schedule.
    pub(super) schedule: Option<String>,
    /// Which of [`WANTED`] its pattern lets through; `None` without a pattern.
    pub(super) lets_through: Option<Result<Vec<&'static str>, ApiError>>,
    /// The dead-letter queue of the function as its target.
    pub(super) dead_letters: Result<Option<String>, ApiError>,
}

/// All of them, or the action that was refused.
pub(super) type Rules = Result<Vec<RuleFacts>, (&'static str, ApiError)>;

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
