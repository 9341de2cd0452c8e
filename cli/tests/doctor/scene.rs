//! A stack in which everything is as it should be, and what `doctor` says of it.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_ec2::config::{Credentials, Region};

use rulekeeper_local::{Estate, Fault, LambdaConfig, QueueConfig, Stack, StackConfig};
use serde_json::Value;

use crate::common::{ACCOUNT, Done, REGION, bare, run};

pub(crate) const TABLE: &str = "rulekeeper";
pub(crate) const WEB: &str = "tcp 443 from 10.0.0.0/8";
pub(crate) const MEMBER: &str = "444455556666/eu-central-1";
/// Part of the ARN that the function's calls come from, and of that of our own.
pub(crate) const FUNCTION: &str = "assumed-role/rulekeeper-function";
pub(crate) const OPERATOR: &str = "user/local";
/// The dead-letter queues.
pub(crate) const RULE_FAILURES: &str = "rule-failures";
pub(crate) const FUNCTION_FAILURES: &str = "function-failures";

/// The topics of alarms and notices.
pub(crate) const TOPICS: [&str; 2] = ["alarms", "notices"];

/// The function's program, beside the command line's: cargo builds it with the workspace.
pub(crate) fn function() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_rulekeeper")).with_file_name("rulekeeper-function");
    let hint = "`cargo test --workspace` builds it, and so does any test of the function's own";
    assert!(
        program.is_file(),
        "{} is missing: {hint}",
        program.display()
    );
    program
}

pub(crate) async fn sdk(endpoint: &str) -> aws_config::SdkConfig {
    let credentials = Credentials::new("AKIALOCALOPERATOR000", "local", None, None, "test");
    let loader = aws_config::from_env()
        .region(Region::new(REGION))
        .endpoint_url(endpoint)
        .credentials_provider(credentials);
    rulekeeper::aws::load_sdk_config(loader, None).await
}

pub(crate) fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

/// A stack in which everything is as it should be, and one group is kept.
pub(crate) struct Scene {
    pub(crate) stack: Stack,
    pub(crate) group: String,
    pub(crate) dynamodb: aws_sdk_dynamodb::Client,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut StackConfig)) -> Self {
        let mut lambda = LambdaConfig::program(function());
        let variables = [("TABLE", TABLE), ("ROLE_NAME", "rulekeeper-member")];
        let variables =
            variables.map(|(name, value)| (format!("RULEKEEPER_{name}"), value.to_owned()));
        lambda.env.extend(variables);
        let topics = TOPICS.map(|name| format!("arn:aws:sns:{REGION}:{ACCOUNT}:{name}"));
        let names = ("RULEKEEPER_TOPICS".to_owned(), topics.join(" "));
        lambda.env.extend([names]);
        let mut config = StackConfig {
            account: ACCOUNT.to_owned(),
            region: REGION.to_owned(),
            table: Some(TABLE.to_owned()),
            queues: [RULE_FAILURES, FUNCTION_FAILURES]
                .map(QueueConfig::named)
                .into(),
            lambda,
            ..StackConfig::default()
        };
        change(&mut config);
        let has_table = config.table.is_some();
        let stack = Stack::start(config).expect("loopback ports are to be had");
        stack.cloud().adjust_estate(|estate| {
            for rule in &mut estate.rules {
                rule.dead_letters = Some(RULE_FAILURES.to_owned());
            }
            estate.function.on_failure = Some(FUNCTION_FAILURES.to_owned());
            estate.topics = TOPICS.map(|name| (name.to_owned(), 1)).into();
        });
        let ec2 = stack.cloud().ec2().quietly();
        let vpc = ec2.create_vpc("10.0.0.0/16").expect("a VPC");
        let group = ec2.create_group("web", &vpc).expect("a group");
        ec2.authorize(&group, &[WEB]).expect("a rule");
        let dynamodb = aws_sdk_dynamodb::Client::new(&sdk(&stack.endpoint()).await);
        let scene = Self {
            stack,
            group,
            dynamodb,
        };
        if has_table {
            scene.rulekeeper(&["pin", &scene.group]).exits(0);
        }
        scene.stack.cloud().clear_calls();
        scene
    }

    pub(crate) fn rulekeeper(&self, arguments: &[&str]) -> Done {
        let mut command = bare(arguments);
        command
            .envs(self.stack.client_env())
            .env("RULEKEEPER_TABLE", TABLE);
        run(command, "")
    }

    /// Everything that is not well, by `check subject: outcome`.
    pub(crate) fn doctor(&self, arguments: &[&str], code: i32) -> BTreeMap<String, Value> {
        let done = self.rulekeeper(&[&["doctor"], arguments].concat());
        let done = done.exits(code).json();
        let checks = done["items"].as_array().expect("a list").iter();
        let name = |check: &Value| {
            let part = |name: &str| check[name].as_str().expect("text").to_owned();
            format!("{} {}: {}", part("check"), part("subject"), part("outcome"))
        };
        let wrong = checks.filter(|check| check["outcome"] != "ok");
        wrong.map(|check| (name(check), check.clone())).collect()
    }

    pub(crate) fn adjust(&self, change: impl FnOnce(&mut Estate)) {
        self.stack.cloud().adjust_estate(change);
    }

    /// An action is refused to callers with this in their ARN.
    pub(crate) fn refuse(&self, action: &str, code: &str, principal: &str) {
        let fault = Fault::error(action, code, 403).always().by(principal);
        self.stack.cloud().inject(fault);
    }

    /// Exactly this is wrong, whatever could not be looked at because of it.
    pub(crate) fn only(&self, code: i32, wrong: &str, found: &str, fix: &str) {
        let all = self.doctor(&[], code);
        assert_eq!(unskipped(&all), [wrong], "{all:#?}");
        said(&all[wrong], found, fix);
    }

    /// Writes an attribute of the group's record, as people do in the console.
    pub(crate) async fn write(&self, pk: &str, sk: &str, name: &str, value: AttributeValue) {
        let update = self.dynamodb.update_item().table_name(TABLE);
        let update = update
            .key("pk", text(pk))
            .key("sk", text(sk))
            .update_expression("SET #name = :value")
            .expression_attribute_names("#name", name)
            .expression_attribute_values(":value", value);
        update.send().await.expect("an attribute");
    }

    pub(crate) async fn write_record(&self, name: &str, value: AttributeValue) {
        let pk = format!("desired#{ACCOUNT}#{REGION}");
        self.write(&pk, &self.group, name, value).await;
    }

    pub(crate) async fn items(&self) -> Vec<HashMap<String, AttributeValue>> {
        let scan = self.dynamodb.scan().table_name(TABLE).send().await;
        scan.expect("a scan").items.unwrap_or_default()
    }
}

pub(crate) fn unskipped(all: &BTreeMap<String, Value>) -> Vec<&str> {
    let wrong = all
        .iter()
        .filter(|(_, check)| check["outcome"] != "skipped");
    wrong.map(|(name, _)| name.as_str()).collect()
}

pub(crate) fn said(check: &Value, found: &str, fix: &str) {
    let says = |name: &str, text: &str| check[name].as_str().unwrap_or_default().contains(text);
    assert!(says("found", found), "{found}: {check:#}");
    assert!(says("fix", fix), "{fix}: {check:#}");
}
