//! Credentials of a profile that is named, and a table in another Region than the groups, on the local stack.

mod common;

use std::fs;

use common::{Done, bare, run};
use rulekeeper_local::{Identity, Stack, StackConfig};

const TABLE: &str = "rulekeeper";

fn stack() -> Stack {
    Stack::start(StackConfig {
        table: Some(TABLE.to_owned()),
        ..StackConfig::default()
    })
    .expect("loopback ports are to be had")
}

/// The command line with keys in the environment, and a profile `prod` with others in a file.
fn rulekeeper(stack: &Stack, arguments: &[&str]) -> Done {
    let folder = env!("CARGO_TARGET_TMPDIR");
    let file = format!("{folder}/credentials-{}", std::process::id());
    let profile = "[prod]\naws_access_key_id = AKIAPROD\naws_secret_access_key = local\n";
    fs::write(&file, profile).expect("a file");
    let mut command = bare(arguments);
    command
        .envs(stack.client_env())
        .env("RULEKEEPER_TABLE", TABLE)
        .env("AWS_SHARED_CREDENTIALS_FILE", file);
    run(command, "")
}

/// Account and Region of each call of the table.
fn table_calls(stack: &Stack) -> Vec<(String, String)> {
    let calls = stack.cloud().calls().into_iter();
    let calls = calls.filter(|call| call.service == "dynamodb");
    calls.map(|call| (call.account, call.region)).collect()
}

#[test]
fn a_profile_that_is_named_comes_before_keys_in_the_environment() {
    let stack = stack();
    let them = Identity::user("444455556666", "prod");
    stack.cloud().register("AKIAPROD", them);
    rulekeeper(&stack, &["list"]).exits(0);
    let here = ("111122223333".to_owned(), "us-east-1".to_owned());
    assert!(table_calls(&stack).iter().all(|call| *call == here));
    stack.cloud().clear_calls();
    // Their account has no such table.
    rulekeeper(&stack, &["list", "--profile", "prod"]).exits(1);
    let calls = table_calls(&stack);
    let there = ("444455556666".to_owned(), "us-east-1".to_owned());
    assert!(
        !calls.is_empty() && calls.iter().all(|call| *call == there),
        "{calls:?}"
    );
}

#[test]
fn the_table_may_be_in_another_region_than_the_groups() {
    let stack = stack();
    let elsewhere = ["list", "--region", "eu-west-1"];
    rulekeeper(&stack, &elsewhere).exits(1);
    stack.cloud().clear_calls();
    let found = [&elsewhere[..], &["--table-region", "us-east-1"]].concat();
    rulekeeper(&stack, &found).exits(0);
    let calls = table_calls(&stack);
    assert!(
        calls.iter().all(|(_, region)| region == "us-east-1"),
        "{calls:?}"
    );
}
