//! Who is asking, and where.

use rulekeeper_core::function::permissions::Check;
use rulekeeper_core::model::Region;

use super::check::{failed, ok, skipped, unknown};
use super::facts::CallerFacts;
use crate::failure::Failure;
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
pub(super) fn without_credentials(failure: &Failure) -> Vec<Check> {
    let credentials = failed("credentials", "this machine", failure.to_string())
        .fix(failure.advice().unwrap_or_default());
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
