//! The two stories, each without rulekeeper and with it.

use rulekeeper_bench::Result;
use rulekeeper_bench::client::ApiError;

mod everything;
mod replacement;

pub(crate) use everything::everything_is_revoked;
pub(crate) use replacement::replacement_is_refused;

/// How the controller marks its rules.
const DESCRIPTION: &str = "elbv2.k8s.aws/targetGroupBinding=shared";

/// A row of the summary: the story, without rulekeeper, with it.
pub(crate) type Row = [String; 3];

/// The error that each story needs.
fn refused(result: Result<(), ApiError>) -> Result<ApiError> {
    match result {
        Err(error) if error.code == "InvalidGroup.NotFound" => Ok(error),
        Err(other) => Err(other.into()),
        Ok(()) => Err("EC2 accepted a rule from a group that does not exist".into()),
    }
}
