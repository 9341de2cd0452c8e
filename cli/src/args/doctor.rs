//! The verb that checks everything rulekeeper needs.

use clap::Args;
use rulekeeper_core::model::{AccountId, Region, Scope};

const DOCTOR_HELP: &str = "\
Checks the table, the records, the function and its role, the event rules, the trail, the dead-letter queues, the clocks
and your own permissions, and says how to fix what is wrong. It changes nothing: it tries an authorize as a dry run, and a
write on a condition that cannot hold. Only the function can tell what its role allows, so doctor invokes it.
Exit code 1 means that something is broken or could not be found out; with warnings alone it is 0.

Examples:
  rulekeeper doctor
  rulekeeper doctor --pre --region eu-west-1
  rulekeeper doctor --function rulekeeper-Function-1A2B3C --scope 444455556666/eu-central-1
  rulekeeper doctor -o json | jq -r '.items[] | select(.outcome == \"failed\") | .subject, .fix'";

#[derive(Debug, Args)]
#[command(after_help = DOCTOR_HELP)]
pub(crate) struct Doctor {
    /// The function [default: the one whose environment has our table]
    #[arg(long, env = "RULEKEEPER_FUNCTION", value_name = "NAME")]
    pub(crate) function: Option<String>,
    /// Another account and Region whose role the function should try; may be repeated
    #[arg(long = "scope", value_name = "ACCOUNT/REGION", value_parser = scope)]
    pub(crate) scopes: Vec<Scope>,
    /// Have the function try its role in all accounts and Regions that the table knows
    #[arg(long, conflicts_with = "pre")]
    pub(crate) all_scopes: bool,
    /// Look only at what is there before anything is deployed: credentials, clock, trail, EC2; no table is needed
    #[arg(long)]
    pub(crate) pre: bool,
}

fn scope(text: &str) -> Result<Scope, String> {
    let (account, region) = text
        .split_once('/')
        .ok_or("give an account and a Region, such as 444455556666/eu-central-1")?;
    Ok(Scope {
        account: account
            .parse::<AccountId>()
            .map_err(|error| error.to_string())?,
        region: region
            .parse::<Region>()
            .map_err(|error| error.to_string())?,
    })
}
