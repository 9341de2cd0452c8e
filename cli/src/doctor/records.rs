//! What the table holds: records, settings, marks.

use jiff::{SignedDuration, Timestamp};
use rulekeeper_cli::operator::guardrail_remarks;
use rulekeeper_core::decide::guardrail::Guardrails;
use rulekeeper_core::desired::{DesiredRecord, Finding, SharedSettings, Unreadable};
use rulekeeper_core::function::permissions::Check;
use rulekeeper_core::model::{GroupAddress, GroupId, GroupRange, Scope};
use rulekeeper_core::ports::{ApiError, GroupMarks, Lease, Table as _, WatchTable as _};
use serde_json::{Value, json};

use super::check::{count, failed, ok, skipped, unknown, warning};
use crate::session::{GROUP_TIME, Session};

/// What was read.
#[derive(Debug)]
pub(super) struct RecordFacts {
    /// Each record by the name of its group.
    pub(super) records: Result<Vec<(String, Value)>, ApiError>,
    pub(super) marks: Result<GroupMarks, ApiError>,
    pub(super) settings: Result<Option<Value>, ApiError>,
    /// Who watches.
    pub(super) lease: Result<Lease, ApiError>,
}

/// A group whose items are asked for because the settings come along. It cannot exist.
const NO_GROUP: &str = "sg-00000000000000000";

pub(super) async fn examine(session: &Session, scope: &Scope) -> Vec<Check> {
    let table = match session.table_for(GROUP_TIME).await {
        Ok(table) => table,
        Err(failure) => return vec![failed("records", scope.to_string(), failure.to_string())],
    };
    let address = GroupAddress {
        scope: scope.clone(),
        id: NO_GROUP.parse().expect("this is a group's id"),
    };
    let all = GroupRange::default();
    let (records, marks, loaded, lease) = tokio::join!(
        table.all_desired(scope),
        table.marks(scope, &all),
        table.load(&address),
        table.lease()
    );
    let facts = RecordFacts {
        records,
        marks,
        settings: loaded.map(|loaded| loaded.settings),
        lease,
    };
    judge(&facts, scope, session.never(), Timestamp::now())
}

pub(super) fn unexamined(table_is_there: bool) -> Vec<Check> {
    let found = match table_is_there {
        true => "the account is not known: give --account",
        false => "there is no table",
    };
    ["records", "settings"]
        .map(|check| skipped(check, "-", found))
        .into()
}

pub(super) fn judge(
    facts: &RecordFacts,
    scope: &Scope,
    never: &Guardrails,
    now: Timestamp,
) -> Vec<Check> {
    let subject = scope.to_string();
    let mut checks = match &facts.records {
        Ok(records) => {
            let mut checks = of_records(records, scope, never, now);
            let watched = records.iter().filter(|(_, item)| item["watch"] == true);
            checks.extend(watch(watched.count(), &facts.lease, now));
            checks
        }
        Err(error) => vec![unknown(
            "records",
            subject.as_str(),
            error,
            "dynamodb:Query on the table",
        )],
    };
    match &facts.marks {
        Ok(marks) => checks.extend(marks.orphaned.iter().map(orphaned)),
        Err(error) => checks.push(unknown(
            "orphaned",
            subject,
            error,
            "dynamodb:Query on the table",
        )),
    }
    checks.push(match &facts.settings {
        Ok(settings) => of_settings(settings.as_ref()),
        Err(error) => unknown(
            "settings",
            "all groups",
            error,
            "dynamodb:BatchGetItem on the table",
        ),
    });
    checks
}

/// How long after the end of its lease a watch may be between two runs.
const BETWEEN_RUNS: SignedDuration = SignedDuration::from_mins(2);

/// Whether somebody watches, where records ask for it.
fn watch(watched: usize, lease: &Result<Lease, ApiError>, now: Timestamp) -> Option<Check> {
    let (check, subject) = ("watch", count(watched, "watched group"));
    if watched == 0 {
        return None;
    }
    let lease = match lease {
        Ok(lease) => lease,
        Err(error) => {
            return Some(unknown(
                check,
                subject,
                error,
                "dynamodb:BatchGetItem on the table",
            ));
        }
    };
    let until = lease.until.filter(|until| *until + BETWEEN_RUNS > now);
    Some(match (until, &lease.holder) {
        (Some(_), Some(run)) => ok(check, subject, format!("{run} watches")),
        _ => {
            let found = "nobody watches, so drops are seen when their event comes";
            let fix = "Deploy with WatchSeconds=2 (docs/operate.md#the-watch). If the stack has it: a run lasts until the \
                       next one comes, each minute; the log of the function STACK-watch says why none does.";
            warning(check, subject, found).fix(fix)
        }
    })
}

fn of_records(
    records: &[(String, Value)],
    scope: &Scope,
    never: &Guardrails,
    now: Timestamp,
) -> Vec<Check> {
    let mut checks = Vec::new();
    let (mut readable, mut rules, mut paused) = (0, 0, 0);
    for (name, item) in records {
        if let Err(error) = name.parse::<GroupId>() {
            let found = format!("the desired-state record cannot be understood: sk: {error}");
            let fix = format!(
                "Delete that item:\naws dynamodb delete-item --key '{}'",
                item_key(scope, name)
            );
            checks.push(failed("record", name, found).fix(fix));
            continue;
        }
        let expires = expires(item);
        if expires {
            let key = item_key(scope, name);
            checks.push(failed("record", name, EXPIRES).fix(without_expiry(&key)));
        }
        match DesiredRecord::from_json(item, &scope.account) {
            Ok(reading) => {
                readable += 1;
                rules += reading.record.rules.len();
                paused += usize::from(reading.record.paused_at(now).is_some());
                let remarks = guardrail_remarks(never, &reading.record);
                if !remarks.is_empty() {
                    let fix = format!(
                        "If a rule is not meant: `rulekeeper release {name} \"RULE\"`. If such rules are never meant: the stack's parameter NeverAuthorize."
                    );
                    checks.push(warning("guardrails", name, remarks.join("; ")).fix(fix));
                }
                let mut warnings = reading.warnings;
                warnings.retain(|warning| !(expires && warning.path == "expires_at"));
                if !warnings.is_empty() {
                    let fix = format!(
                        "`rulekeeper export {name}`, correct it, and `rulekeeper apply` it."
                    );
                    checks.push(warning("record", name, listed(&warnings)).fix(fix));
                }
            }
            Err(_) if expires => {}
            Err(unreadable) => checks.push(unreadable_record(name, &unreadable, scope)),
        }
    }
    checks.insert(0, summary(records.len(), readable, rules, paused, scope));
    checks
}

/// What is wrong with an item of the operator's that has DynamoDB's attribute of expiry.
const EXPIRES: &str = "has expires_at, the attribute by which DynamoDB deletes items: it goes at that time, and nobody is told";

fn expires(item: &Value) -> bool {
    item.get("expires_at").is_some()
}

fn without_expiry(key: &str) -> String {
    format!(
        "Take expires_at out of the item, and find out who put it there:\n\
         aws dynamodb update-item --key '{key}' --update-expression 'REMOVE expires_at'"
    )
}

fn item_key(scope: &Scope, name: &str) -> String {
    let pk = format!("desired#{}#{}", scope.account, scope.region);
    key(&pk, name)
}

/// The key of an item, as the AWS CLI takes it.
fn key(pk: &str, sk: &str) -> String {
    json!({"pk": {"S": pk}, "sk": {"S": sk}}).to_string()
}

fn summary(all: usize, readable: usize, rules: usize, paused: usize, scope: &Scope) -> Check {
    let subject = scope.to_string();
    if all == 0 {
        let found = "no group is kept yet";
        return warning("records", subject, found)
            .fix("`rulekeeper pin GROUP` records the live rules of a group.");
    }
    let pauses = match paused {
        0 => String::new(),
        paused => format!(", {paused} paused"),
    };
    let found = match readable == all {
        true => format!(
            "{} can be read, with {}{pauses}",
            count(all, "record"),
            count(rules, "rule")
        ),
        false => format!(
            "{readable} of {} can be read, with {}{pauses}",
            count(all, "record"),
            count(rules, "rule")
        ),
    };
    // Those that cannot are each a check of their own.
    ok("records", subject, found)
}

fn unreadable_record(name: &str, unreadable: &Unreadable, scope: &Scope) -> Check {
    let newer = unreadable
        .findings
        .iter()
        .any(|finding| finding.path == "schema");
    let fix = match newer {
        true => "Update the function and this command line: a newer release wrote it. If none did, correct `schema`.".to_owned(),
        false => format!(
            "Write the record anew with `rulekeeper apply -f FILE`, or correct that attribute. The item:\n\
             aws dynamodb get-item --key '{}'",
            item_key(scope, name)
        ),
    };
    failed("record", name, unreadable.to_string()).fix(fix)
}

fn orphaned(group: &GroupId) -> Check {
    let found = "the security group does not exist; sweeps no longer look at it";
    let fix = format!(
        "If it is gone for good: `rulekeeper unpin {group}`. Sweeps look at it again once its record is written again."
    );
    warning("orphaned", group.to_string(), found).fix(fix)
}

fn of_settings(item: Option<&Value>) -> Check {
    let (check, subject) = ("settings", "all groups");
    let Some(item) = item else {
        return ok(check, subject, "none, so nobody is listed for all groups");
    };
    if expires(item) {
        return failed(check, subject, EXPIRES).fix(without_expiry(&key("settings", "settings")));
    }
    match SharedSettings::from_json(item) {
        Ok((settings, warnings)) if warnings.is_empty() => {
            let found = format!(
                "can be read, with {}",
                count(settings.principals.len(), "principal")
            );
            ok(check, subject, found)
        }
        Ok((_, warnings)) => warning(check, subject, listed(&warnings))
            .fix("`rulekeeper principal list`, then `principal remove` and `add`."),
        Err(unreadable) => {
            let found = format!(
                "cannot be understood, so none of their principals counts, and intended revokes are undone: {}",
                unreadable.errors()
            );
            failed(check, subject, found)
                .fix(format!(
                    "Correct that attribute in the item, or replace the list by an empty one with `rulekeeper principal reset`. \
                     The item has pk settings, sk settings:\naws dynamodb get-item --key '{}'",
                    key("settings", "settings")
                ))
        }
    }
}

fn listed(findings: &[Finding]) -> String {
    findings
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

#[cfg(test)]
mod tests {
    use rulekeeper_core::fakes::{now, refused};
    use rulekeeper_core::function::permissions::Outcome;

    use super::*;

    #[test]
    fn watched_groups_need_somebody_who_watches() {
        let lease = |seconds: i64| Lease {
            revision: 1,
            holder: Some("a run".to_owned()),
            until: Some(now() + SignedDuration::from_secs(seconds)),
            heir: None,
        };
        let outcome = |watched, lease| {
            let check = watch(watched, &lease, now())?;
            assert_eq!(check.subject, "2 watched groups");
            Some(check.outcome)
        };
        assert_eq!(outcome(0, Ok(Lease::default())), None);
        assert_eq!(outcome(2, Ok(lease(20))), Some(Outcome::Ok));
        assert_eq!(outcome(2, Ok(lease(-119))), Some(Outcome::Ok));
        assert_eq!(outcome(2, Ok(lease(-120))), Some(Outcome::Warning));
        assert_eq!(outcome(2, Ok(Lease::default())), Some(Outcome::Warning));
        assert!(outcome(2, Err(refused("AccessDenied"))) > Some(Outcome::Ok));
    }
}
