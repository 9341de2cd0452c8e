//! Where the function runs.

use crate::event::{Lookup, Sweep};
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
        }
    }

    /// Whether an event reports an authorize of this function itself. The function ignores such an event under every
    /// policy; otherwise it would answer itself without end. Lambda names a function's role sessions after the function
    /// (Lambda Developer Guide, "Defining Lambda function permissions with an execution role"). In other accounts we
    /// choose the session name.
    pub(super) fn made(&self, lookup: &Lookup) -> bool {
        let name = match self.is_foreign(&lookup.scope.account) {
            true => Some(SESSION_NAME),
            false => self.function.as_deref(),
        };
        let is_authorize = lookup.call.is_some_and(|call| !call.drops_rules());
        is_authorize && name.is_some() && lookup.trigger.session.as_deref() == name
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Intent, intent};

    #[test]
    fn own_authorizes_are_known_by_their_session() {
        let home = Home::of_function(
            "arn:aws:lambda:eu-west-1:111122223333:function:rulekeeper-stack:live",
        );
        let made = |account: &str, call: &str, session: &str| {
            let event = serde_json::json!({
                "eventName": call, "eventSource": "ec2.amazonaws.com", "awsRegion": "eu-west-1",
                "recipientAccountId": account, "requestParameters": {"groupId": "sg-0a"},
                "userIdentity": {"type": "AssumedRole", "principalId": format!("AROA1:{session}")},
            });
            match intent(&event) {
                Intent::Reconcile(lookup) => home.made(&lookup),
                other => panic!("{other:?}"),
            }
        };
        let (authorize, revoke) = (
            "AuthorizeSecurityGroupIngress",
            "RevokeSecurityGroupIngress",
        );
        assert!(made("111122223333", authorize, "rulekeeper-stack"));
        assert!(!made("111122223333", revoke, "rulekeeper-stack"));
        assert!(!made("111122223333", authorize, SESSION_NAME));
        assert!(made("444455556666", authorize, SESSION_NAME));
        assert!(!made("444455556666", authorize, "rulekeeper-stack"));
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
