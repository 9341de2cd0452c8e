//! CloudWatch metrics as log lines.
//!
//! A line of the embedded metric format is one JSON object with the values, and their description under `_aws`
//! (CloudWatch User Guide, "Specification: Embedded metric format"). There are no dimensions: an alarm counts the whole
//! stack.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::function::Answer;
use crate::report::{Report, RuleOutcome, WatchReport};

/// The namespace of every metric.
pub const NAMESPACE: &str = "rulekeeper";

/// The metrics of one answer, as lines for standard output: one line for the invocation, and one for each group that
/// was open. A line holds only one value of a metric.
pub fn lines(answer: &Answer, at: Timestamp, handler_ms: u64) -> Vec<String> {
    // A sweep's remarks are left out: their rules were dropped earlier, and every sweep repeats them.
    let reports = match answer {
        Answer::Group(result) => std::slice::from_ref(&result.report),
        Answer::Sweep(sweep) => &sweep.report.reports[..],
        Answer::Queue(queue) => {
            let answers = queue.messages.iter();
            return answers
                .flat_map(|(_, answer)| lines(answer, at, handler_ms))
                .collect();
        }
        Answer::Watch { watch } => return vec![line(of_watch(watch), at)],
        // The doctor is about no group, and no rule waits for it.
        Answer::Doctor { .. } => return Vec::new(),
    };
    let counted = || reports.iter().flat_map(Report::counted);
    let rules = |outcome: RuleOutcome| counted().filter(|line| line.outcome == outcome).count();
    let dropped = counted().count();
    let mut values = vec![
        (
            "RulesDropped",
            "Count",
            json!(dropped - rules(RuleOutcome::AlreadyPresent)),
        ),
        (
            "RulesRestored",
            "Count",
            json!(rules(RuleOutcome::Restored)),
        ),
        ("RulesFailed", "Count", json!(rules(RuleOutcome::Failed))),
        (
            "RulesContested",
            "Count",
            json!(rules(RuleOutcome::Contested)),
        ),
        (
            "RecordsUnreadable",
            "Count",
            json!(records_unreadable(answer)),
        ),
        ("GroupsUnread", "Count", json!(groups_unread(answer))),
        ("HandlerMs", "Milliseconds", json!(handler_ms)),
    ];
    // A rule that waits for a person is counted by every sweep, for as long as it waits.
    let remarks = match answer {
        Answer::Sweep(sweep) => &sweep.report.remarks[..],
        _ => &[],
    };
    let standing = |rules: fn(&Report) -> usize| {
        let reports = reports.iter().chain(remarks);
        reports.map(rules).sum::<usize>()
    };
    let counts = [
        ("RulesReopened", standing(|it| it.reopened.len())),
        ("RulesPending", standing(|it| it.pending.len())),
        (
            "RulesUnrestorable",
            standing(|it| it.unrestorable.len()) + usize::from(may_not_authorize(answer)),
        ),
        ("GroupsUnsaved", groups_unsaved(answer)),
    ];
    let counts = counts.into_iter().filter(|(_, count)| *count > 0);
    values.extend(counts.map(|(name, count)| (name, "Count", json!(count))));
    if let Answer::Sweep(sweep) = answer {
        values.push((
            "SweptGroups",
            "Count",
            json!(sweep.sweep.get("groups").copied().unwrap_or(0)),
        ));
    }
    let open = reports.iter().filter_map(Report::drift_open_ms);
    let drift = open.map(|open_ms| line(vec![("DriftOpenMs", "Milliseconds", json!(open_ms))], at));
    std::iter::once(line(values, at)).chain(drift).collect()
}

fn of_watch(watch: &WatchReport) -> Vec<(&'static str, &'static str, Value)> {
    vec![
        ("WatchedGroups", "Count", json!(watch.groups)),
        ("WatchLooks", "Count", json!(watch.looks)),
        ("WatchThrottled", "Count", json!(watch.throttled)),
        ("WatchFailedReads", "Count", json!(watch.failed_reads)),
        (
            "WatchPauseMs",
            "Milliseconds",
            json!(watch.longest_pause_ms),
        ),
    ]
}

fn records_unreadable(answer: &Answer) -> usize {
    match answer {
        Answer::Group(result) => usize::from(result.unreadable),
        Answer::Sweep(result) => result.unreadable,
        Answer::Queue(_) | Answer::Watch { .. } | Answer::Doctor { .. } => 0,
    }
}

/// Whether no rule at all could come back, which counts as one.
fn may_not_authorize(answer: &Answer) -> bool {
    match answer {
        Answer::Sweep(sweep) => sweep.permission.as_ref().is_some_and(|it| !it.authorize),
        _ => false,
    }
}

/// The number of groups whose missing rules are unknown. A sweep that ended early counts as one more.
fn groups_unread(answer: &Answer) -> usize {
    match answer {
        Answer::Group(result) => usize::from(result.unread),
        Answer::Sweep(result) => result.unread + usize::from(result.reason.is_some()),
        Answer::Queue(_) | Answer::Watch { .. } | Answer::Doctor { .. } => 0,
    }
}

/// The number of groups of which something that has to be remembered could not be written.
fn groups_unsaved(answer: &Answer) -> usize {
    match answer {
        Answer::Group(result) => usize::from(result.unsaved),
        Answer::Sweep(result) => result.unsaved,
        Answer::Queue(_) | Answer::Watch { .. } | Answer::Doctor { .. } => 0,
    }
}

fn line(values: Vec<(&str, &str, Value)>, at: Timestamp) -> String {
    let metrics: Vec<Value> = values
        .iter()
        .map(|(name, unit, _)| json!({"Name": name, "Unit": unit}))
        .collect();
    let directive = json!({"Namespace": NAMESPACE, "Dimensions": [[]], "Metrics": metrics});
    let mut object = Map::new();
    object.insert(
        "_aws".into(),
        json!({"Timestamp": at.as_millisecond(), "CloudWatchMetrics": [directive]}),
    );
    object.extend(
        values
            .into_iter()
            .map(|(name, _, value)| (name.to_owned(), value)),
    );
    Value::Object(object).to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::event::{Trigger, TriggerKind};
    use crate::fakes::{group, key, now};
    use crate::report::{GroupOutcome, RuleReport, SweepReport};

    fn report(outcomes: &[RuleOutcome]) -> Report {
        let trigger = Trigger::default();
        let mut report = Report::bare(trigger, Some(group()), GroupOutcome::Partial, String::new());
        let rule = |outcome: &RuleOutcome| {
            RuleReport::new(key("tcp 443 from 10.0.0.0/8"), *outcome).dropped_by_this_event()
        };
        report.rules = outcomes.iter().map(rule).collect();
        report
    }

    fn written(answer: &Answer) -> Vec<Value> {
        let lines = lines(answer, now(), 7);
        lines
            .iter()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    }

    #[test]
    fn a_line_declares_what_it_holds() {
        use RuleOutcome::{AlreadyPresent, Failed, Restored};
        let answer = Answer::Group(Box::new(
            report(&[Restored, Restored, Failed, AlreadyPresent]).into(),
        ));
        let [line] = &written(&answer)[..] else {
            panic!("one line")
        };
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(line["_aws"]["Timestamp"], now().as_millisecond());
        assert_eq!(directive["Dimensions"], json!([[]]));
        for metric in directive["Metrics"].as_array().expect("a list") {
            let name = metric["Name"].as_str().expect("a name");
            assert!(line[name].is_u64(), "{name} is declared and not there");
        }
        let values = ["RulesDropped", "RulesRestored", "RulesFailed", "HandlerMs"];
        assert_eq!(
            values.map(|name| line[name].as_u64()),
            [Some(3), Some(2), Some(1), Some(7)]
        );
    }

    #[test]
    fn how_long_rules_were_open_is_known_for_events_only() {
        let mut restored = report(&[RuleOutcome::Restored]);
        restored.timing.event_age_ms = Some(2_000);
        restored.timing.restored_ms = Some(61);
        let lines = written(&Answer::Group(Box::new(restored.clone().into())));
        assert_eq!(lines[1]["DriftOpenMs"], 2_061);
        restored.trigger.kind = TriggerKind::Sweep;
        assert_eq!(written(&Answer::Group(Box::new(restored.into()))).len(), 1);
    }

    #[test]
    fn a_sweep_that_ended_early_counts_as_unread() {
        let sweep = |reason: Option<&str>| {
            let report = SweepReport {
                sweep: BTreeMap::from([("groups".to_owned(), 5)]),
                reason: reason.map(str::to_owned),
                ..SweepReport::default()
            };
            Answer::Sweep(Box::new(report.into()))
        };
        let lines = written(&sweep(Some("the records could not be read")));
        assert_eq!(
            (&lines[0]["SweptGroups"], &lines[0]["GroupsUnread"]),
            (&5.into(), &1.into())
        );
        assert_eq!(written(&sweep(None))[0]["GroupsUnread"], 0);
    }
}
