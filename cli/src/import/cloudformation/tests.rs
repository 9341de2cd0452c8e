//! Templates in YAML and JSON, with and without the stack's resources.

use super::super::tests::{findings, lines};
use super::*;

const TEMPLATE: &str = r#"
AWSTemplateFormatVersion: 2010-09-09
Parameters: {Office: {Type: String, Default: 10.0.0.0/8}}
Resources:
  Web:
    Type: AWS::EC2::SecurityGroup
    Properties:
      GroupDescription: web
      SecurityGroupIngress:
        - {IpProtocol: tcp, FromPort: 443, ToPort: "443", CidrIp: 10.0.0.0/8, Description: office}
        - {IpProtocol: -1, SourcePrefixListId: !Ref Partners}
        - {IpProtocol: tcp, FromPort: 1, ToPort: 2, SourceSecurityGroupId: sg-0c, SourceSecurityGroupOwnerId: 444455556666}
      SecurityGroupEgress: [{IpProtocol: -1, CidrIp: !Ref Office}]
  Database:
    Type: AWS::EC2::SecurityGroup
  FromWeb:
    Type: AWS::EC2::SecurityGroupIngress
    Properties:
      GroupId: !Ref Database
      IpProtocol: tcp
      FromPort: 5432
      ToPort: 5432
      SourceSecurityGroupId: !GetAtt Web.GroupId
      SourceSecurityGroupOwnerId: !Ref AWS::AccountId
  Partners: {Type: AWS::EC2::PrefixList}
"#;

fn made(extra: &[(&str, &str)]) -> Stack {
    let usual = [
        ("Web", "sg-0a"),
        ("Database", "sg-0b"),
        ("FromWeb", "FromWeb"),
        ("Partners", "pl-0a"),
    ];
    let list: Vec<Value> = usual
        .iter()
        .chain(extra)
        .map(|(logical, physical)| {
            json!({
                "StackId": "arn:aws:cloudformation:eu-west-1:111122223333:stack/web/0a1b",
                "LogicalResourceId": logical, "PhysicalResourceId": physical, "ResourceStatus": "CREATE_COMPLETE",
            })
        })
        .collect();
    stack(&json!({ "StackResources": list })).expect("resources")
}

fn import(template: &str, stack: &Stack) -> Import {
    import_with(template, stack, None)
}

fn import_with(template: &str, stack: &Stack, given: Option<&Value>) -> Import {
    let content = parse(template).expect("YAML or JSON");
    let given = given.map(|given| parameters(given).expect("parameters"));
    read(&content, Some(stack), given.as_ref(), &Stated::default()).expect("a template")
}

#[test]
fn short_tags_are_the_long_functions() {
    let content = parse("a: !Ref X\nb: !GetAtt X.GroupId\nc: !If [C, !Sub '${X}', 1]\n");
    assert_eq!(
        content,
        Ok(json!({
            "a": {"Ref": "X"}, "b": {"Fn::GetAtt": "X.GroupId"}, "c": {"Fn::If": ["C", {"Fn::Sub": "${X}"}, 1]},
        }))
    );
    assert_eq!(
        parse(r#"{"TemplateBody": "a: !Ref X"}"#),
        Ok(json!({"a": {"Ref": "X"}}))
    );
    assert!(parse("a: [").is_err() && parse("{").is_err());
    let twice = parse("Resources: {1: a, \"1\": b}");
    assert_eq!(twice, Err("\"1\" is given twice in one map".to_owned()));
}

#[test]
fn logical_ids_become_physical_ones() {
    let imported = import(TEMPLATE, &made(&[]));
    assert_eq!(findings(&imported), [""; 0]);
    let expected = [
        "111122223333/eu-west-1/sg-0a",
        "  all from pl-0a",
        "  tcp 1-2 from 444455556666/sg-0c",
        "  tcp 443 from 10.0.0.0/8 # office",
        "111122223333/eu-west-1/sg-0b",
        "  tcp 5432 from sg-0a",
    ];
    assert_eq!(lines(&imported), expected);
    let json = parse(TEMPLATE).expect("YAML").to_string();
    assert_eq!(lines(&import(&json, &made(&[]))), expected, "in JSON too");
}

#[test]
fn a_rule_is_what_ec2_made_of_it() {
    let rule = "{IpProtocol: -1, FromPort: 0, ToPort: 65535, CidrIp: 10.1.2.3/8}";
    assert_eq!(worked_out(rule), "all from 10.0.0.0/8");
}

#[test]
fn without_the_resources_what_they_would_tell_is_named() {
    let stated = Stated {
        account: "111122223333".parse().ok(),
        region: "eu-west-1".parse().ok(),
        ..Stated::default()
    };
    let content = parse(TEMPLATE).expect("YAML");
    let imported = read(&content, None, None, &stated).expect("a template");
    let found = findings(&imported);
    assert_eq!((found.len(), lines(&imported).len()), (3, 0), "{found:?}");
    assert!(
        found[2].starts_with("FromWeb: GroupId: the physical id of Database is not known"),
        "{found:?}"
    );
    let error = read(&content, None, None, &Stated::default()).expect_err("no account");
    assert_eq!(
        error.to_string(),
        "the file does not say which account the stack is in"
    );
}

#[test]
fn a_group_with_anything_unknown_is_left_out_and_the_others_are_not() {
    let cases = [
        (
            "CidrIp: !Ref Office",
            "CidrIp: Office is a parameter; give the stack's parameters with --parameters",
        ),
        (
            "CidrIp: !Sub '${Office}'",
            "CidrIp: Office is a parameter; give",
        ),
        (
            "CidrIp: !Ref AWS::NotificationARNs",
            "CidrIp: the template has no AWS::NotificationARNs",
        ),
        (
            "CidrIp: '{{resolve:ssm:office}}'",
            "CidrIp: only CloudFormation can look up",
        ),
        (
            "SourceSecurityGroupName: web",
            "SourceSecurityGroupName: \"web\" is not a group's id",
        ),
        (
            "SourceSecurityGroupId: !GetAtt Lb.SourceSecurityGroup.GroupName",
            "SourceSecurityGroupId: only CloudFormation knows SourceSecurityGroup.GroupName of Lb",
        ),
        (
            "SourcePrefixListId: !ImportValue x",
            "SourcePrefixListId: only CloudFormation can evaluate Fn::ImportValue",
        ),
    ];
    for (source, expected) in cases {
        let template = TEMPLATE.replace("CidrIp: 10.0.0.0/8", source);
        let imported = import(&template, &made(&[]));
        let found = findings(&imported).join("\n");
        let expected = format!("Web: SecurityGroupIngress[0].{expected}");
        assert!(found.starts_with(&expected), "{found}");
        assert_eq!(
            lines(&imported),
            ["111122223333/eu-west-1/sg-0b", "  tcp 5432 from sg-0a"]
        );
    }
}

#[test]
fn a_rule_of_one_of_several_groups_keeps_all_of_them_out() {
    for (group, left) in [
        ("GroupId: !If [C, !Ref Web, !Ref Database]", 0),
        ("GroupId: !Sub '${Database.GroupId}${Office}'", 4),
        ("GroupName: !Ref Database", 4),
    ] {
        let template = TEMPLATE.replace("GroupId: !Ref Database", group);
        let imported = import(&template, &made(&[]));
        assert_eq!(lines(&imported).len(), left, "{:?}", findings(&imported));
    }
}

#[test]
fn what_a_macro_would_change_is_not_taken_as_written() {
    let stack = made(&[]);
    let whole = TEMPLATE.to_owned() + "Transform: Ours\n";
    assert_eq!(
        findings(&import(&whole, &stack)),
        ["Transform: is expanded by CloudFormation; give the processed template"]
    );
    let part = TEMPLATE.replace(
        "      GroupDescription: web\n",
        "      Fn::Transform: {Name: AWS::Include}\n",
    );
    let imported = import(&part, &stack);
    assert_eq!(
        findings(&imported),
        ["Web: only CloudFormation can evaluate Fn::Transform"]
    );
    assert_eq!(lines(&imported).len(), 2);
    let merged = TEMPLATE.replace("  Database:\n    Type: AWS::EC2::SecurityGroup\n", "  Database: &base\n    Type: AWS::EC2::SecurityGroup\n    Properties:\n      SecurityGroupIngress: {IpProtocol: -1, CidrIp: 10.0.0.0/8}\n  Copy: {<<: *base}\n");
    let imported = import(&merged, &made(&[("Copy", "sg-0d")]));
    assert_eq!(
        lines(&imported)[7..],
        ["111122223333/eu-west-1/sg-0d", "  all from 10.0.0.0/8"]
    );
}

#[test]
fn what_a_condition_kept_from_being_made_is_passed_over() {
    let template = TEMPLATE.to_owned()
        + "  Spare: {Type: AWS::EC2::SecurityGroup, Condition: Never}\n"
        + "  SpareRule: {Type: AWS::EC2::SecurityGroupIngress, Condition: Never, Properties: {GroupId: !Ref Web}}\n";
    let imported = import(&template, &made(&[]));
    assert_eq!((findings(&imported).len(), lines(&imported).len()), (0, 6));
    // Made with a name in place of an id, as in EC2 Classic's time.
    let imported = import(&template, &made(&[("Spare", "spare-group")]));
    assert!(
        findings(&imported)[0].starts_with("Spare: \"spare-group\" is not a security group id")
    );
}

const FUNCTIONS: &str = r#"
Parameters:
  Office: {Type: String, Default: 10.0.0.0/8}
  Ports: {Type: CommaDelimitedList, Default: "80, 443"}
  Stage: {Type: String}
  Looked: {Type: AWS::SSM::Parameter::Value<String>, Default: /office}
  Secret: {Type: String, NoEcho: true}
Mappings:
  Nets: {prod: {Cidr: 192.0.2.0/24}, eu-west-1: {Cidr: 198.51.100.0/24}}
Conditions:
  AndTest: !And [!Condition IsTest, !Equals [a, a]]
  IsTest: !Equals [!Ref Stage, test]
  NotTest: !Not [!Condition IsTest]
  Either: !Or [!Equals [!Ref Secret, x], !Condition NotTest]
  Unknown: !Equals [!Ref Secret, x]
  Itself: !Not [!Condition Itself]
  Word: !Equals [Yes, "true"]
Resources:
  Web:
    Type: AWS::EC2::SecurityGroup
    Properties:
      SecurityGroupIngress:
        - RULE
  Other: {Type: AWS::EC2::SecurityGroup}
"#;

/// The finding about a rule of the stage `prod`, or else the rule.
fn worked_out(rule: &str) -> String {
    let given = json!({"Stacks": [{"StackName": "web", "Parameters": [
        {"ParameterKey": "Stage", "ParameterValue": "prod"},
        {"ParameterKey": "Secret", "ParameterValue": "****"},
        {"ParameterKey": "Looked", "ParameterValue": "/office", "ResolvedValue": "203.0.113.0/24"},
    ]}]});
    let stack = made(&[("Other", "sg-0e")]);
    let imported = import_with(&FUNCTIONS.replace("RULE", rule), &stack, Some(&given));
    let (found, rules) = (findings(&imported), lines(&imported));
    assert!(rules.last().is_some_and(|last| last.ends_with("/sg-0e")));
    let rules = rules
        .iter()
        .filter_map(|line| line.strip_prefix("  ").map(str::to_owned));
    found
        .into_iter()
        .chain(rules)
        .collect::<Vec<_>>()
        .join("; ")
}

#[test]
fn functions_are_worked_out_from_parameters_maps_and_conditions() {
    let cases = [
        ("10.0.0.0/8", "!Ref Office"),
        ("203.0.113.0/24", "!Ref Looked"),
        ("192.0.2.0/24", "!FindInMap [Nets, !Ref Stage, Cidr]"),
        (
            "198.51.100.0/24",
            "!FindInMap [Nets, !Ref 'AWS::Region', Cidr]",
        ),
        ("10.1.0.0/16", "!Join [., [10, 1, 0, 0/16]]"),
        (
            "10.1.0.0/16",
            "!Sub ['10.${B}.0.0/${Bits}', {B: 1, Bits: !Select [1, [8, 16]]}]",
        ),
        ("10.2.0.0/16", "!If [IsTest, 10.1.0.0/16, 10.2.0.0/16]"),
        ("10.2.0.0/16", "!If [AndTest, 10.1.0.0/16, 10.2.0.0/16]"),
        ("10.1.0.0/16", "!If [NotTest, 10.1.0.0/16, 10.2.0.0/16]"),
        ("10.1.0.0/16", "!If [Either, 10.1.0.0/16, 10.2.0.0/16]"),
        ("10.1.0.0/16", "!Select [1, !Split [' ', 'a 10.1.0.0/16']]"),
    ];
    for (expected, source) in cases {
        let rule = format!("{{IpProtocol: -1, CidrIp: {source}}}");
        assert_eq!(
            worked_out(&rule),
            format!("all from {expected}"),
            "{source}"
        );
    }
    for (expected, rule) in [
        (
            "",
            "!If [IsTest, {IpProtocol: -1, CidrIp: 0.0.0.0/0}, !Ref 'AWS::NoValue']",
        ),
        (
            "all from 10.0.0.0/8",
            "{IpProtocol: -1, CidrIp: !Ref Office, CidrIpv6: !Ref 'AWS::NoValue'}",
        ),
        (
            "tcp 80-443 from sg-0e # web of 111122223333 in aws: ${x}",
            "{IpProtocol: tcp, FromPort: !Select [0, !Ref Ports], ToPort: !Select ['1', !Ref Ports], \
             SourceSecurityGroupId: !Sub '${Other.GroupId}', \
             Description: !Sub '${AWS::StackName} of ${AWS::AccountId} in ${AWS::Partition}: ${!x}'}",
        ),
    ] {
        assert_eq!(worked_out(rule), expected, "{rule}");
    }
}

#[test]
fn what_the_parameters_do_not_tell_is_named() {
    for (source, expected) in [
        (
            "!Ref Secret",
            "Secret is a parameter whose value --parameters does not tell",
        ),
        ("!If [Unknown, a, b]", "Secret is a parameter whose value"),
        ("!If [Itself, a, b]", "the condition Itself is not known"),
        (
            "!FindInMap [Nets, test, Cidr]",
            "Mappings has no Nets.test.Cidr",
        ),
        ("!Select [2, !Ref Ports]", "the list has no item 2"),
        (
            "!Ref Ports",
            "[\"80\",\"443\"] is neither text nor a number",
        ),
    ] {
        let found = worked_out(&format!("{{IpProtocol: -1, CidrIp: {source}}}"));
        let expected = format!("Web: SecurityGroupIngress[0].CidrIp: {expected}");
        assert!(found.starts_with(&expected), "{found}");
    }
    let whole = FUNCTIONS.replace(
        "\n        - RULE",
        " !If [Unknown, [], !Ref 'AWS::NoValue']",
    );
    let imported = import_with(&whole, &made(&[("Other", "sg-0e")]), Some(&json!([])));
    assert_eq!(
        findings(&imported),
        ["Web: SecurityGroupIngress: Secret is a parameter whose value --parameters does not tell"]
    );
}

#[test]
fn parameters_are_those_of_one_stack_and_of_the_same_one() {
    for other in [
        json!({"Stacks": []}),
        json!({"Stacks": [{}, {}]}),
        json!({}),
        json!("x"),
    ] {
        let error = parameters(&other).expect_err("not one stack");
        assert!(
            error.to_string().contains("neither one stack nor"),
            "{error}"
        );
    }
    let other = "arn:aws:cloudformation:eu-west-1:111122223333:stack/other/0c";
    let given = parameters(&json!({"Stacks": [{"StackId": other}]})).expect("a stack");
    let content = parse(TEMPLATE).expect("YAML");
    let error = read(&content, Some(&made(&[])), Some(&given), &Stated::default());
    let error = error.expect_err("two stacks").to_string();
    assert!(
        error.ends_with(&format!("and --parameters of {other}")),
        "{error}"
    );
}
