//! Incidents.

use jiff::SignedDuration;
use rulekeeper_cli::operator::{
    Content, DroppedRule, IncidentFacts, Incidents, PastIncident, ReopenedGroup, UnrestorableGroup,
};
use rulekeeper_core::event::console_link;
use rulekeeper_core::model::Scope;
use rulekeeper_core::report::RuleOutcome;

use super::standing::reopened;
use super::{columns, named, plain, who};
use crate::paint;

/// Every incident, a line each, or with its rules a paragraph each.
pub(crate) fn incidents(scope: &Scope, found: &Incidents, details: bool) -> String {
    let reopened = found.reopened.iter().map(reopened_group);
    let unrestorable = found.unrestorable.iter().map(unrestorable_group);
    let first: String = reopened.chain(unrestorable).collect();
    if found.incidents.is_empty() {
        let groups = match found.groups {
            0 => format!("{scope} has no records"),
            1 => "looked at 1 group".to_owned(),
            groups => format!("looked at {groups} groups"),
        };
        return format!("{first}no incidents since {:.0}; {groups}\n", found.since);
    }
    if !details {
        let header = ["TIME", "GROUP", "OUTCOME", "OPEN", "RULES", "BY"];
        return first + &columns(&header, found.incidents.iter().map(row).collect(), "");
    }
    let paragraphs = found.incidents.iter().map(incident);
    first + &paragraphs.collect::<Vec<_>>().join("\n")
}

fn row(incident: &PastIncident) -> Vec<String> {
    let group = match &incident.name {
        Some(name) => format!("{} ({name})", incident.group.id),
        None => incident.group.id.to_string(),
    };
    let front = vec![time(incident), group];
    let rest = match &incident.content {
        Content::Readable(facts) => {
            let open = match (facts.left_missing(), facts.open_ms) {
                (0, Some(ms)) => duration(ms),
                (0, None) => "-".to_owned(),
                (left, _) => format!("{left} left missing"),
            };
            vec![facts.outcome.clone(), open, rules(facts), by(facts)]
        }
        Content::Unreadable { unreadable } => {
            vec![
                "unreadable".to_owned(),
                "-".to_owned(),
                unreadable.clone(),
                "-".to_owned(),
            ]
        }
    };
    [front, rest].concat()
}

/// The first rule, and how many more.
fn rules(facts: &IncidentFacts) -> String {
    let mut own = facts.own();
    let first = own.next().map(|line| line.rule.clone());
    let first = first.unwrap_or_else(|| "-".to_owned());
    match own.count() {
        0 => first,
        more => format!("{first} +{more}"),
    }
}

fn by(facts: &IncidentFacts) -> String {
    match (facts.kind.as_str(), &facts.principal) {
        ("sweep" | "watch", _) => format!("found by a {}", facts.kind),
        ("operator", Some(principal)) => {
            format!("found by {}", who(principal, facts.session.as_deref()))
        }
        (_, Some(principal)) => who(principal, facts.session.as_deref()),
        (_, None) => nobody(),
    }
}

fn time(incident: &PastIncident) -> String {
    let time = incident.time();
    time.map_or_else(|| plain(&incident.key), |time| format!("{time:.0}"))
}

/// What a person has to close, before all else.
fn reopened_group(group: &ReopenedGroup) -> String {
    let name = named(Some(&group.group), group.name.as_deref());
    format!("{name}\n{}\n", reopened(&group.rules, "  "))
}

/// What a person can see to before it is needed.
fn unrestorable_group(group: &UnrestorableGroup) -> String {
    let name = named(Some(&group.group), group.name.as_deref());
    let rows = group.rules.iter();
    let rows = rows.map(|rule| vec!["unrestorable".to_owned(), rule.to_string()]);
    let rows = columns(&[], rows.collect(), "  ");
    format!("{name}: `rulekeeper check` says why\n{rows}\n")
}

fn incident(incident: &PastIncident) -> String {
    let group = named(Some(&incident.group), incident.name.as_deref());
    let time = time(incident);
    match &incident.content {
        Content::Readable(facts) => {
            let id = facts.event_id.as_deref();
            let link = id.and_then(|id| console_link(&incident.group.scope.region, id));
            let link = link.map(|link| format!("    {link}\n")).unwrap_or_default();
            format!("{time}  {group}  {}{link}", told(facts))
        }
        Content::Unreadable { unreadable } => format!(
            "{time}  {group}  unreadable\n  {}\n  the item's key is {}\n",
            plain(unreadable),
            plain(&incident.key)
        ),
    }
}

fn told(facts: &IncidentFacts) -> String {
    let reason = facts.reason.as_ref();
    let reason = reason.map(|reason| format!(": {}", plain(reason)));
    let open = match open(facts) {
        Some(open) => format!("; {open}"),
        None => String::new(),
    };
    format!(
        "{}{}\n  {}{open}\n{}",
        paint::outcome(&plain(&facts.outcome)),
        reason.unwrap_or_default(),
        origin(facts),
        lines(facts),
    )
}

/// The rules that this is about, and what else was missing.
fn lines(facts: &IncidentFacts) -> String {
    let own: Vec<&DroppedRule> = facts.own().collect();
    let is_before = |it: &&DroppedRule| !own.contains(it);
    let before = facts.lines.iter().filter(is_before);
    let before = columns(&[], before.map(line).collect(), "    ");
    let own = columns(&[], own.iter().map(|it| line(it)).collect(), "    ");
    match before.is_empty() {
        true => own,
        false => format!("{own}    also missing:\n{before}"),
    }
}

/// Who did what, or who found it.
fn origin(facts: &IncidentFacts) -> String {
    let session = facts
        .session
        .as_ref()
        .map(|session| format!(" in the session {}", plain(session)));
    let session = session.unwrap_or_default();
    let who = facts.principal.as_deref();
    let who = who.map(|who| format!("{}{session}", plain(who)));
    match (facts.kind.as_str(), &facts.event_name) {
        ("sweep", _) => "found by a sweep".to_owned(),
        ("watch", _) => "found by the watch".to_owned(),
        ("operator", _) => format!(
            "found by {}",
            who.unwrap_or_else(|| "an operator".to_owned())
        ),
        (_, Some(call)) => format!("{} by {}", plain(call), who.unwrap_or_else(nobody)),
        (kind, None) => format!("{} by {}", plain(kind), who.unwrap_or_else(nobody)),
    }
}

fn nobody() -> String {
    "an unknown caller".to_owned()
}

/// How long restored rules were missing, and how many rules did not come back; nothing when none was missing.
fn open(facts: &IncidentFacts) -> Option<String> {
    let came_back = [RuleOutcome::Restored, RuleOutcome::RestoredElsewhere].map(RuleOutcome::name);
    let any = |line: &&DroppedRule| came_back.contains(&line.outcome.as_str());
    let closed = match facts.open_ms {
        Some(ms) => Some(format!("open for {}", duration(ms))),
        None if facts.own().any(|line| any(&line)) => Some("open for an unknown time".to_owned()),
        None => None,
    };
    let left = match facts.left_missing() {
        0 => None,
        1 => Some("1 rule did not come back".to_owned()),
        rules => Some(format!("{rules} rules did not come back")),
    };
    let parts: Vec<_> = [closed, left].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn duration(ms: u64) -> String {
    let length = SignedDuration::from_millis(i64::try_from(ms).unwrap_or(i64::MAX));
    format!("{length:#}")
}

fn line(line: &DroppedRule) -> Vec<String> {
    let details = [&line.rule_id, &line.error_code, &line.reason];
    let details: Vec<_> = details.into_iter().flatten().cloned().collect();
    vec![line.outcome.clone(), line.rule.clone(), details.join(": ")]
}

#[cfg(test)]
mod tests {
    use rulekeeper_core::model::GroupAddress;
    use rulekeeper_core::report::plan::ReopenedRule;

    use serde_json::json;

    use super::*;

    const ROLE: &str = "arn:aws:iam::111122223333:role/controller";

    fn group() -> GroupAddress {
        GroupAddress {
            scope: Scope {
                account: "111122223333".parse().expect("an account"),
                region: "eu-west-1".parse().expect("a Region"),
            },
            id: "sg-0a".parse().expect("a group"),
        }
    }

    fn facts(kind: &str, principal: &str, open: Option<u64>, outcomes: &[&str]) -> IncidentFacts {
        let lines = outcomes.iter().map(|outcome| DroppedRule {
            rule: "tcp 443 from 10.0.0.0/8".to_owned(),
            outcome: (*outcome).to_owned(),
            rule_id: None,
            error_code: None,
            reason: Some("so it is".to_owned()),
            dropped_by: None,
        });
        IncidentFacts {
            open_ms: open,
            restored_at: None,
            session: None,
            event_id: None,
            attributes: Default::default(),
            kind: kind.to_owned(),
            event_name: (kind == "event").then(|| "RevokeSecurityGroupIngress".to_owned()),
            principal: Some(principal.to_owned()),
            outcome: "partial".to_owned(),
            reason: None,
            lines: lines.collect(),
        }
    }

    fn shown(contents: Vec<Content>, details: bool) -> String {
        let past = |content| PastIncident {
            group: group(),
            name: Some("web".to_owned()),
            key: "2026-11-22T09:30:00.25Z#x".to_owned(),
            content,
        };
        let found = Incidents {
            incidents: contents.into_iter().map(past).collect(),
            reopened: Vec::new(),
            unrestorable: Vec::new(),
            since: "2026-11-15T09:30:02.7Z".parse().expect("a time"),
            groups: 2,
            unknown: 0,
        };
        incidents(&group().scope, &found, details)
    }

    #[test]
    fn rules_that_a_person_has_to_close_come_first() {
        let rule = ReopenedRule {
            rule: "tcp 22 from 0.0.0.0/0".parse().expect("rule notation"),
            by: "arn:x".to_owned(),
            at: "2026-11-22T09:30:00Z".parse().expect("a time"),
            close: "aws ec2 revoke".to_owned(),
        };
        let found = Incidents {
            incidents: Vec::new(),
            reopened: vec![ReopenedGroup {
                group: group(),
                name: None,
                rules: vec![rule],
            }],
            unrestorable: vec![UnrestorableGroup {
                group: group(),
                name: None,
                rules: vec!["tcp 80 from sg-0bad".parse().expect("rule notation")],
            }],
            since: "2026-11-15T09:30:02Z".parse().expect("a time"),
            groups: 1,
            unknown: 0,
        };
        let expected = "\
111122223333/eu-west-1/sg-0a
  reopened: tcp 22 from 0.0.0.0/0: arn:x closed it at 2026-11-22T09:30:00Z, and it was put back before that was known. Close it:
    aws ec2 revoke

111122223333/eu-west-1/sg-0a: `rulekeeper check` says why
  unrestorable  tcp 80 from sg-0bad

no incidents since 2026-11-15T09:30:02Z; looked at 1 group
";
        assert_eq!(incidents(&group().scope, &found, false), expected);
    }

    #[test]
    fn each_incident_says_who_what_how_long_and_why_not() {
        let readable = |facts| Content::Readable(Box::new(facts));
        let text = shown(
            vec![
                readable(facts(
                    "event",
                    "a\u{1b}",
                    Some(62_201),
                    &["restored", "failed"],
                )),
                readable(facts("sweep", "b", None, &["restored"])),
                readable(facts("watch", "b", None, &["restored"])),
                readable(facts("operator", "maria", None, &["held", "contested"])),
                readable(facts("event", "c", None, &["superseded"])),
                Content::Unreadable {
                    unreadable: "rules: is missing".to_owned(),
                },
            ],
            true,
        );
        let expected = "\
2026-11-22T09:30:00Z  111122223333/eu-west-1/sg-0a (web)  partial
  RevokeSecurityGroupIngress by a\\u{1b}; open for 1m 2s 201ms; 1 rule did not come back
    restored  tcp 443 from 10.0.0.0/8  so it is
    failed    tcp 443 from 10.0.0.0/8  so it is

2026-11-22T09:30:00Z  111122223333/eu-west-1/sg-0a (web)  partial
  found by a sweep; open for an unknown time
    restored  tcp 443 from 10.0.0.0/8  so it is

2026-11-22T09:30:00Z  111122223333/eu-west-1/sg-0a (web)  partial
  found by the watch; open for an unknown time
    restored  tcp 443 from 10.0.0.0/8  so it is

2026-11-22T09:30:00Z  111122223333/eu-west-1/sg-0a (web)  partial
  found by maria; 2 rules did not come back
    held       tcp 443 from 10.0.0.0/8  so it is
    contested  tcp 443 from 10.0.0.0/8  so it is

2026-11-22T09:30:00Z  111122223333/eu-west-1/sg-0a (web)  partial
  RevokeSecurityGroupIngress by c
    superseded  tcp 443 from 10.0.0.0/8  so it is

2026-11-22T09:30:00Z  111122223333/eu-west-1/sg-0a (web)  unreadable
  rules: is missing
  the item's key is 2026-11-22T09:30:00.25Z#x
";
        assert_eq!(text, expected);
    }

    #[test]
    fn each_incident_is_a_line_about_what_its_call_took() {
        let readable = |facts| Content::Readable(Box::new(facts));
        let mut own = facts("event", ROLE, Some(2_900), &["restored", "failed"]);
        own.session = Some("anna@example.com".to_owned());
        own.lines[1].rule = "tcp 80 from sg-0b".to_owned();
        own.lines[1].dropped_by = Some(json!({"principal": "other", "at": "2026-11-22T09:00:00Z"}));
        let failed = facts("event", ROLE, None, &["failed", "restored"]);
        let texts = [false, true].map(|details| {
            let swept = facts("sweep", "b", None, &["restored"]);
            shown(
                vec![
                    readable(own.clone()),
                    readable(failed.clone()),
                    readable(swept),
                ],
                details,
            )
        });
        let lines = "\
TIME                  GROUP        OUTCOME  OPEN            RULES                       BY
2026-11-22T09:30:00Z  sg-0a (web)  partial  2s 900ms        tcp 443 from 10.0.0.0/8     controller / anna@example.com
2026-11-22T09:30:00Z  sg-0a (web)  partial  1 left missing  tcp 443 from 10.0.0.0/8 +1  controller
2026-11-22T09:30:00Z  sg-0a (web)  partial  -               tcp 443 from 10.0.0.0/8     found by a sweep
";
        assert_eq!(texts[0], lines);
        let before = "    also missing:\n    failed  tcp 80 from sg-0b  so it is\n";
        assert!(texts[1].contains(before), "{}", texts[1]);
        let said = "in the session anna@example.com; open for 2s 900ms\n";
        assert!(texts[1].contains(said), "{}", texts[1]);
    }

    #[test]
    fn where_nothing_happened_it_says_since_when_and_where_it_looked() {
        assert_eq!(
            shown(Vec::new(), false),
            "no incidents since 2026-11-15T09:30:02Z; looked at 2 groups\n"
        );
    }
}
