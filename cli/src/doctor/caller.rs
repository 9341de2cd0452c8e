//! Who is asking, and where.

use rulekeeper_core::function::permissions::Check;
use rulekeeper_core::model::Region;
use rulekeeper_core::ports::ApiError;

use super::check::{failed, ok, skipped, unknown};
use super::facts::{CallerFacts, TableFacts};
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

/// Whether nothing can be asked at all, because of this: no service answers, or none knows these credentials. A refusal by
/// a policy is another thing.
pub(super) fn is_final(error: &ApiError, of_table: &TableFacts) -> bool {
    let denied = ["AccessDenied", "AccessDeniedException"];
    let by_policy = |error: &ApiError| denied.contains(&error.code());
    let of_table = of_table.description.as_ref().err();
    !by_policy(error) && of_table.is_some_and(|error| !by_policy(error))
}

/// Without credentials that are taken no call can be made. The clock is judged all the same, where it was told.
pub(super) fn without_credentials(failure: &Failure, clock: Check) -> Vec<Check> {
    let credentials = failed("credentials", "this machine", failure.to_string())
        .fix(failure.advice().unwrap_or_default());
    let others = [
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
    let others = others.map(|check| {
        skipped(
            check,
            "-",
            "nothing can be asked without credentials that are taken",
        )
    });
    [credentials, clock].into_iter().chain(others).collect()
}
