//! What a restore would do now.

use rulekeeper_core::report::plan::PlannedRule;

use super::report::{answer, summary};
use super::standing::reopened;
use super::{columns, named, plain};
use crate::planned::{Planned, PlannedGroup};
use crate::{paint, say};

/// A plan, after its source unless the command makes that plain.
pub(crate) fn plan(plan: &Planned, origin: Option<&str>) -> String {
    let front = origin.map(|origin| format!("{}: ", plain(origin)));
    let front = front.unwrap_or_default();
    match plan {
        Planned::Group(one) => front + &group(one),
        Planned::Groups(all) => {
            let head = summary(&all.sweep, all.reason.as_deref());
            let plans = all.plans.iter().map(|one| format!("\n{}", group(one)));
            front + &head + &plans.collect::<String>()
        }
        Planned::Other(other) => answer(other, origin),
    }
}

/// Prints the warnings of a plan on standard error.
pub(crate) fn warn_of_plan(plan: &Planned) {
    if let Planned::Other(other) = plan {
        super::warn(other);
    }
    for one in plan.groups() {
        let group = one.group.as_ref().map(|group| format!("{group}: "));
        let group = group.unwrap_or_default();
        for warning in &one.warnings {
            say::warning(&format!("{group}{}", plain(warning)));
        }
    }
}

fn group(one: &PlannedGroup) -> String {
    let name = named(one.group.as_ref(), one.name.as_deref());
    let generation = one
        .generation
        .map(|number| format!("generation {number}: "))
        .unwrap_or_default();
    let head = format!(
        "{name}: {generation}{}: {}\n",
        paint::outcome(one.outcome),
        plain(&one.reason)
    );
    let rules = one.rules.iter().map(rule).collect();
    let rules = columns(&["ACTION", "RULE", "UNTIL", "REASON"], rules, "  ");
    let reopened = reopened(&one.reopened, "  ");
    let unexpected = one.unexpected.iter().map(|live| {
        let remark = "live, and not in the record; left alone".to_owned();
        vec!["unexpected".to_owned(), live.clone(), remark]
    });
    head + &rules + &reopened + &columns(&[], unexpected.collect(), "  ")
}

fn rule(line: &PlannedRule) -> Vec<String> {
    let until = line.until.map(|until| until.to_string());
    vec![
        line.action.name().to_owned(),
        line.rule.to_string(),
        until.unwrap_or_else(|| "-".to_owned()),
        line.reason.clone(),
    ]
}

#[cfg(test)]
mod tests {
    use rulekeeper_core::model::{GroupAddress, Scope};
    use rulekeeper_core::report::plan::{GroupPlan, PlannedAction, ReopenedRule};

    use super::*;

    #[test]
    fn a_plan_says_what_would_be_done_with_each_rule_and_what_a_person_has_to_close() {
        let rule = |rule: &str, action, reason: &str, until: Option<&str>| PlannedRule {
            rule: rule.parse().expect("rule notation"),
            action,
            reason: reason.to_owned(),
            by: None,
            until: until.map(|until| until.parse().expect("a time")),
        };
        let one = GroupPlan {
            group: GroupAddress {
                scope: Scope {
                    account: "111122223333".parse().expect("an account"),
                    region: "eu-west-1".parse().expect("a Region"),
                },
                id: "sg-0a".parse().expect("a group"),
            },
            name: Some("web".to_owned()),
            generation: 7,
            rules: vec![
                rule(
                    "tcp 443 from 10.0.0.0/8",
                    PlannedAction::Restore,
                    "dropped",
                    None,
                ),
                rule(
                    "tcp 80 from 10.0.0.0/8",
                    PlannedAction::Wait,
                    "no event",
                    Some("2026-11-22T09:33:00Z"),
                ),
                rule(
                    "tcp 81 from 10.0.0.0/8",
                    PlannedAction::Leave,
                    "accepted",
                    None,
                ),
            ],
            reopened: vec![ReopenedRule {
                rule: "tcp 22 from 0.0.0.0/0".parse().expect("rule notation"),
                by: "arn:x".to_owned(),
                at: "2026-11-22T09:30:00Z".parse().expect("a time"),
                close: "aws ec2 revoke".to_owned(),
            }],
            unexpected: vec!["tcp 22 from 0.0.0.0/0".to_owned()],
            warnings: Vec::new(),
        };
        let planned = Planned::Group(Box::new(PlannedGroup::of_plan(one)));
        let expected = "\
a.json: 111122223333/eu-west-1/sg-0a (web): generation 7: drifted: 2 rules are missing
  ACTION   RULE                     UNTIL                 REASON
  restore  tcp 443 from 10.0.0.0/8  -                     dropped
  wait     tcp 80 from 10.0.0.0/8   2026-11-22T09:33:00Z  no event
  leave    tcp 81 from 10.0.0.0/8   -                     accepted
  reopened: tcp 22 from 0.0.0.0/0: arn:x closed it at 2026-11-22T09:30:00Z, and it was put back before that was known. Close it:
    aws ec2 revoke
  unexpected  tcp 22 from 0.0.0.0/0  live, and not in the record; left alone
";
        assert_eq!(plan(&planned, Some("a.json")), expected);
    }
}
