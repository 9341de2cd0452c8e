//! Tries what the credentials allow. Each call here is a read, a dry run, or a write whose condition is never true.

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_ec2::config::ProvideCredentials as _;

use super::Clients;
use super::call::{causes, within};
use super::dynamodb::DynamoTable;
use super::ec2::{Ec2, permissions, tag_specifications};
use super::keys::text;
use rulekeeper_core::decide::plan::Batch;
use rulekeeper_core::function::permissions::{
    Ec2Read, NOWHERE, TableWrite, TryClouds, TryGroups, TryTable,
};
use rulekeeper_core::model::{GroupId, IngressRule, Scope};
use rulekeeper_core::ports::{ApiError, Budget, Failure};

/// The smallest page of these describes (EC2 API Reference). The prefix lists allow a smaller one.
const SMALLEST_PAGE: i32 = 5;

/// No item meets this condition.
const NEVER: &str = "attribute_exists(pk) AND attribute_not_exists(pk)";

/// The error for a call that succeeded and must not.
fn succeeded(operation: &'static str) -> ApiError {
    ApiError {
        operation,
        failure: Failure::Unusable,
        message: "it succeeded, which a call that can change nothing should not".to_owned(),
    }
}

/// Counts a refusal with this code as success, because the code proves the permission.
fn proven<T>(
    operation: &'static str,
    proof: &str,
    answer: Result<T, ApiError>,
) -> Result<(), ApiError> {
    match answer {
        Ok(_) => Err(succeeded(operation)),
        Err(error) if error.code() == proof => Ok(()),
        Err(error) => Err(error),
    }
}

impl TryGroups for Ec2 {
    async fn try_read(&self, read: Ec2Read) -> Result<(), ApiError> {
        let client = &self.reading;
        let page = SMALLEST_PAGE;
        match read {
            Ec2Read::Rules => {
                let call = client.describe_security_group_rules().max_results(page);
                within(self.deadline, "DescribeSecurityGroupRules", call.send()).await?;
            }
            Ec2Read::Groups => {
                let call = client.describe_security_groups().max_results(page);
                within(self.deadline, "DescribeSecurityGroups", call.send()).await?;
            }
            Ec2Read::Vpcs => {
                let call = client.describe_vpcs().max_results(page);
                within(self.deadline, "DescribeVpcs", call.send()).await?;
            }
            Ec2Read::PrefixLists => {
                let call = client.describe_managed_prefix_lists().max_results(page);
                within(self.deadline, "DescribeManagedPrefixLists", call.send()).await?;
            }
        }
        Ok(())
    }

    /// The only authorize here. It is always a dry run.
    async fn try_authorize(&self, group: &GroupId, rule: &IngressRule) -> Result<(), ApiError> {
        const TRIED: &str = "AuthorizeSecurityGroupIngress";
        let batch = Batch {
            rules: vec![rule.clone()],
            tags: rule.tags.clone(),
        };
        let call = self
            .changing
            .authorize_security_group_ingress()
            .dry_run(true)
            .group_id(group.as_str())
            .set_ip_permissions(Some(permissions(&batch)))
            .set_tag_specifications(tag_specifications(&batch.tags));
        let answer = within(self.deadline, TRIED, call.send()).await;
        proven(TRIED, "DryRunOperation", answer)
    }
}

impl TryTable for DynamoTable {
    async fn try_write(&self, write: TableWrite, scope: &Scope) -> Result<(), ApiError> {
        let Scope { account, region } = scope;
        let kind = match write {
            TableWrite::Record => "desired",
            TableWrite::History => "history",
            TableWrite::Incident => "incident",
            TableWrite::State => "state",
        };
        let pk = text(format!("{kind}#{account}#{region}"));
        match write {
            TableWrite::State => self.try_update(pk).await,
            _ => self.try_put(pk, text(NOWHERE)).await,
        }
    }
}

impl DynamoTable {
    async fn try_put(&self, pk: AttributeValue, sk: AttributeValue) -> Result<(), ApiError> {
        const TRIED: &str = "PutItem";
        let call = self
            .client
            .put_item()
            .table_name(&self.name)
            .item("pk", pk)
            .item("sk", sk)
            .condition_expression(NEVER);
        let answer = within(self.budget.calls_until, TRIED, call.send()).await;
        proven(TRIED, "ConditionalCheckFailedException", answer)
    }

    async fn try_update(&self, pk: AttributeValue) -> Result<(), ApiError> {
        const TRIED: &str = "UpdateItem";
        let call = self
            .client
            .update_item()
            .table_name(&self.name)
            .key("pk", pk)
            .key("sk", text(NOWHERE))
            .update_expression("SET tried = :now")
            .expression_attribute_values(":now", text(NOWHERE))
            .condition_expression(NEVER);
        let answer = within(self.budget.calls_until, TRIED, call.send()).await;
        proven(TRIED, "ConditionalCheckFailedException", answer)
    }
}

impl TryClouds for Clients {
    async fn try_assume(
        &self,
        scope: &Scope,
        budget: Budget,
    ) -> Option<(String, Result<(), String>)> {
        let role = self.role_in(scope)?;
        let provider = self.role_provider(&role).await;
        let assumed = tokio::time::timeout_at(budget.calls_until, provider.provide_credentials());
        let result = match assumed.await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(causes(&error)),
            Err(_) => Err("the time ran out during the call".to_owned()),
        };
        Some((role, result))
    }
}
