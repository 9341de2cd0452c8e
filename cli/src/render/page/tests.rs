use jiff::SignedDuration;
use rulekeeper_cli::operator::{Content, DroppedRule, IncidentFacts, PastIncident, ReopenedGroup};
use rulekeeper_core::model::GroupAddress;
use rulekeeper_core::report::plan::ReopenedRule;
use serde_json::Value;

use super::*;
use crate::output::Output;

/// Texts that would end a script, open a comment, break a line of script, or be taken for a place of the template.
const HOSTILE: [&str; 7] = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "'\"`${alert(1)}\\",
    "line\u{2028}separator\u{2029}paragraph",
    "{{script}}{{incidents}}",
    "]]>&lt;&#60;",
    "\u{202e}desrever\u{0}\u{1b}[31m",
];

const OUTCOMES: [&str; 5] = ["restored", "partial", "failed", "contested", "held"];

fn scope() -> Scope {
    Scope {
        account: "111122223333".parse().expect("an account"),
        region: "eu-west-1".parse().expect("a Region"),
    }
}

fn now() -> Timestamp {
    "2026-11-22T09:30:00Z".parse().expect("a time")
}

/// Incident `n` of a week with many: six groups, five outcomes, seven actors, every kind of trigger, hostile texts in
/// every place that somebody else fills, and each tenth item unreadable.
fn incident(n: usize) -> PastIncident {
    let hostile = HOSTILE[n % HOSTILE.len()];
    let ago = SignedDuration::from_mins(i64::try_from(n).expect("a small number") * 20);
    let time = now() - ago;
    let kind = ["event", "sweep", "operator"][n % 3];
    let outcome = OUTCOMES[n % OUTCOMES.len()];
    let attributes = json!({
        "trigger": {"kind": kind, "event_name": "RevokeSecurityGroupIngress", "principal": hostile},
        "outcome": outcome, "reason": hostile, "generation": n, "notices": [hostile], "warnings": [hostile],
        "rules": [{"rule": "tcp 443 from 10.0.0.0/8", "outcome": outcome, "reason": hostile}],
        "timing": {"event_age_ms": 2000, "restored_ms": 60}, "calls": {"Describe<b>": 1},
    });
    let line = DroppedRule {
        rule: "tcp 443 from 10.0.0.0/8".to_owned(),
        outcome: outcome.to_owned(),
        rule_id: None,
        error_code: None,
        reason: Some(hostile.to_owned()),
        dropped_by: None,
    };
    let Value::Object(attributes) = attributes else {
        panic!("an object")
    };
    let content = match n % 10 {
        9 => Content::Unreadable {
            unreadable: format!("rules: invalid type: string {hostile:?}"),
        },
        _ => Content::Readable(Box::new(IncidentFacts {
            open_ms: (kind == "event").then_some(2060),
            restored_at: None,
            session: None,
            event_id: None,
            attributes,
            kind: kind.to_owned(),
            event_name: Some("RevokeSecurityGroupIngress".to_owned()),
            principal: Some(hostile.to_owned()),
            outcome: outcome.to_owned(),
            reason: Some(hostile.to_owned()),
            lines: vec![line],
        })),
    };
    PastIncident {
        group: GroupAddress {
            scope: scope(),
            id: format!("sg-0{}", n % 6).parse().expect("a group"),
        },
        name: Some(hostile.to_owned()),
        key: format!("{time}#{hostile}"),
        content,
    }
}

fn reopened(n: usize) -> ReopenedGroup {
    let PastIncident { group, name, .. } = incident(n);
    let rule = ReopenedRule {
        rule: "tcp 22 from 0.0.0.0/0".parse().expect("rule notation"),
        by: HOSTILE[n % HOSTILE.len()].to_owned(),
        at: now(),
        close: HOSTILE[n % HOSTILE.len()].to_owned(),
    };
    ReopenedGroup {
        group,
        name,
        rules: vec![rule],
    }
}

fn found(count: usize) -> Incidents {
    Incidents {
        incidents: (0..count).map(incident).collect(),
        reopened: (0..count.min(3)).map(reopened).collect(),
        unrestorable: Vec::new(),
        since: now() - SignedDuration::from_hours(24 * 7),
        groups: 6,
        unknown: 0,
    }
}

fn document(found: &Incidents) -> Value {
    let document = Output::new("incidents", None).document(&found.incidents);
    let document = document.with("reopened", &found.reopened).expect("JSON");
    serde_json::to_value(document).expect("JSON")
}

fn rendered(found: &Incidents) -> String {
    page(&scope(), found, &document(found), now()).expect("a page")
}

/// What stands between two texts, each of which is there once.
fn between<'p>(page: &'p str, from: &str, to: &str) -> &'p str {
    assert_eq!(page.matches(from).count(), 1, "{from}");
    let (_, rest) = page.split_once(from).expect("it is there");
    rest.split_once(to).expect("it ends").0
}

const DATA: &str = "<script type=\"application/json\" id=\"incidents\">";

#[test]
fn the_data_is_the_document_that_json_output_shows_and_no_text_gets_out_of_it() {
    let found = found(520);
    let page = rendered(&found);
    let data = between(&page, DATA, "</script>");
    let read: Value = serde_json::from_str(data).expect("JSON");
    assert_eq!(read, document(&found));
    for c in ['<', '>', '&', '\u{2028}', '\u{2029}'] {
        assert!(!data.contains(c), "{c:?}");
    }
    let about: Value =
        serde_json::from_str(between(&page, "id=\"about\">", "</script>")).expect("JSON");
    assert_eq!(about["groups"], 6);
    assert_eq!(about["written"], "2026-11-22T09:30:00Z");
}

#[test]
fn what_surrounds_the_data_is_the_same_whatever_is_in_it() {
    let around = |count| {
        let page = rendered(&found(count));
        let data = between(&page, DATA, "</script>").to_owned();
        page.replace(&data, "")
    };
    assert_eq!(around(0), around(520));
    let page = around(0);
    assert_eq!(
        page.matches("<script").count(),
        page.matches("</script>").count()
    );
    assert_eq!(page.matches("<script").count(), 3);
}

#[test]
fn the_policy_allows_exactly_the_scripts_and_the_style_that_are_in_the_page() {
    let page = rendered(&found(3));
    let policy = between(&page, "Content-Security-Policy\" content=\"", "\">");
    assert!(policy.starts_with("default-src 'none'; "), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    let hash = |text: &str| {
        format!(
            "'sha256-{}'",
            STANDARD.encode(Sha256::digest(text.as_bytes()))
        )
    };
    let style = between(&page, "<style>", "</style>");
    assert!(
        policy.contains(&format!("style-src {};", hash(style))),
        "{policy}"
    );
    let scripts = page.split("<script>").skip(1);
    let scripts = scripts.map(|rest| hash(rest.split_once("</script>").expect("it ends").0));
    let scripts = scripts.collect::<Vec<_>>().join(" ");
    assert!(
        policy.contains(&format!("script-src {scripts};")),
        "{policy}"
    );
}

#[test]
fn the_page_names_nothing_that_a_browser_would_fetch() {
    let page = rendered(&found(0));
    for word in [
        "src=",
        "href=\"http",
        "@import",
        "url(",
        "<link",
        "sourceMappingURL",
        "fetch(",
        "XMLHttpRequest",
        "style=\"",
        "innerHTML",
    ] {
        assert!(!page.contains(word), "{word}");
    }
    assert!(!page.contains("{{"), "every place is filled in");
}

#[test]
fn the_texts_that_go_into_script_and_style_elements_do_not_end_them() {
    for text in [SCRIPT, STYLE] {
        for end in ["</script", "</style", "<!--", "<script"] {
            assert!(!text.to_lowercase().contains(end), "{end}");
        }
    }
}
