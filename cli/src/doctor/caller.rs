//! Who is asking, and where.

use rulekeeper_core::function::permissions::Check;
use rulekeeper_core::model::{AccountId, Region};
use rulekeeper_core::ports::ApiError;

use super::clock::Reading;
use super::{failed, ok, skipped, unknown};
use crate::session::Caller;

/// What STS says of the credentials, and when.
#[derive(Debug)]
pub(super) struct CallerFacts {
    pub(super) identity: Result<Caller, ApiError>,
    /// Had from a refusal too: a clock that is far off is refused.
    pub(super) clock: Option<Reading>,
}

impl CallerFacts {
    pub(super) fn account(&self) -> Option<&AccountId> {
        self.identity.as_ref().ok().map(|caller| &caller.account)
    }
}

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
