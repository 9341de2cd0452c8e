//! Who closed each rule last, and whether rulekeeper was told.

use std::collections::BTreeMap;

use rulekeeper_local::Cloud;
use serde_json::Value;

use crate::support::{Scene, rule_json};

/// A successful call.
#[derive(Debug, Clone)]
struct Step {
    role: &'static str,
    event: String,
    /// Whether its event names rules by id only.
    by_id: bool,
}

/// What the callers did.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    closed: BTreeMap<String, Step>,
    opened: BTreeMap<String, Step>,
    /// Authorizes and modifies that EC2 refused: who, and what they asked for.
    refused: Vec<(&'static str, Vec<String>)>,
}

/// A call as it ended.
#[derive(Debug)]
pub(super) struct Ended<'a> {
    pub(super) role: &'static str,
    pub(super) done: bool,
    pub(super) by_id: bool,
    pub(super) closes: &'a [&'a str],
    pub(super) opens: &'a [&'a str],
}

impl Ledger {
    /// Notes a call, whose event is the caller's last.
    pub(super) fn note(&mut self, cloud: &Cloud, call: &Ended<'_>) {
        let owned = |rules: &[&str]| rules.iter().map(|rule| (*rule).to_owned()).collect();
        if !call.done {
            return self.refused.push((call.role, owned(call.opens)));
        }
        let step = Step {
            role: call.role,
            event: last_event(cloud, call.role),
            by_id: call.by_id,
        };
        for rule in call.closes {
            self.closed.insert((*rule).to_owned(), step.clone());
        }
        for rule in call.opens {
            self.closed.remove(*rule);
            self.opened.insert((*rule).to_owned(), step.clone());
        }
    }

    /// Live rules that an accepted or releasing principal closed last, as rulekeeper was told, and that nothing explains.
    pub(crate) fn unexplained(&self, scene: &Scene) -> Vec<String> {
        let reports = reports(scene);
        let lost = lost_events(scene);
        let is_lost = |step: &Step| lost.contains(&step.event);
        let live = scene.live().into_iter();
        let closed = live.filter_map(|rule| Some((self.closed.get(&rule)?, rule)));
        let decided = closed.filter(|(step, rule)| {
            let knows_id = !step.by_id || !self.opened.get(rule).is_some_and(is_lost);
            let is_decision = match step.role {
                "terraform" => !self.is_aborted(step.role, rule),
                role => role == "breakglass",
            };
            is_decision && knows_id && !is_lost(step)
        });
        let unexplained = decided.filter(|(step, rule)| {
            // A call that names ids is no cause if its id was never learnt: nobody saw the rule after we had put it back.
            let may_be_unknown = step.by_id && is_told(&reports, rule, "no event told who took it");
            !is_told(&reports, rule, "reopened") && !may_be_unknown
        });
        unexplained
            .map(|(step, rule)| {
                let told = told(&reports, &rule);
                format!("{rule}, closed by {}; told: {told:#?}", step.role)
            })
            .collect()
    }

    /// Whether a refused call of the principal may belong to its revoke of a rule.
    fn is_aborted(&self, role: &str, rule: &str) -> bool {
        let refused = self.refused.iter().filter(|(by, _)| *by == role);
        let mut asked = refused.flat_map(|(_, rules)| rules);
        asked.any(|asked| is_related(asked, rule))
    }
}

/// The id of the last event of a role.
fn last_event(cloud: &Cloud, role: &str) -> String {
    let records = cloud.records();
    let session = format!(":assumed-role/{role}/");
    let last = records.iter().rposition(|record| {
        let arn = record["userIdentity"]["arn"].as_str();
        arn.is_some_and(|arn| arn.contains(&session))
    });
    let events = cloud.bridge().log();
    events[last.expect("it has called")].id.clone()
}

/// The events that the function did not get, or gave up.
fn lost_events(scene: &Scene) -> Vec<String> {
    let events = scene.stack.bridge().log().into_iter();
    let unsent = events.filter(|event| event.fate != "sent");
    let letters = scene.stack.lambda().dead_letters().into_iter();
    let given_up = letters.filter_map(|it| it.payload["id"].as_str().map(str::to_owned));
    unsent.map(|event| event.id).chain(given_up).collect()
}

/// All reports of the scene's group, those of sweeps included.
fn reports(scene: &Scene) -> Vec<Value> {
    let mut reports = scene.answers();
    for answer in scene.answers() {
        for list in ["reports", "remarks"] {
            reports.extend(answer[list].as_array().into_iter().flatten().cloned());
        }
    }
    reports.retain(|report| report["group"]["id"] == scene.group.as_str());
    reports
}

/// What the reports say of a rule, for the message of a failure.
fn told(reports: &[Value], rule: &str) -> Vec<String> {
    let names = |value: &&Value| value.to_string().contains(rule);
    let pick = |list: &Value| {
        let entries = list.as_array().into_iter().flatten();
        entries.filter(names).cloned().collect::<Vec<_>>()
    };
    let reports = reports.iter().filter(|it| it["group"].is_object());
    let told = reports.filter(names).map(|report| {
        let text = |name: &str| report["trigger"][name].as_str().unwrap_or("sweep");
        let (event, at, by) = (text("event_name"), text("event_time"), text("principal"));
        let what = ["rules", "changes", "notices", "reopened"].map(|list| pick(&report[list]));
        let generation = &report["generation"];
        format!("{event} at {at} by {by}, generation {generation}: {what:?}")
    });
    told.collect()
}

/// Whether a notice about a rule has these words, or a report names the rule as reopened.
fn is_told(reports: &[Value], rule: &str, words: &str) -> bool {
    let has = |list: &Value, test: &dyn Fn(&str) -> bool| {
        let texts = list.as_array().into_iter().flatten();
        texts.filter_map(Value::as_str).any(test)
    };
    reports.iter().any(|report| {
        has(&report["reopened"], &|it| it == rule)
            || has(&report["notices"], &|it| {
                it.contains(words) && it.contains(rule)
            })
    })
}

/// As in "Meant or lost": the same protocol with overlapping ports, or the same private source.
fn is_related(one: &str, other: &str) -> bool {
    let (first, second) = (rule_json(one), rule_json(other));
    let span = |rule: &Value| {
        let port = |name: &str, default| rule[name].as_i64().unwrap_or(default);
        (port("from_port", 0), port("to_port", i64::from(u16::MAX)))
    };
    let all = |rule: &Value| rule["protocol"] == "-1";
    let protocol = all(&first) || all(&second) || first["protocol"] == second["protocol"];
    let ((from, to), (other_from, other_to)) = (span(&first), span(&second));
    let overlap = protocol && from <= other_to && other_from <= to;
    let source = |rule: &str| {
        rule.split_once(" from ")
            .map(|(_, source)| source.to_owned())
    };
    let private = one.contains("from 10.") || one.contains("from sg-");
    overlap || private && source(one) == source(other)
}
