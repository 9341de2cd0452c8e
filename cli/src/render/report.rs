//! Reports of groups, and of sweeps over them.

use rulekeeper_core::function::Answer;
use rulekeeper_core::report::{GroupOutcome, Report, RuleOutcome, RuleReport, SweepReport};

use super::{checks, columns, plain};

/// Whether reports tell what was done or what would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Something was done.
    Done,
    /// Nothing was: a plan.
    Plan,
}

/// An answer, after its source unless the command makes that plain.
pub(crate) fn answer(answer: &Answer, origin: Option<&str>, style: Style) -> String {
    let origin = origin
        .map(|origin| format!("{}: ", plain(origin)))
        .unwrap_or_default();
    match answer {
        Answer::Group(one) => origin + &report(one, style),
        Answer::Doctor { doctor } => origin + &checks(&doctor.checks),
        Answer::Sweep(sweep) => {
            let reports = sweep
                .reports
                .iter()
                .chain(&sweep.remarks)
                .map(|one| format!("\n{}", report(one, style)));
            origin + &summary(sweep, style) + &reports.collect::<String>()
        }
        Answer::Queue(queue) => {
            let answers = queue.messages.iter();
            let texts = answers.map(|(_, one)| origin.clone() + &self::answer(one, None, style));
            texts.collect::<Vec<_>>().join("\n")
        }
    }
}

/// Prints the warnings of reports on standard error.
pub(crate) fn warn(answer: &Answer) {
    for report in answer.reports() {
        let group = report
            .group
            .as_ref()
            .map(|group| format!("{group}: "))
            .unwrap_or_default();
        for warning in &report.warnings {
            eprintln!("warning: {group}{}", plain(warning));
        }
    }
}

fn summary(sweep: &SweepReport, style: Style) -> String {
    let count = |name: &str| sweep.sweep.get(name).copied().unwrap_or(0);
    let groups = count("groups");
    let parts = sweep
        .sweep
        .iter()
        .filter(|(name, number)| *name != "groups" && **number > 0);
    let parts: Vec<String> = parts
        .map(|(name, number)| format!("{number} {}", renamed(name, style)))
        .collect();
    let noun = if groups == 1 { "group" } else { "groups" };
    let list = if parts.is_empty() {
        String::new()
    } else {
        format!(": {}", parts.join(", "))
    };
    let stopped = sweep
        .reason
        .as_ref()
        .map(|reason| format!("not finished: {}\n", plain(reason)));
    format!("{groups} {noun}{list}\n{}", stopped.unwrap_or_default())
}

/// In a plan every group is observed and every missing rule held, which says nothing about the group.
fn renamed(outcome: &str, style: Style) -> &str {
    match style {
        Style::Plan if outcome == GroupOutcome::Observed.name() => "drifted",
        _ => outcome,
    }
}

fn report(report: &Report, style: Style) -> String {
    let group = report
        .group
        .as_ref()
        .map_or_else(|| "no group".to_owned(), ToString::to_string);
    let outcome = renamed(report.outcome.name(), style);
    let reason = match (style, report.outcome) {
        (Style::Plan, GroupOutcome::Observed) => missing(report.count(RuleOutcome::Held)),
        _ => plain(&report.reason),
    };
    let rules = report
        .rules
        .iter()
        .map(|line| rule(line, report.outcome, style));
    let unexpected = report.unexpected.iter().map(|live| {
        vec![
            "unexpected".to_owned(),
            live.clone(),
            "live, and not in the record; left alone".to_owned(),
        ]
    });
    format!(
        "{group}: {outcome}: {reason}\n{}",
        columns(&[], rules.chain(unexpected).collect(), "  ")
    )
}

fn missing(rules: usize) -> String {
    format!(
        "{rules} {} missing",
        if rules == 1 { "rule is" } else { "rules are" }
    )
}

fn rule(line: &RuleReport, group: GroupOutcome, style: Style) -> Vec<String> {
    let outcome = match (style, line.outcome) {
        (Style::Plan, RuleOutcome::Held) => "missing",
        (_, outcome) => outcome.name(),
    };
    let reason = match (style, group) {
        (Style::Plan, GroupOutcome::Observed) if line.outcome == RuleOutcome::Held => None,
        _ => line.reason.clone(),
    };
    let id = line.rule_id.as_ref().map(ToString::to_string);
    let details = [id, line.error_code.clone(), reason].into_iter().flatten();
    vec![
        outcome.to_owned(),
        line.rule.to_string(),
        details.collect::<Vec<_>>().join(": "),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rulekeeper_core::event::Trigger;
    use rulekeeper_core::model::GroupAddress;

    use super::*;

    fn one(outcome: GroupOutcome, reason: &str, rules: &[(&str, RuleOutcome, &str)]) -> Report {
        let group = GroupAddress {
            scope: rulekeeper_core::model::Scope {
                account: "111122223333".parse().expect("an account"),
                region: "eu-west-1".parse().expect("a Region"),
            },
            id: "sg-0a".parse().expect("a group"),
        };
        let mut report = Report::bare(Trigger::default(), Some(group), outcome, reason.to_owned());
        let lines = rules.iter().map(|(rule, outcome, reason)| {
            RuleReport::new(rule.parse().expect("rule notation"), *outcome).because(*reason)
        });
        report.rules = lines.collect();
        report
    }

    #[test]
    fn a_plan_says_missing_where_the_report_says_held() {
        let mut observed = one(
            GroupOutcome::Observed,
            "1 missing, left missing in observe mode",
            &[(
                "tcp 443 from 10.0.0.0/8",
                RuleOutcome::Held,
                "observe mode: would be authorized",
            )],
        );
        observed.unexpected.push("tcp 22 from 0.0.0.0/0".to_owned());
        let planned = answer(&Answer::Group(Box::new(observed.into())), None, Style::Plan);
        let expected = "\
111122223333/eu-west-1/sg-0a: drifted: 1 rule is missing
  missing     tcp 443 from 10.0.0.0/8
  unexpected  tcp 22 from 0.0.0.0/0    live, and not in the record; left alone
";
        assert_eq!(planned, expected);
    }

    #[test]
    fn a_sweep_sums_up_and_then_tells_of_what_was_not_converged() {
        let sweep = SweepReport {
            sweep: BTreeMap::from([
                ("groups".to_owned(), 2),
                ("converged".to_owned(), 1),
                ("held".to_owned(), 1),
            ]),
            reports: vec![one(
                GroupOutcome::Held,
                "paused until noon",
                &[(
                    "all from 10.0.0.0/8",
                    RuleOutcome::Held,
                    "paused until noon",
                )],
            )],
            reason: Some("time ran out".to_owned()),
            ..SweepReport::default()
        };
        let expected = "\
f.json: 2 groups: 1 converged, 1 held
not finished: time ran out

111122223333/eu-west-1/sg-0a: held: paused until noon
  held  all from 10.0.0.0/8  paused until noon
";
        assert_eq!(
            answer(
                &Answer::Sweep(Box::new(sweep.into())),
                Some("f.json"),
                Style::Done
            ),
            expected
        );
    }
}
