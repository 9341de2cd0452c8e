//! The table's items about sweeps.

use std::sync::PoisonError;

use aws_sdk_dynamodb::types::AttributeValue;

use super::DynamoTable;
use super::call::{out_of_time, within};
use super::keys::text;
use rulekeeper_core::model::Scope;
use rulekeeper_core::ports::{ApiError, KnownScopes, ScopeTable};

/// The partition key of the items of all scopes. The sort key is `ACCOUNT#REGION`.
const FLEET: &str = "fleet";

/// The attribute with the last group of an unfinished sweep.
const AFTER: &str = "after";

fn scope_key(scope: &Scope) -> String {
    format!("{}#{}", scope.account, scope.region)
}

fn scope_of_key(key: &str) -> Option<Scope> {
    let (account, region) = key.split_once('#')?;
    Some(Scope {
        account: account.parse().ok()?,
        region: region.parse().ok()?,
    })
}

impl ScopeTable for DynamoTable {
    async fn known_scopes(&self) -> Result<KnownScopes, ApiError> {
        let query = self.query(FLEET.to_owned(), None);
        let items = tokio::time::timeout_at(self.budget.bookkeeping_until(), query).await;
        let items = items.unwrap_or_else(|_| Err(out_of_time("Query")))?;
        let read = |item: &super::keys::Item| {
            let scope = scope_of_key(item.get("sk")?.as_s().ok()?)?;
            let after = item.get(AFTER).and_then(|after| after.as_s().ok()).cloned();
            Some((scope, after))
        };
        Ok(KnownScopes {
            scopes: items.iter().filter_map(read).collect(),
        })
    }

    async fn remember_scope(&self, scope: &Scope) -> Result<(), ApiError> {
        const OPERATION: &str = "UpdateItem";
        let known = || self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
        if known().contains(scope) {
            return Ok(());
        }
        // An update without changes creates the item if it is absent, and leaves a present item as it is.
        let request = self
            .client
            .update_item()
            .table_name(&self.name)
            .key("pk", text(FLEET))
            .key("sk", text(scope_key(scope)))
            .customize()
            .interceptor(self.counting(OPERATION));
        within(self.budget.bookkeeping_until(), OPERATION, request.send()).await?;
        known().insert(scope.clone());
        Ok(())
    }

    async fn go_on_after(&self, scope: &Scope, group: Option<&str>) -> Result<(), ApiError> {
        const OPERATION: &str = "UpdateItem";
        let update = self
            .client
            .update_item()
            .table_name(&self.name)
            .key("pk", text(FLEET))
            .key("sk", text(scope_key(scope)))
            .expression_attribute_names("#after", AFTER);
        let update = match group {
            Some(group) => update
                .update_expression("SET #after = :after")
                .expression_attribute_values(":after", AttributeValue::S(group.to_owned())),
            None => update.update_expression("REMOVE #after"),
        };
        let request = update.customize().interceptor(self.counting(OPERATION));
        within(self.budget.bookkeeping_until(), OPERATION, request.send()).await?;
        Ok(())
    }
}
