//! Who is asking, and where.

use rulekeeper_core::function::permissions::Check;
use rulekeeper_core::model::Region;

use super::check::{failed, ok, skipped, unknown};
use super::facts::CallerFacts;
use crate::session::Caller;

pub(super) fn judge(facts: &CallerFacts, region: &Region) -> Vec<Check> {
    let check = match &facts.identity {
        Ok(Caller { account, arn }) => ok(
            "credentials",
            arn,
            format!("account {account}, Region {region}"),
        ),
        Err(error) => unknown("credentials", "STS", error, "sts:GetCallerIdentity"),
    };
    vec![check]
}

/// Without credentials no call can be made.
pub(super) fn without_credentials(reason: &str) -> Vec<Check> {
    let credentials = failed(
        "credentials",
        "this machine",
        format!("there are no AWS credentials to use: {reason}"),
    )
    .fix(
        "Name a profile with --profile or AWS_PROFILE, log in to it, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
    );
    let others = [
        "clock",
        "table",
        "records",
        "function",
        "event_rule",
        "schedule",
        "trail",
        "queue",
        "role",
        "operator",
    ];
    let others =
        others.map(|check| skipped(check, "-", "nothing can be asked without credentials"));
    std::iter::once(credentials).chain(others).collect()
}
