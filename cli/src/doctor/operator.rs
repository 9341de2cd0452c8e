//! What these credentials may do themselves. Credentials that may only read are no fault, so each finding is a warning at
//! most.

use rulekeeper_core::function::permissions;
use rulekeeper_core::function::permissions::{Check, Outcome, Whose};
use rulekeeper_core::model::{AccountId, Scope};
use rulekeeper_core::ports::Table as _;

use super::check::{ok, skipped, warning};
use super::cloud::Cloud;
use crate::session::{GROUP_TIME, Session};

pub(super) fn unexamined(table_is_there: bool) -> Vec<Check> {
    let found = match table_is_there {
        true => "the account is not known",
        false => "there is no table",
    };
    vec![skipped("operator", "these credentials", found)]
}

pub(super) async fn examine(
    session: &Session,
    cloud: &Cloud,
    scope: &Scope,
    own: Option<&AccountId>,
) -> Vec<Check> {
    let table = match session.table_for(GROUP_TIME).await {
        Ok(table) => table,
        Err(failure) => {
            return vec![skipped(
                "operator",
                "these credentials",
                failure.to_string(),
            )];
        }
    };
    let reach = own == Some(&scope.account) || session.has_role();
    let of_ec2 = async {
        if !reach {
            return None;
        }
        let (ec2, _) = session.in_scope(scope).await.ok()?;
        let records = table.all_desired(scope).await.unwrap_or_default();
        let sample = permissions::sample(&records, scope);
        Some(permissions::try_ec2(&ec2, scope, &sample, Whose::Operator).await)
    };
    let (writes, of_ec2, settings, delete) = tokio::join!(
        permissions::write_table(&table, scope, Whose::Operator),
        of_ec2,
        cloud.try_settings(session.table_name().unwrap_or_default()),
        cloud.try_delete(session.table_name().unwrap_or_default()),
    );
    let tried = |action: &str, tried| vec![Whose::Operator.tried(action, "on the table", tried)];
    let mut checks = vec![
        judge("write records and incidents", writes),
        judge(
            "write the settings (principal add, remove)",
            tried("dynamodb:PutItem", settings),
        ),
        judge(
            "take records out (unpin)",
            tried("dynamodb:DeleteItem", delete),
        ),
    ];
    checks.push(match of_ec2 {
        Some(tried) => judge("look at groups and restore", tried),
        None => skipped(
            "operator",
            "look at groups and restore",
            "the account may not be that of the credentials, and --role-name names no role to assume there",
        ),
    });
    checks
}

/// One ability, by all that it needs.
pub(super) fn judge(ability: &str, tried: Vec<Check>) -> Check {
    let lacking: Vec<_> = tried
        .into_iter()
        .filter(|check| check.outcome == Outcome::Failed)
        .collect();
    if lacking.is_empty() {
        return ok(
            "operator",
            ability,
            "allowed, as far as a try without effect can tell",
        );
    }
    let list = |part: fn(&Check) -> String| {
        let mut parts: Vec<_> = lacking.iter().map(part).collect();
        parts.dedup();
        parts
    };
    let found = list(|check| format!("{}: {}", check.subject, check.found)).join("; ");
    let fix = list(|check| check.fix.clone().unwrap_or_default()).join(" ");
    warning("operator", ability, found).fix(fix)
}
