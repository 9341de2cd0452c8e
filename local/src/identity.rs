//! Callers: the `userIdentity` of CloudTrail records (CloudTrail User Guide, "CloudTrail userIdentity element") and the account behind an access key.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{ids, times};

/// A principal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The account that the calls act in.
    pub account: String,
    /// The principal's ARN, empty for a service.
    pub arn: String,
    /// `userIdentity` as CloudTrail shows it, without the access key.
    pub user_identity: Value,
    /// The source of the call in records: an address or a service's name.
    pub source_ip: Option<String>,
    /// Replaces the `User-Agent` of the request in records, as AWS does when a service calls.
    pub user_agent: Option<String>,
}

impl Identity {
    /// The ARN of the role whose session this is.
    pub(crate) fn role(&self) -> Option<&str> {
        self.user_identity["sessionContext"]["sessionIssuer"]["arn"].as_str()
    }

    /// An IAM user.
    #[must_use]
    pub fn user(account: &str, name: &str) -> Self {
        let arn = format!("arn:aws:iam::{account}:user/{name}");
        let user = json!({
            "type": "IAMUser", "principalId": ids::iam("AIDA"), "arn": arn, "accountId": account, "userName": name,
        });
        Self::raw(account, &arn, user)
    }

    /// A role session.
    #[must_use]
    pub fn assumed_role(account: &str, role: &str, session: &str) -> Self {
        let arn = format!("arn:aws:sts::{account}:assumed-role/{role}/{session}");
        let principal = ids::iam("AROA");
        let user = json!({
            "type": "AssumedRole", "principalId": format!("{principal}:{session}"), "arn": arn, "accountId": account,
            "sessionContext": {
                "sessionIssuer": {
                    "type": "Role", "principalId": principal, "arn": format!("arn:aws:iam::{account}:role/{role}"),
                    "accountId": account, "userName": role,
                },
                "attributes": { "creationDate": times::to_the_second(), "mfaAuthenticated": "false" },
            },
        });
        Self::raw(account, &arn, user)
    }

    /// The same principal in the partition of a Region, where ARNs begin in another way.
    #[must_use]
    pub fn in_partition_of(mut self, region: &str) -> Self {
        let start = format!("arn:{}:", ids::partition(region));
        let moved = |arn: &str| arn.replacen("arn:aws:", &start, 1);
        self.arn = moved(&self.arn);
        let issuer = "/sessionContext/sessionIssuer/arn";
        for pointer in ["/arn", issuer] {
            if let Some(Value::String(arn)) = self.user_identity.pointer_mut(pointer) {
                *arn = moved(arn);
            }
        }
        self
    }

    /// A Kubernetes service account on EKS: a role session with web identity federation, whose `attributes` are an object.
    ///
    /// Published EKS records have this shape (AWS Marketplace documentation).
    #[must_use]
    pub fn eks_service_account(
        account: &str,
        role: &str,
        session: &str,
        provider_arn: &str,
    ) -> Self {
        let mut identity = Self::assumed_role(account, role, session);
        identity.user_identity["sessionContext"]["webIdFederationData"] =
            json!({ "federatedProvider": provider_arn, "attributes": {} });
        identity
    }

    /// The account's root user.
    #[must_use]
    pub fn root(account: &str) -> Self {
        let arn = format!("arn:aws:iam::{account}:root");
        let user =
            json!({ "type": "Root", "principalId": account, "arn": arn, "accountId": account });
        Self::raw(account, &arn, user)
    }

    /// An AWS service that acts for itself: hardly more than `invokedBy`.
    #[must_use]
    pub fn service(account: &str, name: &str) -> Self {
        let mut identity = Self::raw(
            account,
            "",
            json!({ "type": "AWSService", "invokedBy": name }),
        );
        identity.source_ip = Some(name.to_owned());
        identity.user_agent = Some(name.to_owned());
        identity
    }

    /// Any `userIdentity`, for shapes that no constructor makes.
    #[must_use]
    pub fn raw(account: &str, arn: &str, user_identity: Value) -> Self {
        Self {
            account: account.to_owned(),
            arn: arn.to_owned(),
            user_identity,
            source_ip: None,
            user_agent: None,
        }
    }

    /// The same principal with a service calling on its behalf, such as `cloudformation.amazonaws.com`.
    #[must_use]
    pub fn invoked_by(mut self, service: &str) -> Self {
        self.user_identity["invokedBy"] = json!(service);
        self.source_ip = Some(service.to_owned());
        self.user_agent = Some(service.to_owned());
        self
    }
}

/// What the admin API takes at `PUT /_local/identities/ACCESS_KEY`.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "type")]
pub(crate) enum NewIdentity {
    #[serde(rename = "IAMUser")]
    User {
        account: String,
        name: String,
        invoked_by: Option<String>,
    },
    AssumedRole {
        account: String,
        role: String,
        session: String,
        invoked_by: Option<String>,
    },
    EksServiceAccount {
        account: String,
        role: String,
        session: String,
        provider: String,
    },
    Root {
        account: String,
    },
    #[serde(rename = "AWSService")]
    Service {
        account: String,
        name: String,
    },
    Raw {
        account: String,
        arn: String,
        user_identity: Value,
    },
}

impl From<NewIdentity> for Identity {
    fn from(new: NewIdentity) -> Self {
        let with = |identity: Self, service: Option<String>| match service {
            Some(service) => identity.invoked_by(&service),
            None => identity,
        };
        match new {
            NewIdentity::User {
                account,
                name,
                invoked_by,
            } => with(Self::user(&account, &name), invoked_by),
            NewIdentity::AssumedRole {
                account,
                role,
                session,
                invoked_by,
            } => with(Self::assumed_role(&account, &role, &session), invoked_by),
            NewIdentity::EksServiceAccount {
                account,
                role,
                session,
                provider,
            } => Self::eks_service_account(&account, &role, &session, &provider),
            NewIdentity::Root { account } => Self::root(&account),
            NewIdentity::Service { account, name } => Self::service(&account, &name),
            NewIdentity::Raw {
                account,
                arn,
                user_identity,
            } => Self::raw(&account, &arn, user_identity),
        }
    }
}

/// The origin of a call, from its headers.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// The principal.
    pub(crate) identity: Identity,
    /// The access key id, empty if the call is not signed.
    pub(crate) access_key: String,
    /// The Region of the credential scope.
    pub(crate) region: String,
    /// The `User-Agent`.
    pub(crate) user_agent: String,
    /// The `Host`, for `tlsDetails`.
    pub(crate) host: String,
}

/// Access key, Region and service of an `Authorization` header (AWS SigV4: `Credential=KEY/DATE/REGION/SERVICE/aws4_request`).
pub(crate) fn credential(authorization: &str) -> Option<(&str, &str, &str)> {
    let (_, rest) = authorization.split_once("Credential=")?;
    let mut parts = rest.split([',', ' ']).next()?.split('/');
    let (key, _date, region, service) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    Some((key, region, service))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_credential_scope_is_read() {
        let header = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/eu-west-1/ec2/aws4_request, SignedHeaders=host";
        assert_eq!(
            credential(header),
            Some(("AKIDEXAMPLE", "eu-west-1", "ec2"))
        );
        assert_eq!(credential("Bearer x"), None);
    }

    #[test]
    fn web_identity_attributes_are_an_object() {
        let identity = Identity::eks_service_account(
            "111122223333",
            "lbc",
            "s",
            "arn:aws:iam::111122223333:oidc-provider/x",
        );
        assert_eq!(
            identity.user_identity["sessionContext"]["webIdFederationData"]["attributes"],
            json!({})
        );
    }
}
