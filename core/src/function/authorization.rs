//! Whether the role may authorize in an account and Region, tried once an hour: if it may not, no rule could come back.
//!
//! A try is a dry run, and CloudTrail records it as a call that failed.

use super::permissions::{TryGroups, sample};
use crate::model::{GroupRange, Scope};
use crate::ports::{ApiError, ScopeTable, Table, Verdict, without_encoded_part};
use crate::report::Permission;

/// Tries it, and compares with what was noted before. `None` if nothing is refused and nothing was, if nothing is recorded,
/// and if the try proves nothing, such as for a group that is gone.
pub(super) async fn look<E: TryGroups, T: Table + ScopeTable>(
    ec2: &E,
    table: &T,
    scope: &Scope,
) -> Result<Option<Permission>, ApiError> {
    let all = GroupRange::default();
    let (page, marks) = tokio::join!(table.desired_page(scope, &all), table.marks(scope, &all));
    let (mut items, gone) = (page?.items, marks?.orphaned);
    items.retain(|(name, _)| name.parse().is_ok_and(|id| !gone.contains(&id)));
    if items.is_empty() {
        return Ok(None);
    }
    let sample = sample(&items, scope);
    // A call with tags proves both permissions.
    let tagged = ec2.try_authorize(&sample.group, &sample.tagged).await;
    let (authorize, tag, said) = match tagged {
        Ok(()) => (true, true, None),
        Err(tagged) if is_refused(&tagged) => {
            match ec2.try_authorize(&sample.group, &sample.plain).await {
                Ok(()) => (
                    true,
                    false,
                    Some(said("tag the rules that it authorizes", &tagged)),
                ),
                Err(error) if is_refused(&error) => {
                    (false, false, Some(said("authorize rules", &error)))
                }
                Err(_) => return Ok(None),
            }
        }
        Err(_) => return Ok(None),
    };
    let before = table.known_scopes().await?.refused.remove(scope);
    if said != before {
        table.note_refused(scope, said.as_deref()).await?;
    }
    Ok(permission(scope, (authorize, tag), said, before))
}

/// What is worth saying, from what EC2 said now and before.
fn permission(
    scope: &Scope,
    (authorize, tag): (bool, bool),
    said: Option<String>,
    before: Option<String>,
) -> Option<Permission> {
    let changed = said != before;
    let found = match (said, before) {
        (None, None) => return None,
        (None, Some(before)) => format!("{scope}: no longer true: {before}"),
        (Some(said), _) => format!("{scope}: {said}"),
    };
    Some(Permission {
        authorize,
        tag,
        changed,
        found,
    })
}

fn is_refused(error: &ApiError) -> bool {
    error.verdict() == Verdict::Denied
}

fn said(what: &str, error: &ApiError) -> String {
    // The encoded part differs each time.
    let why = without_encoded_part(&error.message);
    format!("the role may not {what}: {}: {why}", error.code())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::group;

    #[test]
    fn a_refusal_is_said_each_time_and_is_new_once() {
        let refused = || Some("the role may not authorize rules: no".to_owned());
        let said = |said, before| {
            let permission = permission(&group().scope, (false, false), said, before)?;
            Some((permission.changed, permission.found))
        };
        assert_eq!(said(None, None), None);
        let found = |text: &str| {
            format!("111122223333/eu-west-1: {text}the role may not authorize rules: no")
        };
        assert_eq!(said(refused(), None), Some((true, found(""))));
        assert_eq!(said(refused(), refused()), Some((false, found(""))));
        assert_eq!(
            said(None, refused()),
            Some((true, found("no longer true: ")))
        );
    }
}
