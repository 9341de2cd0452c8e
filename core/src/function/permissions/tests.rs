//! Conclusions from answers, and samples for trying an authorize.

use serde_json::json;

use super::*;

fn refused(operation: &'static str, code: &str) -> ApiError {
    ApiError {
        operation,
        failure: Failure::Refused {
            code: code.to_owned(),
        },
        message: "no".to_owned(),
    }
}

fn scope() -> Scope {
    Scope {
        account: "111122223333".parse().expect("an account"),
        region: "eu-west-1".parse().expect("a Region"),
    }
}

fn record(rules: Value) -> Value {
    json!({"schema": 1, "generation": 1, "mode": "enforce", "rules": rules})
}

/// An EC2 with two given answers to an authorize: without tags, and with tags.
struct Ec2([Result<(), ApiError>; 2]);

impl TryGroups for Ec2 {
    async fn try_read(&self, _: Ec2Read) -> Result<(), ApiError> {
        Ok(())
    }

    async fn try_authorize(&self, _: &GroupId, rule: &IngressRule) -> Result<(), ApiError> {
        self.0[usize::from(!rule.tags.is_empty())].clone()
    }
}

async fn authorize(sample: &Sample, answers: [Result<(), ApiError>; 2]) -> [(Outcome, String); 2] {
    let checks = try_ec2(&Ec2(answers), &scope(), sample, Whose::Function).await;
    let [.., plain, tags] = &checks[..] else {
        panic!("{checks:?}")
    };
    assert!(
        plain
            .subject
            .starts_with("ec2:AuthorizeSecurityGroupIngress on sg-")
    );
    assert!(tags.subject.starts_with("ec2:CreateTags on sg-"));
    [plain, tags].map(|check| (check.outcome, check.found.clone()))
}

fn denied() -> Result<(), ApiError> {
    Err(refused(
        "AuthorizeSecurityGroupIngress",
        "UnauthorizedOperation",
    ))
}

#[tokio::test]
async fn a_dry_run_is_allowed_refused_or_tells_nothing() {
    let rules =
        json!([{"protocol": "tcp", "from_port": 443, "to_port": 443, "cidr_ipv4": "10.0.0.0/8"}]);
    let sample = Sample::of(&[("sg-0a".to_owned(), record(rules))], &scope());
    let outcomes = async |answers| {
        authorize(&sample, answers)
            .await
            .map(|(outcome, _)| outcome)
    };
    assert_eq!(outcomes([Ok(()), Ok(())]).await, [Outcome::Ok; 2]);
    assert_eq!(
        outcomes([Ok(()), denied()]).await,
        [Outcome::Ok, Outcome::Failed]
    );
    assert_eq!(
        outcomes([denied(), denied()]).await,
        [Outcome::Failed, Outcome::Skipped]
    );
    let odd = || {
        Err(refused(
            "AuthorizeSecurityGroupIngress",
            "InvalidPermission.Duplicate",
        ))
    };
    assert_eq!(
        outcomes([odd(), odd()]).await,
        [Outcome::Warning, Outcome::Skipped]
    );
    let silent = || {
        Err(ApiError {
            failure: Failure::NoAnswer,
            ..refused("AuthorizeSecurityGroupIngress", "")
        })
    };
    assert_eq!(
        outcomes([silent(), silent()]).await,
        [Outcome::Failed, Outcome::Skipped]
    );

    // Without a record the group cannot exist, so EC2 may refuse the group.
    let odd = || {
        Err(refused(
            "AuthorizeSecurityGroupIngress",
            "InvalidGroup.NotFound",
        ))
    };
    let [(outcome, found), _] = authorize(&Sample::nowhere(), [odd(), odd()]).await;
    assert_eq!(outcome, Outcome::Skipped);
    assert!(found.contains("InvalidGroup.NotFound"), "{found}");
}

#[test]
fn an_authorize_is_tried_with_a_rule_of_the_record_or_where_nothing_can_come_of_it() {
    let named = |name: &str, rules: Value| (name.to_owned(), record(rules));
    let rule = json!([{"protocol": "tcp", "from_port": 80, "to_port": 80, "cidr_ipv4": "10.0.0.0/8",
        "tags": {"team": "web", "aws:x": "theirs"}}]);
    let records = [
        named("not a group", rule.clone()),
        named("sg-0a", json!([])),
        named("sg-0b", json!("wrong")),
        named("sg-0c", rule),
    ];
    let sample = Sample::of(&records, &scope());
    assert_eq!(sample.group.as_str(), "sg-0c");
    assert_eq!(sample.plain.key.to_string(), "tcp 80 from 10.0.0.0/8");
    assert_eq!(sample.tagged.key, sample.plain.key);
    assert!(sample.plain.tags.is_empty());
    let tags: Vec<_> = sample.tagged.tags.keys().map(String::as_str).collect();
    assert_eq!(tags, ["team"], "EC2 refuses AWS's own");

    let nowhere = Sample::of(&records[..3], &scope());
    assert_eq!(nowhere, Sample::nowhere());
    assert_eq!(nowhere.group.as_str(), "sg-00000000000000000");
    assert_eq!(nowhere.plain.key.to_string(), "tcp 443 from 192.0.2.1/32");
    assert!(!nowhere.tagged.tags.is_empty());
}

#[test]
fn a_refusal_names_the_action_and_where_to_allow_it() {
    let tried = |whose: Whose, code: &str| {
        whose.tried(
            "dynamodb:PutItem",
            "on records",
            Err(refused("PutItem", code)),
        )
    };
    let check = tried(Whose::Function, "AccessDeniedException");
    assert_eq!(
        (check.check.as_str(), check.outcome),
        ("role", Outcome::Failed)
    );
    assert_eq!(check.found, "refused: AccessDeniedException: no");
    let fix = check.fix.unwrap_or_default();
    assert!(
        fix.contains("Allow dynamodb:PutItem") && fix.contains("template.yaml"),
        "{fix}"
    );
    let fix = tried(Whose::Member, "AccessDeniedException")
        .fix
        .unwrap_or_default();
    assert!(fix.contains("template-member.yaml"), "{fix}");
    let fix = tried(Whose::Operator, "AccessDeniedException")
        .fix
        .unwrap_or_default();
    assert!(fix.contains("--profile"), "{fix}");
    let check = tried(Whose::Function, "ThrottlingException");
    assert_eq!(check.outcome, Outcome::Failed);
    assert!(
        check
            .found
            .starts_with("could not be found out: PutItem: Throttling"),
        "{check:?}"
    );
    let fix = tried(Whose::Function, "ResourceNotFoundException")
        .fix
        .unwrap_or_default();
    assert!(fix.contains("compare RULEKEEPER_TABLE"), "{fix}");
}

#[test]
fn findings_keep_their_names_over_the_wire() {
    let findings = Findings {
        checks: vec![Check::new(
            "role",
            Outcome::Ok,
            "ec2:DescribeVpcs",
            "allowed",
        )],
        time: "2026-11-23T16:00:00Z".parse().expect("a time"),
    };
    let json = json!({
        "checks": [{"check": "role", "outcome": "ok", "subject": "ec2:DescribeVpcs", "found": "allowed"}],
        "time": "2026-11-23T16:00:00Z",
    });
    assert_eq!(serde_json::to_value(&findings).expect("JSON"), json);
    assert_eq!(
        serde_json::from_value::<Findings>(json).expect("findings"),
        findings
    );
}
