//! The incident item: one per handled drop, even if several instances handle it several times.

use jiff::{Timestamp, ToSpan};
use serde_json::{Map, Value};

use crate::model::GroupAddress;
use crate::report::{GroupOutcome, Report, RuleOutcome, RuleReport, conclude};

/// How long an incident stays in the table, in hours: 90 days, as long as CloudTrail's own event history.
const KEPT_FOR_HOURS: i64 = 90 * 24;

/// The lowest key of an incident at this second or later.
///
/// It has no `Z`, because a fraction of a second sorts before the `Z`.
pub fn key_from(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S").to_string()
}

/// The time in an incident's key; `None` if the key has another form.
pub fn time_of_key(key: &str) -> Option<Timestamp> {
    key.split('#').next()?.parse().ok()
}

/// An incident, as written to the table.
#[derive(Debug, Clone, PartialEq)]
pub struct Incident {
    /// The group.
    pub group: GroupAddress,
    /// `eventTime#eventID`: the same for every delivery of one event.
    pub key: String,
    /// The report, and `expires_at` in seconds since 1970.
    pub attributes: Map<String, Value>,
}

impl Incident {
    /// The incident of a report. `None` when its call took no rule and nothing was restored, or when it names no group.
    ///
    /// What else is missing has an incident of its own, and every sweep would add another.
    pub fn of(report: &Report, began: Timestamp) -> Option<Self> {
        let group = report.group.clone()?;
        let from_event = report.trigger.event_name.is_some();
        let took_any = report.rules.iter().any(RuleReport::is_of_event);
        let worth_keeping = from_event && took_any || report.timing.restored_ms.is_some();
        if !worth_keeping {
            return None;
        }
        let at = report.trigger.event_time.unwrap_or(began);
        let id = report
            .trigger
            .event_id
            .as_deref()
            .unwrap_or(report.trigger.kind.name());
        let Ok(Value::Object(mut attributes)) = serde_json::to_value(report.capped()) else {
            return None;
        };
        attributes.remove("group");
        let expires_at = began.checked_add(KEPT_FOR_HOURS.hours()).ok()?.as_second();
        attributes.insert("expires_at".into(), expires_at.into());
        Some(Self {
            group,
            key: format!("{at}#{id}"),
            attributes,
        })
    }

    /// Merges what another handling of the same event wrote. For each rule the most telling outcome wins: that we
    /// restored a rule wins over another instance's `already_present`, and a retry's success wins over the earlier
    /// failure. The order of writing does not matter.
    pub fn merge(&mut self, written: &Map<String, Value>) {
        let mut merged: Vec<Value> = lines(written);
        for line in lines(&self.attributes) {
            match merged.iter_mut().find(|kept| kept["rule"] == line["rule"]) {
                Some(kept) if weight(&line) > weight(kept) => *kept = line,
                Some(_) => {}
                None => merged.push(line),
            }
        }
        // The other attributes come from one handling: the one that restored more rules.
        if restored(&lines(written)) > restored(&lines(&self.attributes)) {
            self.attributes = written.clone();
        }
        if let Some((outcome, reason)) = conclusion(&merged) {
            self.attributes.insert("outcome".into(), outcome.into());
            self.attributes.insert("reason".into(), reason.into());
        }
        self.attributes.insert("rules".into(), merged.into());
    }
}

fn restored(lines: &[Value]) -> usize {
    lines
        .iter()
        .filter(|line| line["outcome"] == "restored")
        .count()
}

/// The outcome of the merged lines. `None` when a rule is held or contested, or when the outcome is `failed`: the
/// handlings' own reasons stay then.
fn conclusion(lines: &[Value]) -> Option<(&'static str, String)> {
    let reports: Option<Vec<RuleReport>> = lines
        .iter()
        .map(|line| {
            let rule = line["rule"].as_str()?.parse().ok()?;
            let outcome = RuleOutcome::of_name(line["outcome"].as_str()?)?;
            let mut report = RuleReport::new(rule, outcome);
            if line["dropped_by"] == "this_event" {
                report = report.dropped_by_this_event();
            }
            (!matches!(outcome, RuleOutcome::Held | RuleOutcome::Contested)).then_some(report)
        })
        .collect();
    let (outcome, reason) = conclude(&reports?);
    (outcome != GroupOutcome::Failed).then(|| (outcome.name(), reason))
}

fn lines(attributes: &Map<String, Value>) -> Vec<Value> {
    attributes
        .get("rules")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default()
}

fn weight(line: &Value) -> u8 {
    match line.get("outcome").and_then(Value::as_str) {
        Some("restored") => 5,
        Some("superseded") => 4,
        Some("restored_elsewhere") => 3,
        Some("already_present") => 2,
        Some("held" | "contested") => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_from_their_second_on() {
        let time = |text: &str| text.parse::<Timestamp>().expect("a time");
        let from = key_from(time("2026-11-22T09:30:00.7Z"));
        for later in ["2026-11-22T09:30:00Z", "2026-11-22T09:30:00.1Z"] {
            let key = format!("{}#id", time(later));
            assert!(key >= from, "{key}");
            assert_eq!(time_of_key(&key), Some(time(later)));
        }
        assert!(format!("{}#id", time("2026-11-22T09:29:59.9Z")) < from);
        assert_eq!(time_of_key("by hand"), None);
    }
}
