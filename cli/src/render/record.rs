//! A record.

use jiff::Timestamp;
use rulekeeper_core::desired::{DesiredRecord, Mode, RecordFile, Superseding};
use rulekeeper_core::model::IngressRule;

use super::columns;

/// A record with its rules in the order in which they are restored.
pub(crate) fn record(RecordFile { address, record }: &RecordFile, now: Timestamp) -> String {
    let mut head = vec![
        vec!["group".to_owned(), address.named(record.name.as_deref())],
        vec!["generation".to_owned(), record.generation.to_string()],
        vec!["mode".to_owned(), mode(record, now)],
    ];
    let mut line = |name: &str, text: Option<String>| {
        head.extend(text.map(|text| vec![name.to_owned(), text]));
    };
    let superseding = match record.superseding {
        Superseding::Honor => None,
        Superseding::Ignore => {
            Some("ignore: a rule is put back even if live rules allow the same".to_owned())
        }
    };
    line("superseding", superseding);
    let watch = record
        .watch
        .then(|| "every few seconds, where the stack has WatchSeconds".to_owned());
    line("watched", watch);
    for principal in &record.principals {
        line(
            "principal",
            Some(format!("{} {}", principal.policy, principal.arn)),
        );
    }
    let by = record
        .updated_by
        .as_ref()
        .map(|by| format!(" by {by}"))
        .unwrap_or_default();
    line("updated", record.updated_at.map(|at| format!("{at}{by}")));
    line("note", record.note.clone());
    let rules = record.rules_in_order();
    line("rules", Some(rules.len().to_string()));
    let header = [
        "PRIORITY",
        "PROTOCOL",
        "PORTS",
        "SOURCE",
        "DESCRIPTION",
        "TAGS",
    ];
    let rules = columns(&header, rules.into_iter().map(rule).collect(), "");
    let gap = if rules.is_empty() { "" } else { "\n" };
    columns(&[], head, "") + gap + &rules
}

fn mode(record: &DesiredRecord, now: Timestamp) -> String {
    let mode = match record.mode {
        Mode::Enforce => "enforce",
        Mode::Observe => "observe",
    };
    match record.paused_at(now) {
        None => mode.to_owned(),
        Some(pause) => {
            let reason = pause
                .reason
                .as_ref()
                .map(|reason| format!(": {reason}"))
                .unwrap_or_default();
            format!("{mode}, paused until {}{reason}", pause.until)
        }
    }
}

fn rule(rule: &IngressRule) -> Vec<String> {
    // Rule notation writes the ports, or the ICMP type and code, behind the protocol.
    let protocol = rule.key.protocol.to_string();
    let (name, ports) = protocol.split_once(' ').unwrap_or((&protocol, "-"));
    let tags = rule
        .tags
        .iter()
        .map(|(key, value)| format!("{key}={value}"));
    vec![
        rule.priority.to_string(),
        name.to_owned(),
        ports.to_owned(),
        rule.key.source.to_string(),
        rule.description.clone().unwrap_or_default(),
        tags.collect::<Vec<_>>().join(", "),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_shows_what_it_holds_in_restore_order() {
        let file = RecordFile::from_json(
            &json!({
                "account": "111122223333", "region": "eu-west-1", "group": "sg-0123456789abcdef0", "generation": 3,
                "paused_until": "2026-11-22T12:00:00Z", "pause_reason": "migration", "note": "see CHG-1",
                "updated_at": "2026-11-22T09:30:00Z", "updated_by": "arn:aws:iam::111122223333:user/maria",
                "rules": [
                    {"protocol": "-1", "cidr_ipv4": "10.0.0.0/8"},
                    {"protocol": "tcp", "from_port": 80, "to_port": 90, "referenced_group": {"group_id": "sg-0a"},
                     "description": "web", "tags": {"team": "a", "x": "y"}, "priority": 5},
                ],
            }),
            false,
        );
        let at = |time: &str| time.parse::<Timestamp>().expect("a time");
        let file = file.expect("a record");
        let expected = "\
group       111122223333/eu-west-1/sg-0123456789abcdef0
generation  3
mode        enforce, paused until 2026-11-22T12:00:00Z: migration
updated     2026-11-22T09:30:00Z by arn:aws:iam::111122223333:user/maria
note        see CHG-1
rules       2

PRIORITY  PROTOCOL  PORTS  SOURCE      DESCRIPTION  TAGS
5         tcp       80-90  sg-0a       web          team=a, x=y
0         all       -      10.0.0.0/8
";
        assert_eq!(record(&file, at("2026-11-22T10:00:00Z")), expected);
        assert!(record(&file, at("2026-11-22T13:00:00Z")).contains("mode        enforce\n"));
    }
}
