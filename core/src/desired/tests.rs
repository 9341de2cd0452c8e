use super::*;
use crate::fakes::{account, key};

fn findings(record: Value) -> Vec<String> {
    match DesiredRecord::from_json(&record, &account()) {
        Ok(reading) => reading.warnings.iter().map(ToString::to_string).collect(),
        Err(unreadable) => unreadable
            .findings
            .iter()
            .map(ToString::to_string)
            .collect(),
    }
}

fn with_rule(rule: Value) -> Value {
    json!({"schema": 1, "generation": 1, "mode": "enforce", "rules": [rule]})
}

#[test]
fn a_full_record_comes_back_as_it_was() {
    let record = json!({
        "schema": 1, "generation": 12, "mode": "observe",
        "paused_until": "2026-11-22T10:00:00Z", "pause_reason": "migration", "superseding": "ignore",
        "principals": [{"arn": "arn:aws:iam::111122223333:role/terraform", "policy": "accept"}],
        "rules": [
            {"protocol": "tcp", "from_port": 443, "to_port": 443, "cidr_ipv4": "10.0.0.0/8",
             "description": "office", "tags": {"team": "web"}, "priority": 10},
            {"protocol": "-1", "prefix_list_id": "pl-0a"},
            {"protocol": "50", "cidr_ipv6": "2001:db8::/32"},
            {"protocol": "icmp", "from_port": 8, "to_port": -1, "cidr_ipv4": "10.0.0.0/8"},
            {"protocol": "tcp", "from_port": 80, "to_port": 9093,
             "referenced_group": {"group_id": "sg-0a", "account_id": "444455556666"}},
        ],
        "updated_at": "2026-11-22T09:00:00Z", "updated_by": "arn:aws:iam::111122223333:user/ana", "note": "n",
    });
    let read = DesiredRecord::from_json(&record, &account()).expect("a good record");
    assert_eq!(read.warnings, []);
    let again = Value::Object(read.record.to_json());
    let reread = DesiredRecord::from_json(&again, &account()).expect("what we write we can read");
    assert_eq!(reread.record, read.record);
    assert_eq!(
        again["rules"][0], record["rules"][0],
        "the highest priority comes first"
    );
}

#[test]
fn the_smallest_record_is_a_list_of_rules() {
    let read = DesiredRecord::from_json(&json!({"rules": []}), &account()).expect("a good record");
    assert_eq!(read.record, DesiredRecord::default());
}

#[test]
fn our_own_account_in_a_reference_makes_no_difference() {
    let rule =
        |reference: Value| with_rule(json!({"protocol": "-1", "referenced_group": reference}));
    let with = rule(json!({"group_id": "sg-0a", "account_id": "111122223333"}));
    let without = rule(json!({"group_id": "sg-0a"}));
    let read = |record| {
        DesiredRecord::from_json(&record, &account())
            .expect("a good record")
            .record
    };
    assert_eq!(read(with), read(without));
}

#[test]
fn every_finding_is_listed_with_its_path() {
    let record = json!({
        "schema": 2, "generation": -1, "mode": "watch", "superseding": "maybe", "paused_until": "soon",
        "principals": [{"arn": "x"}], "note": 7,
        "rules": [
            {"protocol": "tcp", "from_port": 443, "cidr_ipv4": "10.0.0.0/8"},
            {"protocol": "gre", "cidr_ipv4": "10.0.0.0/8"},
            {"protocol": "-1"},
            {"protocol": "-1", "cidr_ipv4": "10.0.0.0/8", "prefix_list_id": "pl-0a"},
            {"protocol": "-1", "cidr_ipv4": "10.0.0.0"},
            {"protocol": "tcp", "from_port": "https", "to_port": 443, "cidr_ipv4": "10.0.0.0/8"},
            {"protocol": "-1", "referenced_group": {"account_id": "1"}},
            "tcp 443 from 10.0.0.0/8",
            {"protocol": "-1", "cidr_ipv4": "10.0.0.0/8", "tags": {"team": 7}},
        ],
    });
    let found = findings(record);
    for path in [
        "schema:",
        "generation:",
        "mode:",
        "superseding:",
        "paused_until:",
        "principals[0]:",
        "note:",
        "rules[0]:",
        "rules[1]:",
        "rules[2]:",
        "rules[3]:",
        "rules[4].cidr_ipv4:",
        "rules[5].from_port:",
        "rules[6].referenced_group.group_id:",
        "rules[7]:",
        "rules[8].tags.team:",
    ] {
        assert!(
            found.iter().any(|finding| finding.starts_with(path)),
            "{path} is not among {found:#?}"
        );
    }
}

#[test]
fn a_record_is_a_map_and_has_rules() {
    assert_eq!(findings(json!([])), ["record: is not a map of attributes"]);
    assert_eq!(
        findings(json!({})),
        ["rules: is missing; an empty list keeps no rule"]
    );
    assert_eq!(findings(json!({"rules": {}})), ["rules: is not a list"]);
}

#[test]
fn what_has_no_effect_is_a_warning_in_the_table_and_an_error_in_a_file() {
    let mut record = with_rule(json!({"protocol": "-1", "cidr_ipv4": "10.0.0.0/8"}));
    record["modus"] = "observe".into();
    let expected =
        "modus: is not an attribute of this version and has no effect; check its spelling";
    assert_eq!(findings(record.clone()), [expected]);
    assert!(DesiredRecord::from_json(&record, &account()).is_ok());
    for (name, value) in [
        ("account", "111122223333"),
        ("region", "eu-west-1"),
        ("group", "sg-0a"),
    ] {
        record[name] = value.into();
    }
    let refused = RecordFile::from_json(&record, false).expect_err("a misspelt attribute");
    assert_eq!(refused.findings.len(), 1);
    assert_eq!(refused.findings[0].severity, Severity::Error);
}

#[test]
fn nothing_in_a_rule_is_passed_over_that_could_make_it_narrower() {
    let refused = [
        (
            json!({"protocol": "icmp", "fromPort": 8, "toPort": -1, "cidr_ipv4": "0.0.0.0/0"}),
            "rules[0].fromPort: is not an attribute of a rule; known are protocol, from_port",
        ),
        (
            json!({"protocol": "icmp", "cidr_ipv4": "0.0.0.0/0"}),
            "rules[0]: icmp needs both from_port, the type, and to_port, the code (-1 for all)",
        ),
        (
            json!({"protocol": "icmp", "from_port": 8, "to_port": null, "cidr_ipv4": "0.0.0.0/0"}),
            "rules[0]: icmp needs both",
        ),
        (
            json!({"protocol": 1, "from_port": 8, "cidr_ipv4": "0.0.0.0/0"}),
            "rules[0]: icmp needs both",
        ),
        (
            json!({"protocol": "icmpv6", "from_port": 128, "cidr_ipv6": "::/0"}),
            "rules[0]: icmpv6 needs both",
        ),
        (
            json!({"protocol": "-1", "from_port": 443, "to_port": 443, "cidr_ipv4": "0.0.0.0/0"}),
            "rules[0]: protocol -1 has no ports: this allows all of its traffic",
        ),
        (
            json!({"protocol": -1, "from_port": 0, "cidr_ipv4": "0.0.0.0/0"}),
            "rules[0]: protocol -1 has no ports",
        ),
        (
            json!({"protocol": "50", "from_port": 7, "to_port": 9, "cidr_ipv4": "0.0.0.0/0"}),
            "rules[0]: protocol 50 has no ports",
        ),
        (
            json!({"protocol": "tcp", "from_port": 1, "to_port": 2, "cidr_ipv4": "10.0.0.0/8", "Description": "a"}),
            "rules[0].Description: is not an attribute of a rule",
        ),
        (
            json!({"protocol": "-1", "referenced_group": {"group_id": "sg-0a", "accountId": "444455556666"}}),
            "rules[0].referenced_group.accountId: is not an attribute of a rule",
        ),
    ];
    for (rule, expected) in refused {
        let read = DesiredRecord::from_json(&with_rule(rule.clone()), &account());
        let found = read.expect_err(&rule.to_string()).errors();
        assert!(found.starts_with(expected), "{rule}: {found}");
    }
    let taken = [
        json!({"protocol": "icmpv6", "cidr_ipv6": "::/0"}),
        json!({"protocol": "icmp", "from_port": -1, "to_port": -1, "cidr_ipv4": "10.0.0.0/8"}),
        json!({"protocol": "-1", "from_port": -1, "to_port": -1, "cidr_ipv4": "10.0.0.0/8"}),
        json!({"protocol": "-1", "from_port": 0, "to_port": 0, "cidr_ipv4": "10.0.0.0/8"}),
        json!({"protocol": "50", "from_port": -1, "to_port": -1, "cidr_ipv4": "10.0.0.0/8"}),
    ];
    for rule in taken {
        assert_eq!(findings(with_rule(rule.clone())), [""; 0], "{rule}");
    }
}

#[test]
fn a_host_with_the_mask_of_a_network_is_a_question() {
    for (name, cidr, expected) in [
        (
            "cidr_ipv4",
            "1.2.3.4/0",
            "1.2.3.4/0 is the network 0.0.0.0/0: it allows more than 1.2.3.4",
        ),
        (
            "cidr_ipv6",
            "2001:DB8::1/32",
            "2001:DB8::1/32 is the network 2001:db8::/32: it allows more than 2001:DB8::1",
        ),
    ] {
        let mut file = with_rule(json!({"protocol": "-1", name: cidr}));
        assert_eq!(
            findings(file.clone()),
            [format!("rules[0].{name}: {expected}")]
        );
        for (name, value) in [
            ("account", "111122223333"),
            ("region", "eu-west-1"),
            ("group", "sg-0a"),
        ] {
            file[name] = value.into();
        }
        assert!(RecordFile::from_json(&file, false).is_err());
        assert!(
            RecordFile::from_json(&file, true).is_ok(),
            "somebody said yes"
        );
    }
    for (name, cidr) in [
        ("cidr_ipv4", "1.2.3.4/32"),
        ("cidr_ipv6", "2001:DB8:0::/32"),
    ] {
        assert_eq!(
            findings(with_rule(json!({"protocol": "-1", name: cidr}))),
            [""; 0]
        );
    }
}

#[test]
fn a_record_and_the_settings_never_expire() {
    let expected = "expires_at: is the table's TTL attribute: DynamoDB deletes this item at that time; take it out";
    let record = json!({"rules": [], "expires_at": 1_803_000_000});
    assert_eq!(findings(record), [expected]);
    let settings = SharedSettings::from_json(&json!({"principals": [], "expires_at": null}));
    assert_eq!(settings.expect_err("an error").errors(), expected);
}

#[test]
fn a_name_that_is_empty_or_holds_a_dot_is_quoted_in_its_path() {
    let record =
        json!({"": 1, "a.b": 2, "rules": [{"": 3, "protocol": "-1", "cidr_ipv4": "10.0.0.0/8"}]});
    let found = findings(record);
    let paths: Vec<_> = found
        .iter()
        .filter_map(|it| it.split(": ").next())
        .collect();
    assert_eq!(paths, [r#""""#, r#""a.b""#, r#"rules[0]."""#]);
}

#[test]
fn a_repeated_rule_counts_once_and_a_bad_description_costs_the_description() {
    let record = json!({"rules": [
        {"protocol": "tcp", "from_port": 443, "to_port": 443, "cidr_ipv4": "10.0.0.0/8", "description": "a"},
        {"protocol": "6", "from_port": 443, "to_port": 443, "cidr_ipv4": "10.0.0.0/8", "description": "b"},
        {"protocol": "-1", "cidr_ipv4": "10.0.0.0/8", "description": "naïve"},
    ]});
    let read = DesiredRecord::from_json(&record, &account()).expect("usable");
    assert_eq!(read.warnings.len(), 2, "{:?}", read.warnings);
    assert_eq!(read.record.rules.len(), 2);
    assert_eq!(
        read.record.rules[&key("tcp 443 from 10.0.0.0/8")]
            .description
            .as_deref(),
        Some("a")
    );
    assert_eq!(
        read.record.rules[&key("all from 10.0.0.0/8")].description,
        None
    );
}

#[test]
fn a_file_names_its_group() {
    let file = json!({"account": "1111", "region": "eu-west-1", "rules": []});
    let refused = RecordFile::from_json(&file, false).expect_err("no group, and a short account");
    let found: Vec<String> = refused.findings.iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "account: \"1111\" is not an AWS account id of twelve digits",
            "group: is missing"
        ]
    );
    let unquoted = json!({"account": 111_122_223_333_u64, "region": "eu-west-1", "group": "sg-0a", "rules": []});
    let refused =
        RecordFile::from_json(&unquoted, false).expect_err("YAML read the account as a number");
    assert_eq!(
        refused.findings[0].to_string(),
        "account: 111122223333 is not text; write it in quotes"
    );
}

#[test]
fn what_is_wrong_with_a_remark_costs_the_remark() {
    let record = json!({
        "paused_until": "", "updated_at": "yesterday", "updated_by": 7, "note": "",
        "rules": [{"protocol": "-1", "cidr_ipv4": "10.0.0.0/8"}],
    });
    let read = DesiredRecord::from_json(&record, &account()).expect("the rules can be understood");
    let found: Vec<&str> = read
        .warnings
        .iter()
        .map(|finding| finding.path.as_str())
        .collect();
    assert_eq!(found, ["updated_at", "updated_by"]);
    assert_eq!((read.record.pause, read.record.note), (None, None));
}
