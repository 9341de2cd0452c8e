//! Every sample event is read as `events/README.md` says. Records written by AWS are read too.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rulekeeper_core::event::{Call, GroupLocator, Intent, Lookup, intent};
use serde_json::Value;

fn events_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../events")
}

fn read(path: &Path) -> Value {
    let text =
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn json_files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a readable folder").path())
        .collect();
    files.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "json")
    });
    files.sort();
    files
}

/// The README's entry for each file: the first word or two of the last column.
fn documented() -> BTreeMap<String, String> {
    let readme = fs::read_to_string(events_dir().join("README.md")).expect("the README is there");
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let name = cells.get(1)?.strip_prefix("[`")?.split('`').next()?;
        Some((name.to_owned(), (*cells.get(3)?).to_owned()))
    };
    readme.lines().filter_map(row).collect()
}

fn lookup(name: &str) -> Lookup {
    match intent(&read(&events_dir().join(format!("{name}.json")))) {
        Intent::Reconcile(lookup) => *lookup,
        other => panic!("{name}: {other:?}"),
    }
}

fn revoked(name: &str) -> Vec<String> {
    lookup(name)
        .evidence
        .revoked
        .keys()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn every_sample_is_read_as_the_readme_says() {
    let mut documented = documented();
    for file in json_files(&events_dir()) {
        let name = file
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let expected = documented
            .remove(&name)
            .unwrap_or_else(|| panic!("{name} is not in the README"));
        let found = match intent(&read(&file)) {
            Intent::Reconcile(_) => "reconciles",
            Intent::Sweep(_) => "sweeps",
            Intent::SweepTasks(_) => "tasks",
            Intent::Doctor(_) => "says",
            Intent::Ignore(_) => "`ignored`",
        };
        let looks = (expected.starts_with("looks") || expected.starts_with("reads"))
            && found == "reconciles";
        assert!(
            looks || expected.starts_with(found),
            "{name}: the README says {expected:?}, it is {found}"
        );
    }
    assert!(
        documented.is_empty(),
        "the README lists files that are not there: {documented:?}"
    );
}

#[test]
fn what_is_ignored_says_why_and_keeps_what_could_be_read() {
    let cases = [
        (
            "revoke-denied",
            "the call failed with UnauthorizedOperation and changed nothing",
        ),
        (
            "revoke-not-found",
            "the call failed with InvalidPermission.NotFound and changed nothing",
        ),
        ("revoke-dry-run", "the call was a dry run"),
        ("revoke-egress", "egress rules are not kept"),
        (
            "garbage-array",
            "not an event: the payload is not a JSON object",
        ),
    ];
    for (name, reason) in cases {
        let Intent::Ignore(ignored) = intent(&read(&events_dir().join(format!("{name}.json"))))
        else {
            panic!("{name} is not ignored");
        };
        assert_eq!(ignored.reason, reason, "{name}");
    }
}

#[test]
fn the_rules_of_a_revoke_are_read_in_every_form() {
    let cases: [(&str, &[&str]); 14] = [
        ("revoke-by-permission", &["tcp 443 from 10.0.0.0/8"]),
        (
            "revoke-by-permission-ipv6",
            &["tcp 443 from 2001:db8:1234::/48"],
        ),
        (
            "revoke-by-permission-prefix-list",
            &["tcp 443 from pl-0123456789abcdef0"],
        ),
        (
            "revoke-by-permission-referenced-group",
            &["tcp 80-9093 from sg-0fedcba9876543210"],
        ),
        (
            "revoke-by-permission-self-reference",
            &["tcp 7946 from sg-0123456789abcdef0"],
        ),
        ("revoke-by-permission-icmp", &["icmp 8/-1 from 10.0.0.0/8"]),
        (
            "revoke-by-permission-icmpv6",
            &["icmpv6 -1/-1 from 2001:db8::/32"],
        ),
        ("revoke-all-protocols", &["all from 10.20.0.0/16"]),
        (
            "revoke-all-protocols-zero-ports",
            &["all from 10.20.0.0/16"],
        ),
        (
            "revoke-numeric-protocol",
            &["tcp 443 from 10.0.0.0/8", "50 from 10.0.0.0/8"],
        ),
        ("revoke-flat-legacy", &["tcp 22 from 192.0.2.10/32"]),
        ("revoke-string-ports", &["tcp 443 from 10.0.0.0/8"]),
        (
            "revoke-by-rule-id",
            &[
                "tcp 443 from 10.0.0.0/8",
                "tcp 80-9093 from sg-0fedcba9876543210",
            ],
        ),
        // Nothing was removed, so the event is no evidence.
        ("revoke-unknown-permission", &[]),
    ];
    for (name, expected) in cases {
        let mut found = revoked(name);
        let mut expected: Vec<String> = expected.iter().map(|rule| (*rule).to_owned()).collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{name}");
    }
    assert_eq!(revoked("revoke-many-permissions").len(), 6);
    assert_eq!(lookup("revoke-by-rule-id").evidence.revoked_ids.len(), 2);
    assert_eq!(
        lookup("revoke-by-rule-id-without-rule-set")
            .evidence
            .revoked_ids
            .len(),
        1
    );
    assert_eq!(lookup("modify-rules").evidence.modified.len(), 1);
    assert_eq!(lookup("modify-rules-list").evidence.modified.len(), 2);
}

#[test]
fn the_group_is_found_in_the_request_in_the_response_or_by_name() {
    for name in [
        "revoke-by-permission",
        "revoke-by-group-name",
        "revoke-omitted-parameters",
        "modify-rules",
    ] {
        let GroupLocator::Id(id) = lookup(name).group else {
            panic!("{name} has no id")
        };
        assert_eq!(id.as_str(), "sg-0123456789abcdef0", "{name}");
    }
    assert!(matches!(
        lookup("revoke-by-group-name-only").group,
        GroupLocator::DefaultVpcName(_)
    ));
}

#[test]
fn the_account_is_the_groups_and_the_principal_is_the_role() {
    for name in [
        "revoke-cross-account",
        "revoke-numeric-account",
        "bare-record-revoke",
    ] {
        assert_eq!(
            lookup(name).scope.to_string(),
            "111122223333/eu-west-1",
            "{name}"
        );
    }
    assert_eq!(
        lookup("revoke-in-member-account").scope.account.as_str(),
        "444455556666"
    );
    let principal = |name: &str| lookup(name).trigger.principal.expect("somebody called");
    assert!(
        principal("revoke-by-eks-service-account").starts_with("arn:aws:iam::111122223333:role/")
    );
    assert!(principal("revoke-by-iam-user").starts_with("arn:aws:iam::111122223333:user/"));
    assert!(principal("revoke-by-aws-service").ends_with(".amazonaws.com"));
}

/// Records written by AWS may not be copied here. They are read if the environment names a folder of them.
#[test]
fn records_that_aws_wrote_are_read() {
    let Some(dir) = std::env::var_os("RULEKEEPER_EVENTS_REAL").filter(|dir| !dir.is_empty()) else {
        eprintln!("skipped: RULEKEEPER_EVENTS_REAL names no folder of real records");
        return;
    };
    let files = json_files(Path::new(&dir));
    assert!(
        !files.is_empty(),
        "RULEKEEPER_EVENTS_REAL names a folder without records"
    );
    for file in files {
        let (name, mut event) = (
            file.file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned(),
            read(&file),
        );
        match (name.as_str(), intent(&event)) {
            ("invictus-ir__revoke-ingress-flat-cidrip", Intent::Reconcile(lookup)) => {
                assert_eq!(lookup.evidence.revoked.len(), 1, "{name}");
                assert!(lookup.trigger.event_time.is_some() && lookup.trigger.principal.is_some());
            }
            (_, Intent::Ignore(ignored)) => assert!(!ignored.reason.is_empty()),
            (_, Intent::Reconcile(lookup)) => {
                let calls = [Call::Authorize, Call::RefusedAuthorize, Call::Delete];
                assert!(
                    lookup.call.is_some_and(|call| calls.contains(&call)),
                    "{name}"
                );
            }
            (_, other) => panic!("{name}: {other:?}"),
        }
        // The same request, read as a revoke, shows which rules it named, in any encoding.
        let record = if event.get("detail").is_some() {
            &mut event["detail"]
        } else {
            &mut event
        };
        let failed = record.get("errorCode").is_some_and(|code| !code.is_null());
        if failed
            || !name.contains("__authorize-ingress") && !name.contains("__eventbridge-authorize")
        {
            continue;
        }
        record["eventName"] = "RevokeSecurityGroupIngress".into();
        let masked = !record["requestParameters"]["groupId"]
            .as_str()
            .is_some_and(|id| id.len() == 20 && !id.contains('x'))
            || record["recipientAccountId"]
                .as_str()
                .is_none_or(|id| id.len() != 12);
        match intent(&event) {
            Intent::Reconcile(lookup) => assert!(!lookup.evidence.revoked.is_empty(), "{name}"),
            Intent::Ignore(ignored) => assert!(masked, "{name}: {}", ignored.reason),
            other @ (Intent::Sweep(_) | Intent::SweepTasks(_) | Intent::Doctor(_)) => {
                panic!("{name}: {other:?}")
            }
        }
    }
}

/// The sample with this name, changed.
fn changed(name: &str, change: impl FnOnce(&mut Value)) -> Lookup {
    let mut event = read(&events_dir().join(format!("{name}.json")));
    change(&mut event);
    match intent(&event) {
        Intent::Reconcile(lookup) => *lookup,
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn an_empty_set_of_revoked_rules_says_that_none_was() {
    let lookup = changed("revoke-by-permission", |event| {
        event["detail"]["responseElements"]["revokedSecurityGroupRuleSet"] = serde_json::json!({});
    });
    assert!(lookup.evidence.revoked.is_empty() && lookup.evidence.revoked_ids.is_empty());
}

#[test]
fn a_session_without_an_issuer_counts_as_its_role() {
    let lookup = changed("revoke-by-eks-service-account", |event| {
        let identity = &mut event["detail"]["userIdentity"];
        identity["arn"] = "arn:aws-cn:sts::111122223333:assumed-role/lbc/one".into();
        identity["principalId"] = Value::Null;
        identity["sessionContext"] = Value::Null;
    });
    let trigger = lookup.trigger;
    let role = "arn:aws-cn:iam::111122223333:role/lbc";
    assert_eq!(trigger.principal.as_deref(), Some(role));
    assert_eq!(trigger.session.as_deref(), Some("one"));
}

#[test]
fn the_envelopes_time_stands_in_for_the_records() {
    let lookup = changed("revoke-by-permission", |event| {
        event["detail"]["eventTime"] = Value::Null;
        event["time"] = "2026-11-22T09:31:07Z".into();
    });
    let time = lookup.trigger.event_time.expect("a time").to_string();
    assert_eq!(time, "2026-11-22T09:31:07Z");
}

#[test]
fn a_duplicate_of_a_single_rule_refused_nothing() {
    let refused = |rules: Value| {
        let mut event = read(&events_dir().join("authorize-failed-bad-reference.json"));
        event["detail"]["errorCode"] = "Client.InvalidPermission.Duplicate".into();
        event["detail"]["requestParameters"]["ipPermissions"] = rules;
        match intent(&event) {
            Intent::Reconcile(lookup) => lookup.call == Some(Call::RefusedAuthorize),
            Intent::Ignore(_) => false,
            other => panic!("{other:?}"),
        }
    };
    let permission = |ranges: &[&str]| {
        let ranges = ranges
            .iter()
            .map(|range| serde_json::json!({"cidrIp": range}));
        serde_json::json!({"items": [{"ipProtocol": "tcp", "fromPort": 80, "toPort": 80, "groups": {},
            "ipRanges": {"items": ranges.collect::<Vec<_>>()}}]})
    };
    assert!(!refused(permission(&["10.0.0.0/8"])));
    assert!(refused(permission(&["10.0.0.0/8", "192.0.2.0/24"])));
}

#[test]
fn an_envelope_of_another_account_than_its_record_is_ignored() {
    let mut event = read(&events_dir().join("revoke-by-permission.json"));
    assert!(matches!(intent(&event), Intent::Reconcile(_)));
    event["account"] = "999988887777".into();
    let Intent::Ignore(ignored) = intent(&event) else {
        panic!("one account's event says nothing of another's group")
    };
    assert!(
        ignored.reason.contains("999988887777"),
        "{}",
        ignored.reason
    );
}
