//! Every sample event is read as `events/README.md` says. Records written by AWS are read too.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use rulekeeper_core::event::{Call, GroupLocator, Intent, Lookup, TriggerKind, intent};
use rulekeeper_core::model::RuleKey;
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
            Intent::Watch(_) => "watches",
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
                let calls = [
                    Call::Authorize,
                    Call::RefusedAuthorize,
                    Call::TriedAuthorize,
                    Call::Delete,
                ];
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
            other => panic!("{name}: {other:?}"),
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

/// What the sample with this name asks for if its call failed with this code.
fn failed(name: &str, code: &str) -> Intent {
    let mut event = read(&events_dir().join(format!("{name}.json")));
    event["detail"]["errorCode"] = code.into();
    event["detail"]["responseElements"] = Value::Null;
    intent(&event)
}

fn texts<'k>(rules: impl IntoIterator<Item = &'k RuleKey>) -> Vec<String> {
    rules.into_iter().map(ToString::to_string).collect()
}

#[test]
fn each_sample_is_of_its_call() {
    let cases = [
        ("revoke-by-permission", Call::Revoke, true),
        ("modify-rules", Call::Modify, true),
        ("delete-group", Call::Delete, true),
        ("authorize-succeeded", Call::Authorize, false),
        ("authorize-duplicate", Call::Authorize, false),
        (
            "authorize-failed-bad-reference",
            Call::RefusedAuthorize,
            false,
        ),
        ("authorize-throttled", Call::TriedAuthorize, false),
        ("update-descriptions", Call::Describe, false),
        ("update-descriptions-by-rule-id", Call::Describe, false),
        ("delete-group-refused", Call::RefusedDelete, false),
    ];
    for (name, call, drops_rules) in cases {
        assert_eq!(lookup(name).call, Some(call), "{name}");
        assert_eq!(call.drops_rules(), drops_rules, "{name}");
    }
}

#[test]
fn what_passes_by_itself_is_tried_and_anything_else_refused() {
    let tried = [
        "Client.RequestLimitExceeded",
        "RequestLimitExceeded",
        "Client.ThrottlingException",
        "Server.InternalError",
        "Server.NeverHeardOf",
        "Unavailable",
        "Client.RequestExpired",
        "Client.ExpiredToken",
        "Client.AuthFailure",
        "Client.InvalidClientTokenId",
        "Client.DryRunOperation",
    ];
    let refused = [
        "Client.UnauthorizedOperation",
        "Client.RulesPerSecurityGroupLimitExceeded",
        "Client.InvalidPermission.Duplicate",
        "Client.InvalidParameterValue",
        "Client.NeverHeardOf",
    ];
    let call = |code: &str| match failed("authorize-failed-bad-reference", code) {
        Intent::Reconcile(lookup) => lookup.call,
        other => panic!("{code}: {other:?}"),
    };
    for code in tried {
        assert_eq!(call(code), Some(Call::TriedAuthorize), "{code}");
    }
    for code in refused {
        assert_eq!(call(code), Some(Call::RefusedAuthorize), "{code}");
    }
    let dry_run = changed("authorize-failed-bad-reference", |event| {
        event["detail"]["errorCode"] = "Client.UnauthorizedOperation".into();
        event["detail"]["requestParameters"]["dryRun"] = true.into();
    });
    assert_eq!(dry_run.call, Some(Call::TriedAuthorize));
}

#[test]
fn only_a_delete_refused_for_a_dependency_matters() {
    for code in ["Client.DependencyViolation", "DependencyViolation"] {
        let Intent::Reconcile(lookup) = failed("delete-group", code) else {
            panic!("{code} is ignored");
        };
        assert_eq!(lookup.call, Some(Call::RefusedDelete), "{code}");
    }
    for code in [
        "Client.UnauthorizedOperation",
        "Client.DryRunOperation",
        "Client.RequestLimitExceeded",
        "Client.InvalidGroup.NotFound",
    ] {
        assert!(
            matches!(failed("delete-group", code), Intent::Ignore(_)),
            "{code}"
        );
    }
    for name in ["revoke-by-permission", "update-descriptions"] {
        let code = "Client.DependencyViolation";
        assert!(matches!(failed(name, code), Intent::Ignore(_)), "{name}");
    }
}

#[test]
fn a_duplicate_of_a_single_rule_is_as_good_as_an_authorize() {
    let duplicate = |ranges: &[&str]| {
        changed("authorize-duplicate", |event| {
            let ranges = ranges
                .iter()
                .map(|range| serde_json::json!({"cidrIp": range}));
            event["detail"]["requestParameters"]["ipPermissions"] = serde_json::json!({"items": [
                {"ipProtocol": "tcp", "fromPort": 80, "toPort": 80, "groups": {},
                 "ipRanges": {"items": ranges.collect::<Vec<_>>()}}]});
        })
    };
    let one = duplicate(&["10.0.0.0/8"]);
    assert_eq!(one.call, Some(Call::Authorize));
    assert_eq!(
        texts(one.evidence.authorized.keys()),
        ["tcp 80 from 10.0.0.0/8"]
    );
    assert!(one.evidence.authorized.values().all(Option::is_none));
    assert!(one.evidence.asked.is_empty());
    let two = duplicate(&["10.0.0.0/8", "192.0.2.0/24"]);
    assert_eq!(two.call, Some(Call::RefusedAuthorize));
    assert_eq!(two.evidence.asked.len(), 2);
    assert!(two.evidence.authorized.is_empty());
}

#[test]
fn a_refused_or_tried_authorize_tells_what_it_asked_for() {
    let refused = lookup("authorize-failed-bad-reference").evidence;
    assert_eq!(
        texts(&refused.asked),
        [
            "tcp 80-9100 from sg-0fedcba9876543210",
            "tcp 9443 from sg-0bad0bad0bad0bad0",
        ]
    );
    let tried = lookup("authorize-throttled").evidence;
    assert_eq!(
        texts(&tried.asked),
        ["tcp 80-9100 from sg-0fedcba9876543210"]
    );
    for evidence in [refused, tried] {
        assert!(evidence.authorized.is_empty() && !evidence.untold);
    }
    let succeeded = lookup("authorize-succeeded").evidence;
    assert!(succeeded.asked.is_empty() && !succeeded.authorized.is_empty());
}

#[test]
fn described_rules_are_read_by_key_and_by_id_in_every_spelling() {
    let key = ["tcp 443 from 10.0.0.0/8"];
    assert_eq!(
        texts(lookup("update-descriptions").evidence.described.keys()),
        key
    );
    let by_id = lookup("update-descriptions-by-rule-id").evidence;
    assert_eq!(by_id.described_ids.len(), 1);
    assert!(by_id.described.is_empty());

    let permissions = serde_json::json!({"tag": 1, "IpProtocol": "tcp", "FromPort": 443, "ToPort": 443,
        "IpRanges": {"tag": 1, "CidrIp": "10.0.0.0/8", "Description": "office"}});
    let ids = serde_json::json!([{"tag": 1, "SecurityGroupRuleId": "sgr-0111111111111111a",
        "Description": "gateway"}]);
    let parameters = serde_json::json!({"GroupId": "sg-0123456789abcdef0", "IpPermissions": permissions,
        "SecurityGroupRuleDescription": ids});
    let wrapped =
        serde_json::json!({"UpdateSecurityGroupRuleDescriptionsIngressRequest": parameters});
    for parameters in [parameters, wrapped] {
        let lookup = changed("update-descriptions", |event| {
            event["detail"]["requestParameters"] = parameters;
        });
        let GroupLocator::Id(id) = lookup.group else {
            panic!("no id")
        };
        assert_eq!(id.as_str(), "sg-0123456789abcdef0");
        assert_eq!(texts(lookup.evidence.described.keys()), key);
        let told = |text: Option<&Option<String>>| text.cloned().flatten();
        let by_key = lookup.evidence.described.values().next();
        assert_eq!(told(by_key).as_deref(), Some("office"));
        let by_id = lookup.evidence.described_ids.values().next();
        assert_eq!(told(by_id).as_deref(), Some("gateway"));
        assert_eq!(lookup.evidence.described_ids.len(), 1);
    }
}

#[test]
fn revoked_rules_come_with_the_ids_that_the_response_pairs_them_with() {
    let told = lookup("revoke-by-rule-id").evidence;
    let ids: BTreeSet<_> = told.revoked.values().flatten().cloned().collect();
    assert_eq!((told.revoked.len(), ids.len()), (2, 2));
    assert_eq!(ids, told.revoked_ids);
    let older = lookup("revoke-by-permission").evidence;
    assert!(older.revoked.values().all(Option::is_none));
}

#[test]
fn the_request_says_whose_a_revoked_reference_is() {
    let name = "revoke-by-permission-referenced-group-other-account";
    assert_eq!(
        revoked(name),
        ["tcp 9443 from 444455556666/sg-0aaaabbbbccccdddd"]
    );
    let unsaid = changed(name, |event| {
        let group = "/detail/requestParameters/ipPermissions/items/0/groups/items/0/groupId";
        *event.pointer_mut(group).expect("a group") = "sg-0fedcba9876543210".into();
    });
    assert_eq!(
        texts(unsaid.evidence.revoked.keys()),
        ["tcp 9443 from sg-0aaaabbbbccccdddd"]
    );
}

#[test]
fn a_modified_rules_reference_counts_as_our_own_accounts() {
    let modified = lookup("modify-rules-list").evidence.modified;
    assert_eq!(
        texts(modified.values().flatten()),
        [
            "tcp 443 from 10.1.0.0/16",
            "tcp 80 from sg-0fedcba9876543210"
        ]
    );
}

#[test]
fn an_event_that_does_not_tell_everything_says_so() {
    for name in [
        "revoke-by-permission",
        "revoke-by-rule-id",
        "revoke-by-rule-id-without-rule-set",
        "revoke-flat-legacy",
        "revoke-unknown-permission",
        "revoke-many-permissions",
        "modify-rules",
        "authorize-succeeded",
        "authorize-duplicate",
        "delete-group",
    ] {
        assert!(!lookup(name).evidence.untold, "{name}");
    }
    let omitted = lookup("revoke-omitted-parameters");
    assert!(omitted.evidence.untold);
    assert_eq!(omitted.evidence.revoked_ids.len(), 2);

    let with = |name: &str, pointer: &str, value: Value| {
        let lookup = changed(name, |event| {
            *event.pointer_mut(pointer).expect("the field") = value;
        });
        lookup.evidence
    };
    let request = "/detail/requestParameters";
    let permission = format!("{request}/ipPermissions/items/0");
    let by_name = serde_json::json!({"items": [{"groupName": "web", "userId": "111122223333"}]});
    let by_name = with(
        "revoke-by-permission",
        &format!("{permission}/groups"),
        by_name,
    );
    assert!(by_name.untold);
    assert_eq!(
        by_name.revoked.len(),
        1,
        "what can be read is read all the same"
    );
    for (pointer, value) in [
        (permission.as_str(), Value::Null),
        (request, serde_json::json!({"groupId": "sg-0a"})),
    ] {
        assert!(
            with("revoke-by-permission", pointer, value).untold,
            "{pointer}"
        );
    }
    let flat = serde_json::json!({"groupId": "sg-0a", "ipPermissions": {}, "sourceSecurityGroupName": "web"});
    assert!(with("revoke-by-permission", request, flat).untold);
    let id = "/detail/requestParameters/securityGroupRuleIds/items/0/securityGroupRuleId";
    assert!(with("revoke-by-rule-id-without-rule-set", id, "?".into()).untold);
    let first = "/detail/responseElements/revokedSecurityGroupRuleSet/items/0";
    let id = format!("{first}/securityGroupRuleId");
    let by_key = with("revoke-by-rule-id", &id, Value::Null);
    assert!(!by_key.untold, "the content tells it");
    let told_rule = serde_json::json!({"groupId": "sg-0123456789abcdef0"});
    assert!(with("revoke-by-rule-id", first, told_rule).untold);
    let modified = format!("{request}/ModifySecurityGroupRulesRequest/SecurityGroupRule");
    for value in [Value::Null, serde_json::json!({"tag": 1})] {
        assert!(
            with("modify-rules", &modified, value.clone()).untold,
            "{value}"
        );
    }
    let asked = with(
        "authorize-failed-bad-reference",
        &format!("{permission}/ipProtocol"),
        "?".into(),
    );
    assert!(asked.untold && asked.asked.len() == 1, "{asked:?}");
}

#[test]
fn a_sweep_for_omitted_parameters_says_who_called() {
    let name = "revoke-omitted-parameters-without-rule-set";
    let Intent::Sweep(sweep) = intent(&read(&events_dir().join(format!("{name}.json")))) else {
        panic!("{name} is no sweep")
    };
    let trigger = sweep.trigger;
    assert_eq!(trigger.kind, TriggerKind::Event);
    assert_eq!(
        trigger.principal.as_deref(),
        Some("arn:aws:iam::111122223333:role/NetworkAdmin")
    );
    assert_eq!(trigger.session.as_deref(), Some("maria"));
    assert!(trigger.event_time.is_some() && trigger.event_id.is_some());
}

#[test]
fn people_are_told_from_machines() {
    for name in ["revoke-by-sso-user", "revoke-by-root", "modify-rules"] {
        assert!(lookup(name).trigger.person, "{name}");
    }
    for name in [
        "revoke-by-permission",
        "revoke-by-iam-user",
        "revoke-by-eks-service-account",
        "revoke-by-cloudformation",
        "revoke-by-aws-service",
    ] {
        assert!(!lookup(name).trigger.person, "{name}");
    }
    let is_person = |change: fn(&mut Value)| {
        let lookup = changed("revoke-by-permission", |event| {
            change(&mut event["detail"]);
        });
        lookup.trigger.person
    };
    let people: [fn(&mut Value); 7] = [
        |record| record["sessionCredentialFromConsole"] = "true".into(),
        |record| record["sessionCredentialFromConsole"] = true.into(),
        |record| record["userAgent"] = "signin.amazonaws.com".into(),
        |record| record["userIdentity"]["invokedBy"] = "signin.amazonaws.com".into(),
        |record| record["userIdentity"]["type"] = "IdentityCenterUser".into(),
        |record| {
            let issuer = &mut record["userIdentity"]["sessionContext"]["sessionIssuer"];
            issuer["arn"] =
                "arn:aws:iam::111122223333:role/aws-reserved/sso.amazonaws.com/Own".into();
        },
        |record| {
            let arn = "arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_Own_0/maria";
            record["userIdentity"]["arn"] = arn.into();
            record["userIdentity"]["sessionContext"] = Value::Null;
        },
    ];
    for (number, person) in people.into_iter().enumerate() {
        assert!(is_person(person), "{number}");
    }
    let machines: [fn(&mut Value); 3] = [
        |record| record["sessionCredentialFromConsole"] = "false".into(),
        |record| {
            record["sessionCredentialFromConsole"] = "true".into();
            record["userIdentity"]["invokedBy"] = "cloudformation.amazonaws.com".into();
        },
        |record| {
            let issuer = &mut record["userIdentity"]["sessionContext"]["sessionIssuer"];
            issuer["arn"] = "arn:aws:iam::111122223333:role/not-AWSReservedSSO_Own".into();
        },
    ];
    for (number, machine) in machines.into_iter().enumerate() {
        assert!(!is_person(machine), "{number}");
    }
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

#[test]
fn who_called_is_kept_as_far_as_the_event_tells_and_the_console_has_a_page_of_it() {
    let mut event = read(&events_dir().join("revoke-by-permission.json"));
    let detail = &mut event["detail"];
    detail["sourceIPAddress"] = "203.0.113.7".into();
    detail["userAgent"] = "aws-cli/2".into();
    detail["userIdentity"]["accessKeyId"] = "ASIAEXAMPLE".into();
    detail["userIdentity"]["principalId"] = "AROA:anna@example.com".into();
    let Intent::Reconcile(lookup) = intent(&event) else {
        panic!("{event}")
    };
    let trigger = serde_json::to_value(&lookup.trigger).expect("JSON");
    for (name, value) in [
        ("session", "anna@example.com"),
        ("source_ip", "203.0.113.7"),
        ("user_agent", "aws-cli/2"),
        ("access_key_id", "ASIAEXAMPLE"),
    ] {
        assert_eq!(trigger[name], value, "{name}");
    }
    let link = |region: &str, id: &str| {
        rulekeeper_core::event::console_link(&region.parse().expect("a Region"), id)
    };
    let id = "11111111-2222-4333-8444-555555555555";
    for (region, console) in [
        ("eu-west-1", "https://eu-west-1.console.aws.amazon.com/"),
        (
            "us-gov-west-1",
            "https://us-gov-west-1.console.amazonaws-us-gov.com/",
        ),
        ("cn-north-1", "https://cn-north-1.console.amazonaws.cn/"),
    ] {
        let link = link(region, id).expect("a link");
        assert!(link.starts_with(console) && link.ends_with(id), "{link}");
    }
    assert_eq!(link("eu-west-1", "https://example.com/?"), None);
}
