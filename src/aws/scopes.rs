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

/// The attribute with what EC2 said when it refused the role an authorize.
const REFUSED: &str = "refused";

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
        let mut known = KnownScopes::default();
        for item in &items {
            let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok());
            let Some(scope) = text("sk").and_then(|key| scope_of_key(key)) else {
                continue;
            };
            let refused = text(REFUSED).map(|said| (scope.clone(), said.clone()));
            known.refused.extend(refused);
            known.scopes.insert(scope, text(AFTER).cloned());
        }
        Ok(known)
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

    async fn note_refused(&self, scope: &Scope, said: Option<&str>) -> Result<(), ApiError> {
        self.note(scope, REFUSED, said).await
    }

    async fn go_on_after(&self, scope: &Scope, group: Option<&str>) -> Result<(), ApiError> {
        self.note(scope, AFTER, group).await
    }
}

impl DynamoTable {
    /// Sets an attribute of a scope's item, or takes it away.
    async fn note(&self, scope: &Scope, name: &str, value: Option<&str>) -> Result<(), ApiError> {
        const OPERATION: &str = "UpdateItem";
        let update = self
            .client
            .update_item()
            .table_name(&self.name)
            .key("pk", text(FLEET))
            .key("sk", text(scope_key(scope)))
            .expression_attribute_names("#name", name);
        let update = match value {
            Some(value) => update
                .update_expression("SET #name = :value")
                .expression_attribute_values(":value", AttributeValue::S(value.to_owned())),
            None => update.update_expression("REMOVE #name"),
        };
        let request = update.customize().interceptor(self.counting(OPERATION));
        within(self.budget.bookkeeping_until(), OPERATION, request.send()).await?;
        Ok(())
    }
}
