//! Reports of groups, and of sweeps over them.

use std::collections::BTreeMap;

use rulekeeper_core::function::Answer;
use rulekeeper_core::report::{Report, RuleReport};

use super::{checks, columns, named, plain};
use crate::paint;
use crate::say;

/// An answer, after its source unless the command makes that plain.
pub(crate) fn answer(answer: &Answer, origin: Option<&str>) -> String {
    let origin = origin
        .map(|origin| format!("{}: ", plain(origin)))
        .unwrap_or_default();
    match answer {
        Answer::Group(one) => origin + &report(one),
        // The function alone watches.
        Answer::Watch { watch } => origin + watch.reason.as_deref().unwrap_or_default() + "\n",
        Answer::Doctor { doctor } => origin + &checks(&doctor.checks),
        Answer::Sweep(sweep) => {
            let reports = sweep
                .reports
                .iter()
                .chain(&sweep.remarks)
                .map(|one| format!("\n{}", report(one)));
            origin + &summary(&sweep.sweep, sweep.reason.as_deref()) + &reports.collect::<String>()
        }
        Answer::Queue(queue) => {
            let answers = queue.messages.iter();
            let texts = answers.map(|(_, one)| origin.clone() + &self::answer(one, None));
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
            say::warning(&format!("{group}{}", plain(warning)));
        }
    }
}

/// The counts of a sweep, and why it is not finished if it is not.
pub(super) fn summary(counts: &BTreeMap<String, u64>, reason: Option<&str>) -> String {
    let groups = counts.get("groups").copied().unwrap_or(0);
    let parts = counts
        .iter()
        .filter(|(name, number)| *name != "groups" && **number > 0);
    let parts: Vec<String> = parts
        .map(|(name, number)| format!("{number} {name}"))
        .collect();
    let noun = if groups == 1 { "group" } else { "groups" };
    let list = if parts.is_empty() {
        String::new()
    } else {
        format!(": {}", parts.join(", "))
    };
    let stopped = reason.map(|reason| format!("not finished: {}\n", plain(reason)));
    format!("{groups} {noun}{list}\n{}", stopped.unwrap_or_default())
}

fn report(report: &Report) -> String {
    let group = named(report.group.as_ref(), report.name.as_deref());
    let (outcome, reason) = (paint::outcome(report.outcome.name()), plain(&report.reason));
    let rules = report.rules.iter().map(rule);
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

fn rule(line: &RuleReport) -> Vec<String> {
    let id = line.rule_id.as_ref().map(ToString::to_string);
    let details = [id, line.error_code.clone(), line.reason.clone()];
    vec![
        line.outcome.name().to_owned(),
        line.rule.to_string(),
        details.into_iter().flatten().collect::<Vec<_>>().join(": "),
    ]
}

#[cfg(test)]
mod tests {
    use rulekeeper_core::event::Trigger;
    use rulekeeper_core::model::GroupAddress;
    use rulekeeper_core::report::{GroupOutcome, RuleOutcome, SweepReport};

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
        report.name = Some("web\u{1b}".to_owned());
        report
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

111122223333/eu-west-1/sg-0a (web\\u{1b}): held: paused until noon
  held  all from 10.0.0.0/8  paused until noon
";
        assert_eq!(
            answer(&Answer::Sweep(Box::new(sweep.into())), Some("f.json")),
            expected
        );
    }
}
