//! `import`, by the real binary; only what takes its output reaches moto.

mod common;

use common::{Scene, bare, run, scratch};
use serde_json::{Value, json};

fn state() -> Value {
    let group = |id: &str, ingress: Value| {
        json!({
            "address": format!("aws_security_group.{}", id.trim_start_matches("sg-")),
            "mode": "managed", "type": "aws_security_group",
            "values": {
                "id": id, "arn": format!("arn:aws:ec2:eu-west-1:111122223333:security-group/{id}"), "ingress": ingress,
            },
        })
    };
    let block = |port: u16| {
        json!([{
            "protocol": "tcp", "from_port": port, "to_port": port, "cidr_blocks": ["10.0.0.0/8"], "description": "office",
        }])
    };
    let resources = [
        group("sg-0000000a", block(443)),
        group("sg-0000000b", block(80)),
    ];
    json!({"format_version": "1.0", "values": {"root_module": {"resources": resources}}})
}

#[test]
fn a_state_becomes_the_documents_that_apply_takes() {
    let done = run(
        bare(&["import", "terraform", "-", "--mode", "observe"]),
        &state().to_string(),
    )
    .exits(0);
    let expected = "\
---
account: '111122223333'
region: eu-west-1
group: sg-0000000a
schema: 1
mode: observe
rules:
- protocol: tcp
  from_port: 443
  to_port: 443
  cidr_ipv4: 10.0.0.0/8
  description: office
---
account: '111122223333'
region: eu-west-1
group: sg-0000000b
";
    assert!(done.out.starts_with(expected), "{}", done.out);
    assert_eq!(done.err, "");
}

#[tokio::test]
async fn what_is_imported_is_applied_once_and_then_differs_in_nothing() {
    let scene = Scene::new("import-apply").await;
    let imported = scene
        .rulekeeper_reading(&["import", "terraform", "-"], &state().to_string())
        .exits(0)
        .out;
    for outcome in ["written", "unchanged"] {
        let applied = scene
            .rulekeeper_reading(&["apply", "-f", "-"], &imported)
            .exits(0)
            .items();
        for (index, group) in ["sg-0000000a", "sg-0000000b"].into_iter().enumerate() {
            let written = &applied[index];
            assert_eq!(
                (
                    &written["group"]["id"],
                    &written["generation"],
                    &written["outcome"]
                ),
                (&json!(group), &json!(1), &json!(outcome))
            );
        }
    }
}

#[test]
fn a_group_that_is_not_known_in_full_is_named_and_left_out() {
    let mut state = state();
    state["values"]["root_module"]["resources"][0]["values"]["ingress"][0]["security_groups"] =
        json!(["web"]);
    let done = run(bare(&["import", "terraform", "-"]), &state.to_string()).exits(1);
    assert!(
        done.err.starts_with(
            "unresolved: aws_security_group.0000000a: ingress[0].security_groups[0]: \"web\" is not a group's id"
        ),
        "{done:?}"
    );
    assert!(
        !done.out.contains("sg-0000000a") && done.out.contains("sg-0000000b"),
        "{done:?}"
    );
}

#[test]
fn files_are_written_one_for_each_group_and_never_over_another() {
    let folder = scratch("import-files");
    std::fs::remove_dir_all(&folder).expect("an old folder");
    let path = folder.to_str().expect("UTF-8");
    let arguments = ["import", "terraform", "-", "--output-dir", path];
    let done = run(bare(&arguments), &state().to_string()).exits(0).json();
    assert_eq!(
        done["items"][1],
        json!({
            "group": {"account": "111122223333", "region": "eu-west-1", "id": "sg-0000000b"},
            "file": format!("{path}/sg-0000000b.yaml"),
        })
    );
    std::fs::remove_file(folder.join("sg-0000000a.yaml")).expect("it was written");
    let again = run(bare(&arguments), &state().to_string()).exits(1);
    assert!(
        again
            .err
            .contains("sg-0000000b.yaml exists; nothing was written"),
        "{again:?}"
    );
    assert!(
        !folder.join("sg-0000000a.yaml").exists(),
        "not the other either"
    );
}

#[test]
fn a_template_is_read_with_the_resources_of_its_stack() {
    let folder = scratch("import-template");
    let (template, resources) = (folder.join("template.yaml"), folder.join("resources.json"));
    let text = "\
Parameters: {Office: {Type: String, Default: 0.0.0.0/0}}
Resources:
  Web:
    Type: AWS::EC2::SecurityGroup
    Properties:
      SecurityGroupIngress:
        - {IpProtocol: tcp, FromPort: 443, ToPort: 443, CidrIp: !Ref Office}
  Members:
    Type: AWS::EC2::SecurityGroupIngress
    Properties: {GroupId: !Ref Web, IpProtocol: '-1', SourceSecurityGroupId: !GetAtt Web.GroupId}
";
    let listed = |logical: &str, physical: &str| {
        json!({
            "StackId": "arn:aws:cloudformation:eu-west-1:111122223333:stack/web/0a1b",
            "LogicalResourceId": logical, "PhysicalResourceId": physical,
        })
    };
    let list =
        json!({"StackResources": [listed("Web", "sg-0000000a"), listed("Members", "Members")]});
    std::fs::write(&template, text).expect("a file");
    std::fs::write(&resources, list.to_string()).expect("a file");
    let (template, resources) = (
        template.to_str().expect("UTF-8"),
        resources.to_str().expect("UTF-8"),
    );
    let arguments = [
        "import",
        "cloudformation",
        template,
        "--resources",
        resources,
        "--parameters",
        "-",
    ];
    let stack = json!({"Stacks": [
        {"Parameters": [{"ParameterKey": "Office", "ParameterValue": "10.0.0.0/8"}]},
    ]});
    let done = run(bare(&arguments), &stack.to_string()).exits(0);
    for part in [
        "group: sg-0000000a",
        "group_id: sg-0000000a",
        "cidr_ipv4: 10.0.0.0/8",
    ] {
        assert!(done.out.contains(part), "{done:?}");
    }
    let defaults = run(bare(&arguments), "[]").exits(0);
    assert!(
        defaults.out.contains("cidr_ipv4: 0.0.0.0/0"),
        "{defaults:?}"
    );
    // What the stack was given is unknown, and its default may be wider.
    let unknown = run(bare(&arguments[..5]), "").exits(1);
    assert!(
        unknown.out.is_empty() && unknown.err.contains("--parameters"),
        "{unknown:?}"
    );
    let without = run(bare(&arguments[..3]), "").exits(2);
    assert!(
        without.err.contains("which account") && without.err.contains("hint: Give --account"),
        "{without:?}"
    );
}

#[test]
fn what_holds_no_group_or_is_no_such_file_is_said() {
    let empty = run(
        bare(&["import", "terraform", "-"]),
        r#"{"format_version": "1.0"}"#,
    )
    .exits(1);
    assert!(
        empty
            .err
            .contains("standard input: holds no security group"),
        "{empty:?}"
    );
    let wrong = run(bare(&["import", "terraform", "-"]), "{").exits(1);
    assert!(
        wrong.err.contains("standard input: is not JSON"),
        "{wrong:?}"
    );
    let yaml = run(bare(&["import", "cloudformation", "-"]), "a: [").exits(1);
    assert!(yaml.err.contains("get-template"), "{yaml:?}");
}
