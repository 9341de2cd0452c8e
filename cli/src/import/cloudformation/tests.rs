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
    let content = parse(template).expect("YAML or JSON");
    read(&content, Some(stack), &Stated::default()).expect("a template")
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
fn without_the_resources_what_they_would_tell_is_named() {
    let stated = Stated {
        account: "111122223333".parse().ok(),
        region: "eu-west-1".parse().ok(),
        ..Stated::default()
    };
    let content = parse(TEMPLATE).expect("YAML");
    let imported = read(&content, None, &stated).expect("a template");
    let found = findings(&imported);
    assert_eq!((found.len(), lines(&imported).len()), (3, 0), "{found:?}");
    assert!(
        found[2].starts_with("FromWeb: GroupId: the physical id of Database is not known"),
        "{found:?}"
    );
    let error = read(&content, None, &Stated::default()).expect_err("no account");
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
            "CidrIp: Office is a parameter, whose value",
        ),
        (
            "CidrIp: !Sub '${Office}'",
            "CidrIp: only CloudFormation can evaluate Fn::Sub",
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
        ("GroupId: !Sub '${Database.GroupId}'", 4),
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
