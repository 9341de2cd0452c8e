//! States and plans as Terraform prints them, cut down to what is read.

use super::super::tests::{findings, lines};
use super::*;

const ARN: &str = "arn:aws:ec2:eu-west-1:111122223333:security-group/sg-0a";
const GROUP_LINE: &str = "111122223333/eu-west-1/sg-0a";

fn resource(address: &str, values: Value) -> Value {
    let kind = address.split('.').find(|part| part.starts_with("aws"));
    json!({"address": address, "mode": "managed", "type": kind, "values": values})
}

fn group(ingress: Value) -> Value {
    resource(
        "aws_security_group.web",
        json!({"id": "sg-0a", "arn": ARN, "ingress": ingress, "egress": [{"protocol": "-1"}]}),
    )
}

fn state(resources: Value) -> Value {
    json!({"format_version": "1.0", "values": {"root_module": {"resources": resources}}})
}

fn import(content: &Value) -> Import {
    read(content, &Stated::default()).expect("a state or a plan")
}

/// A plan in which `address` has these unknown values.
fn plan(resources: Value, address: &str, unknown: Value) -> Value {
    json!({
        "format_version": "1.2",
        "planned_values": {"root_module": {"resources": resources}},
        "resource_changes": [
            {"address": address, "change": {"actions": ["create"], "before": null, "after_unknown": unknown}},
        ],
    })
}

#[test]
fn in_line_blocks_become_a_rule_for_each_source() {
    let imported = import(&state(json!([group(json!([
        {
            "protocol": "tcp", "from_port": 443, "to_port": 443, "description": "office",
            "cidr_blocks": ["10.0.0.0/8", "192.0.2.10/32"], "ipv6_cidr_blocks": ["2001:db8::/32"],
            "prefix_list_ids": ["pl-0a"], "security_groups": ["sg-0b", "444455556666/sg-0c"], "self": true,
        },
        {
            "protocol": "-1", "from_port": 0, "to_port": 0, "description": "", "cidr_blocks": ["10.20.0.0/16"],
            "ipv6_cidr_blocks": [], "prefix_list_ids": null, "security_groups": [], "self": false,
        },
        {"protocol": "icmp", "from_port": 8, "to_port": -1, "cidr_blocks": ["10.0.0.0/8"]},
    ]))])));
    assert_eq!(findings(&imported), [""; 0]);
    assert_eq!(
        lines(&imported),
        [
            GROUP_LINE,
            "  all from 10.20.0.0/16",
            "  icmp 8/-1 from 10.0.0.0/8",
            "  tcp 443 from 10.0.0.0/8 # office",
            "  tcp 443 from 192.0.2.10/32 # office",
            "  tcp 443 from 2001:db8::/32 # office",
            "  tcp 443 from 444455556666/sg-0c # office",
            "  tcp 443 from pl-0a # office",
            "  tcp 443 from sg-0a # office",
            "  tcp 443 from sg-0b # office",
        ]
    );
}

#[test]
fn rules_of_their_own_join_their_group_from_any_module_and_outdo_what_it_lists() {
    let mut content = state(json!([group(json!([
        {"protocol": "tcp", "from_port": 80, "to_port": 80, "cidr_blocks": ["10.0.0.0/8"]},
    ]))]));
    let own = resource(
        "module.a.module.b.aws_vpc_security_group_ingress_rule.http",
        json!({
            "security_group_id": "sg-0a", "ip_protocol": "tcp", "from_port": 80, "to_port": 80,
            "cidr_ipv4": "10.0.0.0/8", "cidr_ipv6": null, "description": "http",
            "tags": {"owner": "web"}, "tags_all": {"owner": "web", "stage": "prod"},
        }),
    );
    let classic = resource(
        "module.a.aws_security_group_rule.peers[0]",
        json!({
            "type": "ingress", "security_group_id": "sg-0a", "protocol": "all", "from_port": 0, "to_port": 0,
            "source_security_group_id": "sg-0b", "self": false,
        }),
    );
    let egress = resource(
        "module.a.aws_security_group_rule.out",
        json!({"type": "egress", "security_group_id": "sg-0a", "protocol": "-1"}),
    );
    let inner = json!({"address": "module.a.module.b", "resources": [own]});
    content["values"]["root_module"]["child_modules"] =
        json!([{"address": "module.a", "resources": [classic, egress], "child_modules": [inner]}]);
    let imported = import(&content);
    assert_eq!(findings(&imported), [""; 0]);
    assert_eq!(
        lines(&imported),
        [
            GROUP_LINE,
            "  all from sg-0b",
            "  tcp 80 from 10.0.0.0/8 # http owner=web stage=prod",
        ]
    );
}

#[test]
fn a_group_with_anything_unknown_is_left_out_and_named() {
    let in_line =
        json!([{"protocol": "tcp", "from_port": 80, "to_port": 80, "cidr_blocks": ["10.0.0.0/8"]}]);
    let rule = resource(
        "aws_vpc_security_group_ingress_rule.b",
        json!({"security_group_id": "sg-0a", "ip_protocol": "-1"}),
    );
    let cases = [
        (
            "aws_security_group.web",
            json!({"id": true, "ingress": true}),
            vec!["aws_security_group.web: id: is unknown until the plan is applied"],
        ),
        (
            "aws_security_group.web",
            json!({"ingress": [{"cidr_blocks": [false], "security_groups": [true]}]}),
            vec![
                "aws_security_group.web: ingress[0].security_groups[0]: is unknown until the plan is applied",
            ],
        ),
    ];
    for (address, unknown, expected) in cases {
        let imported = import(&plan(json!([group(in_line.clone())]), address, unknown));
        assert_eq!(
            (findings(&imported), lines(&imported).len()),
            (expected.into_iter().map(str::to_owned).collect(), 0)
        );
    }
    let unknown = json!({"referenced_security_group_id": true, "id": true, "arn": true});
    let imported = import(&plan(
        json!([group(in_line), rule]),
        "aws_vpc_security_group_ingress_rule.b",
        unknown,
    ));
    assert_eq!(
        (
            findings(&imported).join("\n").as_str(),
            lines(&imported).len()
        ),
        (
            "aws_vpc_security_group_ingress_rule.b: referenced_security_group_id: is unknown until the plan is applied",
            0
        )
    );
}

#[test]
fn what_cannot_be_a_rule_is_named_with_its_attribute() {
    let cases = [
        (
            json!({"protocol": "tcp", "from_port": 1, "to_port": 1, "security_groups": ["web"]}),
            "ingress[0].security_groups[0]: \"web\" is not a group's id",
        ),
        (
            json!({"protocol": "tcp", "from_port": 1, "to_port": 1, "cidr_blocks": ["10.0.0.0"]}),
            "ingress[0].cidr_blocks[0]: cidr_ipv4: \"10.0.0.0\" is not an IPv4 CIDR",
        ),
        (
            json!({"protocol": "tcp", "from_port": 1, "to_port": 1, "cidr_blocks": []}),
            "ingress[0]: names no source",
        ),
        (
            json!({"protocol": "tcp", "cidr_blocks": ["10.0.0.0/8"]}),
            "ingress[0].cidr_blocks[0]: tcp needs both from_port and to_port",
        ),
    ];
    for (block, expected) in cases {
        let imported = import(&state(json!([group(json!([block]))])));
        let found = findings(&imported).join("\n");
        assert!(
            found.starts_with(&format!("aws_security_group.web: {expected}")),
            "{found}"
        );
        assert_eq!(lines(&imported), [""; 0]);
    }
}

#[test]
fn a_group_that_is_not_in_the_file_and_one_of_another_kind_are_named() {
    let imported = import(&state(json!([
        group(json!([])),
        resource(
            "aws_security_group_rule.x",
            json!({"type": "ingress", "security_group_id": "sg-0f", "protocol": "-1", "cidr_blocks": ["10.0.0.0/8"]}),
        ),
        resource("awscc_ec2_security_group.d", json!({"id": "sg-0d"})),
    ])));
    let found = findings(&imported);
    assert!(
        found[0].starts_with("aws_security_group_rule.x: security_group_id: sg-0f itself is not"),
        "{found:?}"
    );
    assert!(
        found[1].starts_with("awscc_ec2_security_group.d: awscc_ec2_security_group is not"),
        "{found:?}"
    );
    assert_eq!(lines(&imported), [GROUP_LINE], "no rules, and known so");
}

#[test]
fn a_rule_that_only_the_group_lists_keeps_out_a_group_with_rule_resources() {
    let block = |port: u16| json!({"protocol": "tcp", "from_port": port, "to_port": port, "cidr_blocks": ["10.0.0.0/8"]});
    let listing = group(json!([block(80), block(443)]));
    let of_443 = json!({
        "security_group_id": "sg-0a", "ip_protocol": "tcp", "from_port": 443, "to_port": 443, "cidr_ipv4": "10.0.0.0/8",
        "description": "kept",
    });
    let in_line = import(&state(json!([listing])));
    assert_eq!((findings(&in_line).len(), lines(&in_line).len()), (0, 3));
    let others = [
        ("aws_vpc_security_group_ingress_rule.https", of_443.clone()),
        (
            "aws_security_group_rule.out",
            json!({"type": "egress", "security_group_id": "sg-0a"}),
        ),
        (
            "aws_vpc_security_group_rules_exclusive.all",
            json!({"security_group_id": "sg-0a", "ingress_rule_ids": []}),
        ),
    ];
    for (address, values) in others {
        let imported = import(&state(json!([listing, resource(address, values)])));
        let found = findings(&imported);
        assert!(
            found[0].starts_with(
                "aws_security_group.web: ingress: lists tcp 80 from 10.0.0.0/8, and no rule resource has it"
            ) && found[0].contains("`terraform apply -refresh-only`"),
            "{address}: {found:?}"
        );
        assert_eq!(lines(&imported), [""; 0], "{address}");
    }

    let mut content = plan(json!([listing]), "x", json!({}));
    let kind = "aws_vpc_security_group_ingress_rule";
    content["resource_changes"] = json!([{
        "address": format!("{kind}.https"), "type": kind,
        "change": {"actions": ["delete"], "after_unknown": {}, "before": of_443},
    }]);
    let imported = import(&content);
    assert_eq!((findings(&imported).len(), lines(&imported).len()), (2, 0));
}

#[test]
fn a_default_group_is_a_group() {
    let values = json!({"id": "sg-0d", "arn": ARN, "ingress": [
        {"protocol": "-1", "from_port": 0, "to_port": 0, "self": true},
    ]});
    let imported = import(&state(json!([resource(
        "aws_default_security_group.d",
        values
    )])));
    assert_eq!(findings(&imported), [""; 0]);
    assert_eq!(
        lines(&imported),
        ["111122223333/eu-west-1/sg-0d", "  all from sg-0d"]
    );
}

#[test]
fn account_and_region_come_from_the_arn_or_the_command_line_and_must_agree() {
    let mut content = state(json!([group(json!([]))]));
    let stated = Stated {
        account: "444455556666".parse().ok(),
        region: "eu-north-1".parse().ok(),
        ..Stated::default()
    };
    let imported = read(&content, &stated).expect("a state");
    assert_eq!(
        findings(&imported),
        [
            "aws_security_group.web: arn: is in 111122223333/eu-west-1, which is not --account 444455556666"
        ]
    );
    content["values"]["root_module"]["resources"][0]["values"]["arn"] = Value::Null;
    assert_eq!(
        lines(&read(&content, &stated).expect("a state")),
        ["444455556666/eu-north-1/sg-0a"]
    );
    let error = read(&content, &Stated::default()).expect_err("no account");
    assert_eq!(
        error.to_string(),
        "the file does not say which account aws_security_group.web is in"
    );
}

#[test]
fn other_files_are_refused() {
    for (content, expected) in [
        (
            json!({"version": 4, "lineage": "x", "resources": []}),
            "state file itself",
        ),
        (json!({"Resources": {}}), "neither a state nor a plan"),
        (
            json!({"errored": true, "planned_values": {}}),
            "not complete",
        ),
    ] {
        let error = read(&content, &Stated::default()).expect_err("no state");
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn a_rule_whose_group_is_unknown_keeps_those_out_that_it_may_be_of() {
    let other = resource(
        "module.m[\"a.b\"].aws_security_group.other[0]",
        json!({"id": "sg-0b", "arn": ARN, "ingress": []}),
    );
    let rule = resource(
        "module.m[\"a.b\"].aws_security_group_rule.x[1]",
        json!({"type": "ingress", "protocol": "-1", "cidr_blocks": ["10.0.0.0/8"]}),
    );
    let address = rule["address"].as_str().expect("text").to_owned();
    let unknown = json!({"security_group_id": true});
    let mut content = plan(json!([group(json!([])), other, rule]), &address, unknown);
    let imported = import(&content);
    assert_eq!((findings(&imported).len(), lines(&imported).len()), (3, 0));

    let written = json!({
        "address": "aws_security_group_rule.x",
        "expressions": {"security_group_id": {"references": ["aws_security_group.other[0].id", "aws_security_group.other[0]"]}},
    });
    content["configuration"]["root_module"]["module_calls"]["m"]["module"]["resources"] =
        json!([written]);
    let imported = import(&content);
    assert_eq!(lines(&imported), [GROUP_LINE]);
    assert!(
        findings(&imported)[1].ends_with("security_group_id: may turn out to be sg-0b (module.m[\"a.b\"].aws_security_group.other[0])"),
        "{:?}",
        findings(&imported)
    );
}
