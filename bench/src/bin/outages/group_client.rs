//! The calls of one principal about one group.

use rulekeeper_bench::client::{ApiError, Client};

use crate::rules::{Described, permissions, rules_in};

/// A client for one group.
#[derive(Debug, Clone)]
pub(crate) struct GroupClient {
    client: Client,
    group: String,
}

impl GroupClient {
    pub(crate) fn new(client: Client, group: &str) -> Self {
        let group = group.to_owned();
        Self { client, group }
    }

    /// The same principal's client for another group.
    pub(crate) fn of_group(&self, group: &str) -> Self {
        Self::new(self.client.clone(), group)
    }

    /// DescribeSecurityGroups.
    pub(crate) async fn read(&self) -> Result<Described, ApiError> {
        let permissions = self.client.ingress_permissions(&self.group).await?;
        Ok(rules_in(&permissions))
    }

    /// RevokeSecurityGroupIngress by properties, in one call.
    pub(crate) async fn revoke(&self, rules: &Described) -> Result<(), ApiError> {
        self.client.revoke(&self.group, permissions(rules)).await
    }

    /// AuthorizeSecurityGroupIngress, in one call.
    pub(crate) async fn authorize(&self, rules: &Described) -> Result<(), ApiError> {
        self.client.authorize(&self.group, permissions(rules)).await
    }
}
