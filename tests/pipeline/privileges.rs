//! Least privilege: the templates allow what the function needs, and nothing else. Every feature is used once, and then each
//! part of the policies is taken away: without it, one of the calls is refused, or one that nobody makes is allowed.

use std::collections::BTreeSet;

use rulekeeper_local::{Access, Ec2, Fault, Identity, Judged, Params, Policy, StackConfig};
use serde_json::{Value, json};

use crate::fleet::add_queue;
use crate::support::roles::{self, MEMBERS, Statements};
use crate::support::{ACCOUNT, Scene, rule_json};

const OFFICE: &str = "tcp 443 from 10.0.0.0/8";
const OLD: &str = "tcp 22 from 10.0.0.0/8";
const NOWHERE: &str = "tcp 80 from pl-0bad0bad0bad0bad0";
const REGION: &str = "eu-west-1";

fn settings(config: &mut StackConfig) {
    add_queue(config);
    // A watch lasts for one second of these.
    config.lambda.timeout = std::time::Duration::from_secs(15);
    let env = &mut config.lambda.env;
    env.insert(
        "RULEKEEPER_ROLE_NAME".to_owned(),
        "rulekeeper-member".to_owned(),
    );
    // For it, the entries of prefix lists are read.
    let never = "tcp 22 from 0.0.0.0/0".to_owned();
    env.insert("RULEKEEPER_NEVER".to_owned(), never);
}

/// A group in the default VPC, its rules recorded: one has tags, and one names a prefix list that does not exist.
async fn keep(scene: &Scene, account: &str, ec2: &Ec2) -> String {
    let quiet = ec2.clone().quietly();
    let vpc = quiet.default_vpc().expect("there is one");
    let group = quiet.create_group("kept", &vpc).expect("a group");
    let tags = [("team", "web")];
    let authorized = quiet.authorize_described(&group, OFFICE, "office", &tags);
    authorized.expect("good");
    quiet.authorize(&group, &[OLD]).expect("good");
    let mut rules = [OFFICE, OLD, NOWHERE].map(rule_json);
    rules[0]["tags"] = json!({"team": "web"});
    let accepted = format!("arn:aws:iam::{account}:role/terraform");
    let record = json!({"schema": 1, "generation": 1, "rules": rules, "cause_wait_seconds": 0,
        "principals": [{"arn": accepted, "policy": "accept"}]});
    scene.table.put_desired(account, &group, &record).await;
    group
}

/// Everything that makes the function call EC2 or the table in an account.
async fn use_every_feature(scene: &Scene, account: &str) {
    let ec2 = scene
        .stack
        .cloud()
        .ec2()
        .acting_as(Identity::user(account, "ana"));
    let group = keep(scene, account, &ec2).await;
    // A rule is lost, by a call that names the group only by its name, and its event tells no id.
    let by_name = Params::from_pairs([
        ("GroupName", "kept"),
        ("IpProtocol", "tcp"),
        ("FromPort", "443"),
        ("ToPort", "443"),
        ("CidrIp", "10.0.0.0/8"),
    ]);
    let revoked = ec2.call("RevokeSecurityGroupIngress", &by_name);
    revoked.expect("default VPCs take names");
    scene.settle().await;
    assert_eq!(ec2.rules(&group), [OLD, OFFICE], "{:#?}", scene.answers());
    // Another one is closed on purpose, and leaves the record.
    let terraform = Identity::assumed_role(account, "terraform", "session");
    let terraform = ec2.clone().acting_as(terraform);
    terraform.revoke(&group, &[OLD]).expect("live");
    scene.settle().await;
    assert_eq!(ec2.rules(&group), [OFFICE]);
    let history = format!("history#{account}#{REGION}#{group}");
    assert_eq!(
        scene.table.items(&history).await.len(),
        1,
        "{:#?}",
        scene.answers()
    );
}

/// The requests that the features lead to.
async fn requests() -> (Vec<Statements>, BTreeSet<Judged>) {
    let scene = Scene::with(settings).await;
    let cloud = scene.stack.cloud();
    cloud.adjust(|dials| dials.omit_revoked_rule_set = true);
    let [member, broken, _] = MEMBERS;
    for account in [ACCOUNT, member] {
        use_every_feature(&scene, account).await;
    }
    // Sweeps of every account, handed over by the queue.
    scene.stack.bridge().schedule("sweep");
    scene.settle().await;
    assert!(
        !scene.stack.buses().events().is_empty(),
        "the sweeps' results are told"
    );
    let request = json!({"watch": {"every_seconds": 1}});
    let watched = scene.stack.lambda().invoke(request).await.payload;
    assert_eq!(watched["watch"]["failed_reads"], 0, "{watched}");
    // An event that is given up.
    let ec2 = cloud.ec2().acting_as(Identity::user(broken, "ana"));
    let group = keep(&scene, broken, &ec2).await;
    cloud.inject(Fault::error("AssumeRole", "ExpiredTokenException", 400).always());
    ec2.revoke(&group, &[OFFICE]).expect("live");
    scene.settle().await;
    assert_eq!(scene.stack.lambda().dead_letters().len(), 1);
    let mut config = StackConfig {
        region: REGION.to_owned(),
        ..StackConfig::default()
    };
    settings(&mut config);
    let env = &mut config.lambda.env;
    env.insert("RULEKEEPER_TABLE".to_owned(), scene.table.name.clone());
    let judged = cloud.iam().judged();
    assert!(judged.iter().all(|judged| judged.allowed));
    (roles::statements(&config), judged)
}

/// Calls like this one that the function never makes: of other things, elsewhere, or with other contents.
fn temptations(access: &Access) -> Vec<Access> {
    let mut found = Vec::new();
    if let Some(resource) = &access.resource {
        let mut elsewhere = vec![format!("{resource}-other")];
        for (ours, other) in [
            (REGION, "ap-south-1"),
            (ACCOUNT, "999999999999"),
            (MEMBERS[0], "999999999999"),
            ("security-group-rule/", "instance/"),
            ("security-group/", "instance/"),
            ("/aws/lambda/", "/aws/other/"),
            ("arn:aws:", "arn:aws-cn:"),
        ] {
            elsewhere.push(resource.replace(ours, other));
        }
        found.extend(elsewhere.into_iter().map(|resource| Access {
            resource: Some(resource),
            ..access.clone()
        }));
    }
    let mut with = |key: &str, values: &[&str]| {
        if let Some(real) = access.context.get(key) {
            let values = values.iter().map(|value| (*value).to_owned());
            let all = match key {
                "dynamodb:Attributes" => real.iter().cloned().chain(values).collect(),
                _ => values.collect(),
            };
            let mut changed = access.clone();
            changed.context.insert(key.to_owned(), all);
            found.push(changed);
        }
    };
    for key in [
        "settings",
        "desired#x",
        "history#x",
        "incident#x",
        "state#x",
        "fleet",
    ] {
        with("dynamodb:LeadingKeys", &[key]);
    }
    with("dynamodb:Attributes", &["expires_at"]);
    with("ec2:CreateAction", &["RunInstances"]);
    with("aws:ResourceOrgID", &["o-somebodyelse1"]);
    with("aws:PrincipalOrgID", &["o-somebodyelse1"]);
    let mut alone = access.clone();
    if alone.context.remove("ec2:CreateAction").is_some() {
        found.push(alone);
    }
    found
}

/// Statements with a part less, and what was taken.
type Less = Vec<(String, Vec<Value>)>;

/// The statements without each statement, and without each value of a list in one.
fn narrower(statements: &[Value]) -> Less {
    let mut all = Less::new();
    for (place, statement) in statements.iter().enumerate() {
        let sid = statement["Sid"]
            .as_str()
            .expect("every statement has a Sid");
        let mut without = statements.to_vec();
        without.remove(place);
        all.push((sid.to_owned(), without));
        let conditions = statement["Condition"].as_object().into_iter().flatten();
        let values = conditions.flat_map(|(operator, keys)| {
            let keys = keys.as_object().into_iter().flatten();
            keys.map(move |(key, _)| format!("/Condition/{operator}/{}", key.replace('/', "~1")))
        });
        // With fewer forbidden values a request is not refused but allowed: that is a wider policy.
        let values = values.filter(|path| !path.contains("Not"));
        for path in values.chain(["/Action".to_owned(), "/Resource".to_owned()]) {
            let list = statement.pointer(&path).and_then(Value::as_array);
            // With an empty list there is no statement left.
            let list = list.filter(|list| list.len() > 1);
            for number in 0..list.map_or(0, Vec::len) {
                let mut less = statements.to_vec();
                let list = less[place].pointer_mut(&path).and_then(Value::as_array_mut);
                let taken = list.expect("it is a list").remove(number);
                all.push((format!("{sid}: {taken} of {path}"), less));
            }
        }
    }
    all
}

/// The statements without each condition, and with each resource widened to all.
fn wider(statements: &[Value]) -> Less {
    let mut all = Less::new();
    for (place, statement) in statements.iter().enumerate() {
        let sid = statement["Sid"]
            .as_str()
            .expect("every statement has a Sid");
        if statement
            .get("Resource")
            .is_some_and(|resource| resource != "*")
        {
            let mut more = statements.to_vec();
            more[place]["Resource"] = "*".into();
            all.push((format!("{sid}: on every resource"), more));
        }
        for (operator, keys) in statement["Condition"].as_object().into_iter().flatten() {
            for key in keys.as_object().into_iter().flatten().map(|(key, _)| key) {
                let mut more = statements.to_vec();
                let condition = more[place]["Condition"].as_object_mut().expect("operators");
                let keys = condition[operator].as_object_mut().expect("keys");
                keys.remove(key);
                if keys.is_empty() {
                    condition.remove(operator);
                }
                if condition.is_empty() {
                    more[place]
                        .as_object_mut()
                        .expect("elements")
                        .remove("Condition");
                }
                all.push((format!("{sid}: without {operator} {key}"), more));
            }
        }
    }
    all
}

fn allowed(statements: &[Value], caller: &str, requests: &[Access]) -> BTreeSet<Access> {
    let is_trust = |statement: &Value| statement.get("Principal").is_some();
    let policy = match statements.iter().all(is_trust) {
        true => Policy::trust(statements),
        false => Policy::new(statements),
    };
    let policy = policy.expect("a policy");
    let allowed = requests.iter().filter(|access| {
        let allowed = policy.allows(caller, access);
        allowed.expect("the request can be judged")
    });
    allowed.cloned().collect()
}

/// The parts that could be taken away without a difference.
fn idle_parts(name: &str, statements: &[Value], caller: &str, made: &[Access]) -> Vec<String> {
    let tempting: Vec<Access> = made.iter().flat_map(temptations).collect();
    let now = [made, &tempting].map(|requests| allowed(statements, caller, requests));
    assert_eq!(now[0].len(), made.len(), "{name}: every call is allowed");
    let mut idle = Vec::new();
    for (part, less) in narrower(statements) {
        if allowed(&less, caller, made) == now[0] {
            idle.push(format!("{name}: no call needs {part}"));
        }
    }
    for (part, more) in wider(statements) {
        if allowed(&more, caller, &tempting) == now[1] {
            idle.push(format!("{name}: nothing shows what {part} would allow"));
        }
    }
    idle
}

#[tokio::test]
async fn every_part_of_the_policies_is_needed_and_none_is_wider_than_the_calls() {
    let (roles, judged) = requests().await;
    let made_by = |role: &str| -> Vec<Access> {
        let made = judged.iter().filter(|judged| judged.role == role);
        made.map(|judged| judged.access.clone()).collect()
    };
    let [(hub, of_hub, _), (member, of_member, trust), ..] = &roles[..] else {
        panic!("the function's role, and a member's: {roles:#?}")
    };
    let assumed: Vec<Access> = made_by(hub)
        .into_iter()
        .filter(|access| access.resource.as_ref() == Some(member))
        .collect();
    let mut idle = idle_parts("template.yaml", of_hub, hub, &made_by(hub));
    idle.extend(idle_parts(
        "template-member.yaml",
        of_member,
        member,
        &made_by(member),
    ));
    idle.extend(idle_parts("its trust policy", trust, hub, &assumed));
    assert!(idle.is_empty(), "{idle:#?}\n{judged:#?}");
    let somebody = "arn:aws:iam::999999999999:role/somebody";
    assert!(allowed(trust, somebody, &assumed).is_empty());

    // What everything else is safe from, in so many words.
    let mut forbidden = Vec::new();
    for (role, ours) in [(hub, REGION), (hub, ACCOUNT), (member, MEMBERS[0])] {
        for access in made_by(role) {
            // Prefix lists are shared between accounts, and may be read wherever they come from.
            if access.action == "ec2:GetManagedPrefixListEntries" && ours != REGION {
                continue;
            }
            let other = |name: &String| match access.action.split(':').next() {
                Some("dynamodb" | "sqs" | "events" | "sts") => format!("{name}-other"),
                _ => name.replace(ours, "999999999999"),
            };
            let elsewhere = access
                .resource
                .iter()
                .flat_map(|arn| [other(arn), arn.replace(ours, "999999999999")]);
            let elsewhere = elsewhere.filter(|arn| access.resource.as_ref() != Some(arn));
            forbidden.extend(elsewhere.map(|arn| Access {
                resource: Some(arn),
                ..access.clone()
            }));
        }
    }
    for access in &assumed {
        let mut access = access.clone();
        let outside = vec!["o-somebodyelse1".to_owned()];
        access
            .context
            .insert("aws:ResourceOrgID".to_owned(), outside);
        forbidden.push(access);
    }
    let table = format!("arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/");
    let group = format!("arn:aws:ec2:{REGION}:{ACCOUNT}:security-group/sg-0a");
    for access in made_by(hub)
        .iter()
        .filter(|access| access.action.starts_with("dynamodb:"))
    {
        let on = |action: &str, key: &str, attribute: Option<&str>| {
            let mut access = access.clone();
            access.action = format!("dynamodb:{action}");
            access
                .context
                .insert("dynamodb:LeadingKeys".to_owned(), vec![key.to_owned()]);
            let attributes = attribute.into_iter().map(str::to_owned).collect();
            access
                .context
                .insert("dynamodb:Attributes".to_owned(), attributes);
            access
        };
        assert!(
            access
                .resource
                .as_ref()
                .is_some_and(|arn| arn.starts_with(&table))
        );
        for key in [
            "settings",
            "desired#1",
            "history#1",
            "incident#1",
            "state#1",
            "fleet",
        ] {
            forbidden
                .extend(["DeleteItem", "BatchWriteItem", "Scan"].map(|verb| on(verb, key, None)));
        }
        forbidden.extend(["PutItem", "UpdateItem"].map(|verb| on(verb, "settings", None)));
        forbidden.push(on("UpdateItem", "desired#1", None));
        forbidden.push(on("PutItem", "desired#1", Some("expires_at")));
        forbidden.push(on("PutItem", "history#1", Some("expires_at")));
        forbidden.push(on("PutItem", "state#1", None));
    }
    for verb in [
        "RevokeSecurityGroupIngress",
        "ModifySecurityGroupRules",
        "DeleteSecurityGroup",
        "DeleteTags",
    ] {
        forbidden.push(Access::new(&format!("ec2:{verb}"), Some(group.clone())));
    }
    for (role, statements) in [(hub, of_hub), (member, of_member)] {
        assert_eq!(allowed(statements, role, &forbidden), BTreeSet::new());
    }
}

#[tokio::test]
async fn a_call_that_the_policy_does_not_allow_is_refused_as_aws_refuses_it() {
    for (sid, said) in [
        ("AuthorizeIngress", "UnauthorizedOperation"),
        ("ReadGroups", "UnauthorizedOperation"),
        ("ReadTable", "AccessDeniedException"),
        ("WriteIncidents", "AccessDeniedException"),
        ("WriteState", "AccessDeniedException"),
    ] {
        let scene = Scene::lacking(Some(sid), |_| {}).await;
        scene.keep(&[OFFICE]).await;
        let revoked = scene.stack.cloud().ec2().revoke(&scene.group, &[OFFICE]);
        revoked.expect("live");
        let settled = scene
            .stack
            .lambda()
            .wait_idle(std::time::Duration::from_secs(40));
        settled.await.expect("it ends");
        let told = scene.answer().to_string();
        assert!(told.contains(said), "{sid}: {told}");
        assert!(!scene.stack.cloud().iam().refusals().is_empty(), "{sid}");
    }
}
