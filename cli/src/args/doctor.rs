//! The verb that looks at everything rulekeeper stands on.

use clap::Args;
use rulekeeper_core::model::{AccountId, Region, Scope};

const DOCTOR_HELP: &str = "\
Looks at the table, the records, the function and its role, the event rules, the trail, the dead-letter queues, the
clocks and your own permissions, and says how to fix what is wrong. Nothing is changed: an authorize is tried as a dry
run, a write on a condition that cannot hold. What the role allows only the function can tell, so it is invoked.
Exit code 1 says that something is broken or could not be found out; warnings end with 0.

Examples:
  rulekeeper doctor
  rulekeeper doctor --function rulekeeper-Function-1A2B3C --scope 444455556666/eu-central-1
  rulekeeper doctor --output json | jq -r '.checks[] | select(.outcome == \"failed\") | .subject, .fix'";

#[derive(Debug, Args)]
#[command(after_help = DOCTOR_HELP)]
pub(crate) struct Doctor {
    /// The function [default: the one whose environment has our table]
    #[arg(long, env = "RULEKEEPER_FUNCTION", value_name = "NAME")]
    pub(crate) function: Option<String>,
    /// Another account and Region whose role the function is to try; may be repeated
    #[arg(long = "scope", value_name = "ACCOUNT/REGION", value_parser = scope)]
    pub(crate) scopes: Vec<Scope>,
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
