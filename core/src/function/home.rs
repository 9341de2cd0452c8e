//! Where the function runs.

use crate::event::{Call, Lookup, Sweep};
use crate::model::{AccountId, Region, Scope};
use crate::ports::SESSION_NAME;

/// Where the function runs, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Home {
    /// Its account.
    pub account: Option<AccountId>,
    /// Its Region.
    pub region: Option<Region>,
    /// Its name.
    pub function: Option<String>,
    /// The name of the function that watches, which has the same role.
    pub watch_function: Option<String>,
    /// The ARN of its role. Without it, our own calls in this account are known by the session's name alone.
    pub role: Option<String>,
    /// The name of the role that it assumes in other accounts. Without it, our own calls there are known by the session's
    /// name alone.
    pub member_role: Option<String>,
}

impl Home {
    /// Reads the ARN that Lambda gives with each invocation: `arn:aws:lambda:REGION:ACCOUNT:function:NAME`. Parts that
    /// are not valid are unknown.
    pub fn of_function(arn: &str) -> Self {
        let mut parts = arn.split(':').skip(3).map(str::to_owned);
        let region = parts.next().and_then(|range| range.parse().ok());
        let account = parts.next().and_then(|range| range.parse().ok());
        let function = parts.nth(1);
        Self {
            account,
            region,
            function,
            ..Self::default()
        }
    }

    /// Adds the name of the function that watches.
    #[must_use]
    pub fn with_watch(self, watch_function: Option<String>) -> Self {
        Self {
            watch_function,
            ..self
        }
    }

    /// Adds the ARN of the function's role, and the name of the role that it assumes in other accounts.
    #[must_use]
    pub fn with_roles(self, role: Option<String>, member_role: Option<String>) -> Self {
        Self {
            role,
            member_role,
            ..self
        }
    }

    /// Whether an event reports an authorize of this function itself, successful or not. The function ignores such an
    /// event under every policy; otherwise it would answer itself without end. Lambda names a function's role sessions
    /// after the function (Lambda Developer Guide, "Defining Lambda function permissions with an execution role"). In
    /// other accounts we choose the session name. Where the role is not known, the session's name decides alone, and the
    /// authorizes of any other role with a session of that name are ignored too.
    pub(super) fn made(&self, lookup: &Lookup) -> bool {
        let is_authorize = matches!(
            lookup.call,
            Some(Call::Authorize | Call::RefusedAuthorize | Call::TriedAuthorize)
        );
        let account = &lookup.scope.account;
        let (sessions, role) = match self.is_foreign(account) {
            true => (
                [Some(SESSION_NAME), None],
                self.member_role
                    .as_deref()
                    .map(|name| (account.as_str(), role_name(name))),
            ),
            false => (
                [self.function.as_deref(), self.watch_function.as_deref()],
                self.role.as_deref().and_then(account_and_role),
            ),
        };
        let caller = lookup.trigger.principal.as_deref();
        is_authorize
            && lookup.trigger.session.is_some()
            && sessions.contains(&lookup.trigger.session.as_deref())
            && (role.is_none() || role == caller.and_then(account_and_role))
    }

    /// The scope of a sweep: the one that the request names, otherwise home.
    pub(super) fn scope_of(&self, request: &Sweep) -> Option<Scope> {
        let account = request.account.clone().or_else(|| self.account.clone())?;
        let region = request.region.clone().or_else(|| self.region.clone())?;
        Some(Scope { account, region })
    }

    pub(super) fn is(&self, scope: &Scope) -> bool {
        self.account.as_ref() == Some(&scope.account) && self.region.as_ref() == Some(&scope.region)
    }

    pub(super) fn is_foreign(&self, account: &AccountId) -> bool {
        self.account.as_ref().is_some_and(|ours| ours != account)
    }
}

/// The account and the name of a role's ARN, without the path: names are unique in an account, and the ARNs of sessions
/// have no path.
fn account_and_role(arn: &str) -> Option<(&str, &str)> {
    let (front, role) = arn.split_once(":role/")?;
    Some((front.rsplit(':').next()?, role_name(role)))
}

/// A role's name without its path.
fn role_name(role: &str) -> &str {
    role.rsplit('/').next().unwrap_or(role)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Intent, intent};

    const OURS: &str = "111122223333";
    const MEMBER: &str = "444455556666";
    const AUTHORIZE: &str = "AuthorizeSecurityGroupIngress";

    fn home() -> Home {
        Home::of_function("arn:aws:lambda:eu-west-1:111122223333:function:rulekeeper-stack:live")
    }

    fn lookup(account: &str, call: &str, role: &str, session: &str) -> Lookup {
        let event = serde_json::json!({
            "eventName": call, "eventSource": "ec2.amazonaws.com", "awsRegion": "eu-west-1",
            "recipientAccountId": account, "requestParameters": {"groupId": "sg-0a"},
            "userIdentity": {
                "type": "AssumedRole", "principalId": format!("AROA1:{session}"),
                "sessionContext": {"sessionIssuer": {"arn": format!("arn:aws:iam::{account}:role/{role}")}},
            },
        });
        match intent(&event) {
            Intent::Reconcile(lookup) => *lookup,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn own_authorizes_are_known_by_their_session_where_the_role_is_not_known() {
        let made = |account: &str, call: &str, session: &str| {
            home().made(&lookup(account, call, "any", session))
        };
        assert!(made(OURS, AUTHORIZE, "rulekeeper-stack"));
        assert!(!made(OURS, AUTHORIZE, SESSION_NAME));
        assert!(made(MEMBER, AUTHORIZE, SESSION_NAME));
        assert!(!made(MEMBER, AUTHORIZE, "rulekeeper-stack"));
        for other in [
            "RevokeSecurityGroupIngress",
            "UpdateSecurityGroupRuleDescriptionsIngress",
        ] {
            assert!(!made(OURS, other, "rulekeeper-stack"), "{other}");
        }
    }

    #[test]
    fn another_role_with_our_sessions_name_is_not_us() {
        let home = home().with_roles(
            Some("arn:aws:iam::111122223333:role/path/rulekeeper-function".to_owned()),
            Some("path/rulekeeper-member".to_owned()),
        );
        let made = |account: &str, role: &str, session: &str| {
            home.made(&lookup(account, AUTHORIZE, role, session))
        };
        assert!(made(OURS, "path/rulekeeper-function", "rulekeeper-stack"));
        assert!(made(OURS, "rulekeeper-function", "rulekeeper-stack"));
        assert!(!made(OURS, "controller", "rulekeeper-stack"));
        assert!(!made(OURS, "path/rulekeeper-function", "by-hand"));
        assert!(made(MEMBER, "path/rulekeeper-member", SESSION_NAME));
        assert!(!made(MEMBER, "rulekeeper-function", SESSION_NAME));
        assert!(!made(MEMBER, "controller", SESSION_NAME));
    }

    #[test]
    fn a_role_of_our_name_in_another_account_is_not_ours() {
        let home = home().with_roles(
            Some("arn:aws:iam::999988887777:role/rulekeeper-function".to_owned()),
            None,
        );
        let event = lookup(OURS, AUTHORIZE, "rulekeeper-function", "rulekeeper-stack");
        assert!(!home.made(&event));
    }

    #[test]
    fn own_authorizes_that_failed_are_ours_too() {
        for call in [Call::RefusedAuthorize, Call::TriedAuthorize] {
            let event = Lookup {
                call: Some(call),
                ..lookup(OURS, AUTHORIZE, "any", "rulekeeper-stack")
            };
            assert!(home().made(&event), "{call:?}");
        }
        let event = Lookup {
            call: Some(Call::RefusedDelete),
            ..lookup(OURS, AUTHORIZE, "any", "rulekeeper-stack")
        };
        assert!(!home().made(&event));
    }

    #[test]
    fn home_is_read_from_the_functions_arn_as_far_as_it_goes() {
        let home = Home::of_function("arn:aws:lambda:eu-west-1:111122223333:function:rulekeeper");
        assert_eq!(
            home.region.map(|region| region.to_string()).as_deref(),
            Some("eu-west-1")
        );
        assert_eq!(
            home.account.map(|account| account.to_string()).as_deref(),
            Some("111122223333")
        );
        assert_eq!(home.function.as_deref(), Some("rulekeeper"));
        assert_eq!(Home::of_function("function"), Home::default());
        assert_eq!(
            Home::of_function("arn:aws:lambda:us-east-1:test:function:f").account,
            None
        );
    }
}
