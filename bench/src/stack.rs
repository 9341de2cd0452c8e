//! The local stack as all programs start it, and the operator's command line on it.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rulekeeper_local::{Delivery, LambdaConfig, Stack, StackConfig};

use crate::{Result, programs};

/// The table with the records.
pub const TABLE: &str = "rulekeeper";

/// A stack with the table, and with the function if there is one.
pub fn config(function: Option<PathBuf>) -> StackConfig {
    let mut lambda = function.map_or_else(LambdaConfig::default, LambdaConfig::program);
    let table = ("RULEKEEPER_TABLE".to_owned(), TABLE.to_owned());
    lambda.env.extend([table]);
    StackConfig {
        region: "eu-west-1".to_owned(),
        table: Some(TABLE.to_owned()),
        lambda,
        ..StackConfig::default()
    }
}

/// Starts the stack. The function gets no events until the caller names some in the bridge.
///
/// # Errors
/// When the stack does not start.
pub fn start_without_events(function: Option<PathBuf>) -> Result<Stack> {
    let delivery = Delivery {
        event_names: BTreeSet::new(),
        ..Delivery::default()
    };
    Ok(Stack::start(StackConfig {
        delivery,
        ..config(function)
    })?)
}

/// Runs `rulekeeper` with these arguments and this input, and returns what it prints.
///
/// It gets no environment but the stack's, so credentials and profiles of the user have no effect.
///
/// # Errors
/// When it does not start, or exits with another code.
pub fn run_cli(stack: &Stack, arguments: &[&str], input: &str, code: i32) -> Result<String> {
    let mut child = Command::new(programs::cli()?)
        .args(arguments)
        .env_clear()
        .envs(stack.client_env())
        .env("RULEKEEPER_TABLE", TABLE)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    let printed = String::from_utf8(output.stdout)?;
    if output.status.code() != Some(code) {
        let command = arguments.join(" ");
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(format!(
            "`rulekeeper {command}` exited with {}: {printed}{errors}",
            output.status
        )
        .into());
    }
    Ok(printed)
}
