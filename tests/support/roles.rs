//! The roles that the templates make, for a stack that judges the function's calls by them.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary is a crate of its own and uses its own part of this"
)]

use std::fs;
use std::path::Path;

use rulekeeper_local::{Destinations, Given, Policy, Role, StackConfig, Template};
use serde_json::Value;

/// The organization of all accounts.
pub const ORGANIZATION: &str = "o-exampleorg1";

/// The accounts that have the role of `template-member.yaml`.
pub const MEMBERS: [&str; 3] = ["444455556666", "555566667777", "777788889999"];

/// The names of the queues and of the bus that stand for those of `template.yaml`.
const SWEEPS: &str = "sweeps";
const DEAD: &str = "dead";
const RESULTS: &str = "results";

/// A role's ARN, and the statements of its policies and of its trust policy.
pub type Statements = (String, Vec<Value>, Vec<Value>);

fn template(name: &str) -> Template {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
    Template::parse(&text).expect("the template is YAML")
}

fn partition(region: &str) -> &'static str {
    match region.starts_with("us-gov-") {
        true => "aws-us-gov",
        false => "aws",
    }
}

/// The function's role, and the roles of the members if the function is told their name.
pub fn statements(config: &StackConfig) -> Vec<Statements> {
    let env = |name: &str| config.lambda.env.get(name).cloned().unwrap_or_default();
    let (region, account) = (config.region.as_str(), config.account.as_str());
    let partition = partition(region);
    let arn = |service: &str, resource: &str| {
        format!("arn:{partition}:{service}:{region}:{account}:{resource}")
    };
    let role = |account: &str, name: &str| format!("arn:{partition}:iam::{account}:role/{name}");
    let given = |account: &str, more: &[(&str, String)]| -> Given {
        let pseudo = [
            ("AWS::Partition", partition.to_owned()),
            ("AWS::Region", region.to_owned()),
            ("AWS::AccountId", account.to_owned()),
            ("OrganizationId", ORGANIZATION.to_owned()),
        ];
        let all = pseudo.iter().chain(more);
        all.map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect()
    };
    let log_group = format!("log-group:/aws/lambda/{}:*", config.lambda.name);
    let hub = given(
        account,
        &[
            ("MemberRoleName", env("RULEKEEPER_ROLE_NAME")),
            (
                "Table.Arn",
                arn("dynamodb", &format!("table/{}", env("RULEKEEPER_TABLE"))),
            ),
            ("LogGroup.Arn", arn("logs", &log_group)),
            ("SweepQueue.Arn", arn("sqs", SWEEPS)),
            ("FunctionDeadLetters.Arn", arn("sqs", DEAD)),
            (
                "ResultsBus.Arn",
                arn("events", &format!("event-bus/{RESULTS}")),
            ),
        ],
    );
    let of_template = |file: &str, name: &str, arn: String, given: &Given| -> Statements {
        let role = template(file).role(name, given);
        let (permissions, trust) = role.unwrap_or_else(|error| panic!("{file}: {error}"));
        (arn, permissions, trust)
    };
    let hub_arn = role(account, &config.function_role);
    let mut roles = vec![of_template(
        "template.yaml",
        "FunctionRole",
        hub_arn.clone(),
        &hub,
    )];
    let name = env("RULEKEEPER_ROLE_NAME");
    if !name.is_empty() {
        roles.extend(MEMBERS.map(|member| {
            let given = given(member, &[("HubRoleArn", hub_arn.clone())]);
            of_template(
                "template-member.yaml",
                "RestoreRole",
                role(member, &name),
                &given,
            )
        }));
    }
    roles
}

/// Lets the stack judge, and send what Lambda sends in the role's name. One statement may be left out, by its Sid.
pub fn judge(config: &mut StackConfig, without: Option<&str>) {
    let roles = statements(config).into_iter();
    let roles = roles.map(|(arn, mut permissions, trust)| {
        permissions.retain(|statement| without.is_none_or(|sid| statement["Sid"] != sid));
        Role {
            organization: Some(ORGANIZATION.to_owned()),
            permissions: Policy::new(&permissions).unwrap_or_else(|error| panic!("{arn}: {error}")),
            trust: Policy::trust(&trust).unwrap_or_else(|error| panic!("{arn}: {error}")),
            arn,
        }
    });
    config.roles = roles.collect();
    let (region, account) = (&config.region, &config.account);
    let arn = |rest: &str| format!("arn:{}:{rest}", partition(region));
    config.lambda.destinations = Destinations {
        on_success: Some(arn(&format!(
            "events:{region}:{account}:event-bus/{RESULTS}"
        ))),
        on_failure: Some(arn(&format!("sqs:{region}:{account}:{DEAD}"))),
    };
}
