//! The local cloud, and the operator's command line in it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use rulekeeper_local::{Delivery, LambdaConfig, Stack, StackConfig};

use crate::{Failure, programs};

/// The table with the records.
pub const TABLE: &str = "rulekeeper";

/// Starts a cloud with nothing in it but the table. Events go nowhere until they are let.
pub fn start(function: Option<PathBuf>) -> Result<Stack, Failure> {
    let mut lambda = function.map_or_else(LambdaConfig::default, LambdaConfig::program);
    let table = ("RULEKEEPER_TABLE".to_owned(), TABLE.to_owned());
    lambda.env.extend([table]);
    Ok(Stack::start(StackConfig {
        region: "eu-west-1".to_owned(),
        table: Some(TABLE.to_owned()),
        lambda,
        delivery: Delivery {
            event_names: BTreeSet::new(),
            ..Delivery::default()
        },
        ..StackConfig::default()
    })?)
}

/// The CLI with these arguments, which finds nothing but this cloud: credentials and profiles of whoever watches stay
/// out of it.
pub fn command(stack: &Stack, arguments: &[&str]) -> Result<Command, Failure> {
    let mut command = Command::new(programs::cli()?);
    command
        .args(arguments)
        .env_clear()
        .envs(stack.client_env())
        .env("RULEKEEPER_TABLE", TABLE);
    Ok(command)
}
