//! The rules of evaluation that AWS documents (IAM User Guide, "Policy evaluation logic", "IAM JSON policy elements", and
//! "Conditions with multiple context keys or values"), asked through [`Policy`].

use serde_json::{Value, json};

use super::*;

const TABLE: &str = "arn:aws:dynamodb:eu-west-1:111122223333:table/t";
const CALLER: &str = "arn:aws:iam::111122223333:role/rulekeeper-function";

fn put(context: &[(&str, &[&str])]) -> Access {
    let mut access = Access::new("dynamodb:PutItem", Some(TABLE.to_owned()));
    for (key, values) in context {
        let values = values.iter().map(|value| (*value).to_owned());
        access.context.insert((*key).to_owned(), values.collect());
    }
    access
}

fn allow(more: Value) -> Value {
    let mut statement = json!({"Effect": "Allow", "Action": "dynamodb:PutItem", "Resource": TABLE});
    for (name, value) in more.as_object().expect("elements") {
        statement[name] = value.clone();
    }
    statement
}

#[track_caller]
fn judged(statements: &[Value], access: &Access) -> bool {
    let policy = Policy::new(statements).expect("a policy");
    policy.allows(CALLER, access).expect("judged")
}

#[test]
fn nothing_is_allowed_by_default_and_a_denial_wins_over_every_allow() {
    let deny = allow(json!({"Effect": "Deny"}));
    assert!(!judged(&[], &put(&[])));
    assert!(judged(&[allow(json!({}))], &put(&[])));
    for statements in [[allow(json!({})), deny.clone()], [deny, allow(json!({}))]] {
        assert!(!judged(&statements, &put(&[])));
    }
}

#[test]
fn actions_have_no_case_and_take_wildcards() {
    for (action, matches) in [
        ("DynamoDB:putitem", true),
        ("dynamodb:P*", true),
        ("dynamodb:Put????", true),
        ("*", true),
        ("dynamodb:Put???", false),
        ("dynamodb:Put", false),
        ("sqs:*", false),
    ] {
        let statement = allow(json!({"Action": ["sts:AssumeRole", action]}));
        assert_eq!(judged(&[statement], &put(&[])), matches, "{action}");
    }
}

#[test]
fn resources_match_part_by_part_and_with_case() {
    for (resource, matches) in [
        ("arn:aws:dynamodb:*:111122223333:table/*", true),
        ("arn:aws:dynamodb:??*-*:111122223333:table/t", true),
        ("*", true),
        ("arn:aws:dynamodb:eu-west-1:111122223333:table/T", false),
        ("arn:aws:dynamodb:eu-west-2:111122223333:table/*", false),
        ("arn:aws-cn:dynamodb:eu-west-1:111122223333:table/*", false),
        ("arn:aws:dynamodb:eu-west-1:444455556666:table/*", false),
        ("arn:aws:sqs:eu-west-1:111122223333:*", false),
    ] {
        let statement = allow(json!({"Resource": resource}));
        assert_eq!(judged(&[statement], &put(&[])), matches, "{resource}");
    }
}

#[test]
fn an_action_without_resources_is_allowed_by_a_star_only() {
    let access = Access::new("ec2:DescribeVpcs", None);
    for (resource, matches) in [
        ("*", true),
        ("arn:aws:ec2:*:*:*", false),
        ("arn:*:ec2:*:*:*", false),
    ] {
        let statement = allow(json!({"Action": "ec2:DescribeVpcs", "Resource": resource}));
        assert_eq!(judged(&[statement], &access), matches, "{resource}");
    }
}

/// Every operator of a set, and what it makes of no key, of an empty set, and of sets with and without the values.
#[test]
fn operators_on_sets_treat_missing_keys_as_documented() {
    const KEY: &str = "dynamodb:LeadingKeys";
    let sets: [&[(&str, &[&str])]; 6] = [
        &[],
        &[(KEY, &[])],
        &[(KEY, &["state#1"])],
        &[(KEY, &["state#1", "fleet"])],
        &[(KEY, &["state#1", "settings"])],
        &[(KEY, &["settings"])],
    ];
    for (operator, expected) in [
        // All values of the request are listed. A request without any is allowed, too.
        (
            "ForAllValues:StringLike",
            [true, true, true, true, false, false],
        ),
        (
            "ForAnyValue:StringLike",
            [false, false, true, true, true, false],
        ),
        (
            "ForAllValues:StringNotLike",
            [true, true, false, false, false, true],
        ),
        (
            "ForAnyValue:StringNotLike",
            [false, false, false, false, true, true],
        ),
        (
            "ForAllValues:StringEquals",
            [true, true, false, false, false, false],
        ),
    ] {
        let condition = json!({"Condition": {operator: {KEY: ["state#*", "fleet"]}}});
        for (set, expected) in sets.iter().zip(expected) {
            let allowed = judged(&[allow(condition.clone())], &put(set));
            assert_eq!(allowed, expected, "{operator} {set:?}");
        }
    }
    for (set, is_null) in [(sets[0], true), (sets[2], false)] {
        for wanted in [true, false] {
            let condition = json!({"Condition": {"Null": {KEY: wanted.to_string()}}});
            let allowed = judged(&[allow(condition)], &put(set));
            assert_eq!(allowed, is_null == wanted, "Null {wanted} {set:?}");
        }
    }
}

#[test]
fn operators_on_one_value_treat_a_missing_key_as_documented() {
    const KEY: &str = "aws:ResourceOrgID";
    let requests: [&[(&str, &[&str])]; 3] = [&[], &[(KEY, &["o-ours"])], &[(KEY, &["o-theirs"])]];
    for (operator, expected) in [
        ("StringEquals", [false, true, false]),
        ("StringEqualsIfExists", [true, true, false]),
        ("StringNotEquals", [true, false, true]),
        ("StringLike", [false, true, false]),
    ] {
        let condition = json!({"Condition": {operator: {KEY: "o-ours"}}});
        for (request, expected) in requests.iter().zip(expected) {
            let allowed = judged(&[allow(condition.clone())], &put(request));
            assert_eq!(allowed, expected, "{operator} {request:?}");
        }
    }
}

#[test]
fn every_operator_and_every_key_of_a_condition_must_hold_and_key_names_have_no_case() {
    let condition = json!({"Condition": {
        "ForAllValues:StringLike": {"DynamoDB:leadingkeys": "desired#*"},
        "ForAllValues:StringNotEquals": {"dynamodb:Attributes": ["expires_at"]},
    }});
    let one = |key, attributes| {
        let access = put(&[
            ("dynamodb:LeadingKeys", &[key]),
            ("dynamodb:Attributes", attributes),
        ]);
        judged(&[allow(condition.clone())], &access)
    };
    assert!(one("desired#1", &["pk", "rules"]));
    assert!(!one("settings", &["pk", "rules"]));
    assert!(!one("desired#1", &["pk", "expires_at"]));
}

#[test]
fn what_is_not_judged_is_refused_and_never_passed_over() {
    for (statement, word) in [
        (allow(json!({"Conditions": {}})), "Conditions"),
        (allow(json!({"NotResource": "*"})), "NotResource"),
        (allow(json!({"Principal": "*"})), "Principal"),
        (json!({"Effect": "Allow", "Action": "*"}), "no Resource"),
        (
            allow(json!({"Condition": {"StringSortOf": {"aws:PrincipalOrgID": "o"}}})),
            "StringSortOf",
        ),
        (
            allow(json!({"Condition": {"StringEquals": {"aws:SourceIp": "1"}}})),
            "aws:SourceIp",
        ),
        (
            allow(json!({"Condition": {"StringLike": {"dynamodb:LeadingKeys": "x"}}})),
            "several",
        ),
        (allow(json!({"Resource": "${aws:username}"})), "variables"),
        (allow(json!({"Resource": "table/t"})), "table/t"),
        (allow(json!({"Effect": "Permit"})), "Permit"),
        (allow(json!({"Action": ["PutItem"]})), "PutItem"),
    ] {
        let refused = Policy::new(&[statement]).expect_err(word).to_string();
        assert!(refused.contains(word), "{refused}");
    }
    let trust = Policy::trust(&[allow(json!({}))]).expect_err("no principal");
    assert!(trust.to_string().contains("no Principal"), "{trust}");
    let policy = Policy::new(&[allow(json!({}))]).expect("a policy");
    let unknown = policy.allows(CALLER, &put(&[("aws:SourceVpc", &["vpc-1"])]));
    assert!(unknown.is_err_and(|error| error.contains("aws:SourceVpc")));
}

fn role(account: &str, organization: &str, permissions: &[Value], trust: &Value) -> Role {
    Role {
        arn: format!("arn:aws:iam::{account}:role/r"),
        organization: Some(organization.to_owned()),
        permissions: Policy::new(permissions).expect("a policy"),
        trust: Policy::trust(std::slice::from_ref(trust)).expect("a trust policy"),
    }
}

#[test]
fn a_role_of_another_account_is_assumed_when_both_sides_allow_it() {
    let assume = json!({"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "arn:aws:iam::*:role/r",
        "Condition": {"StringEquals": {"aws:ResourceOrgID": "o-1"}}});
    let trusts = |caller: &str| {
        json!({"Effect": "Allow", "Principal": {"AWS": caller}, "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}})
    };
    let hub = role(
        "111122223333",
        "o-1",
        &[assume],
        &trusts("arn:aws:iam::111122223333:root"),
    );
    let caller = hub.arn.clone();
    let iam = Iam::new(vec![
        hub,
        role("222222222222", "o-1", &[], &trusts(&caller)),
        role("333333333333", "o-2", &[], &trusts(&caller)),
        role(
            "444444444444",
            "o-1",
            &[],
            &trusts("arn:aws:iam::999999999999:role/r"),
        ),
    ]);
    let assumes = |account| {
        let target = format!("arn:aws:iam::{account}:role/r");
        iam.allows(&caller, Access::new("sts:AssumeRole", Some(target)))
    };
    assert!(assumes("222222222222"));
    assert!(!assumes("333333333333"), "another organization");
    assert!(!assumes("444444444444"), "it trusts somebody else");
    assert!(!assumes("555555555555"), "there is no such role");
    assert_eq!(iam.judged().len(), 4);
    assert_eq!(iam.refusals().len(), 3);
    let nobody = Access::new(
        "sts:AssumeRole",
        Some("arn:aws:iam::333333333333:role/r".to_owned()),
    );
    assert!(
        iam.allows("arn:aws:iam::1:role/unknown", nobody),
        "only roles are judged"
    );
}

#[test]
fn what_iam_is_asked_about_the_table_has_keys_and_attributes() {
    let place = access::Place {
        region: "eu-west-1",
        account: "111122223333",
    };
    let asked = |action: &str, body: &Value| access::of_json("dynamodb", action, body, place);
    let one = |action: &str, body: &Value| {
        let [access] = &asked(action, body).expect("known")[..] else {
            panic!("one request")
        };
        access.clone()
    };
    let put = one(
        "PutItem",
        &json!({"TableName": "t", "Item": {"pk": {"S": "desired#1"}, "sk": {"S": "x"}},
        "ConditionExpression": "attribute_not_exists(#g) OR rules[0].#f = :read",
        "ExpressionAttributeNames": {"#g": "generation", "#f": "from_port"}}),
    );
    assert_eq!(put.resource.as_deref(), Some(TABLE));
    assert_eq!(put.context["dynamodb:LeadingKeys"], ["desired#1"]);
    assert_eq!(
        put.context["dynamodb:Attributes"],
        ["generation", "pk", "rules", "sk"]
    );
    let query = one(
        "Query",
        &json!({"TableName": "t", "KeyConditionExpression": "#p = :pk AND sk >= :from",
        "ExpressionAttributeNames": {"#p": "pk"}, "ExpressionAttributeValues": {":pk": {"S": "fleet"}, ":from": {"S": ""}}}),
    );
    assert_eq!(query.context["dynamodb:LeadingKeys"], ["fleet"]);
    let transaction = json!({"TransactItems": [
        {"Put": {"TableName": "t", "Item": {"pk": {"S": "history#1"}}}},
        {"Update": {"TableName": "u", "Key": {"pk": {"S": "state#1"}}, "UpdateExpression": "SET seen = :now REMOVE expires_at"}},
        {"ConditionCheck": {"TableName": "t", "Key": {"pk": {"S": "settings"}}}},
        {"Delete": {"TableName": "t", "Key": {"pk": {"S": "state#1"}}}}]});
    let parts = asked("TransactWriteItems", &transaction).expect("known");
    let actions: Vec<_> = parts.iter().map(|access| access.action.as_str()).collect();
    assert_eq!(
        actions,
        ["PutItem", "UpdateItem", "ConditionCheckItem", "DeleteItem"]
            .map(|name| format!("dynamodb:{name}"))
    );
    assert_eq!(
        parts[1].context["dynamodb:Attributes"],
        ["expires_at", "pk", "seen"]
    );
    for (action, body) in [
        (
            "Query",
            json!({"TableName": "t", "KeyConditionExpression": "other = :pk"}),
        ),
        (
            "PutItem",
            json!({"TableName": "t", "Item": {"id": {"S": "x"}}}),
        ),
        ("Scan", json!({"TableName": "t"})),
    ] {
        assert!(asked(action, &body).is_err(), "{action}");
    }
}
