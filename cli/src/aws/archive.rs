//! The table as operators know it. The function calls none of this, and its role allows no deletion.

use aws_sdk_dynamodb::types::{Delete, ReturnValuesOnConditionCheckFailure, TransactWriteItem};
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::operator::{Archive, NewSettings, TakenOut};
use rulekeeper::aws::DynamoTable;
use rulekeeper::aws::attributes::{from_json, to_json};
use rulekeeper::aws::keys::{
    Item, SETTINGS, desired_key, history_key, incident_key, item, state_key, text,
};
use rulekeeper::aws::transaction::{Transaction, built};
use rulekeeper::aws::unchanged::Unchanged;
use rulekeeper_core::desired::{RECORD_ATTRIBUTES, SETTINGS_ATTRIBUTES};
use rulekeeper_core::model::{GroupAddress, Scope};
use rulekeeper_core::ports::{ApiError, WriteError};
use rulekeeper_core::report::incident::key_from;

fn settings_history_key() -> String {
    format!("history#{SETTINGS}")
}

/// The generations under a key, oldest first. A key that is no number is not ours.
async fn generations(table: &DynamoTable, pk: String) -> Result<Vec<(u64, Value)>, ApiError> {
    let items = table.query(pk, None).await?;
    let numbered = items.into_iter().filter_map(|item| {
        let number = item.get("sk")?.as_s().ok()?.parse().ok()?;
        Some((number, to_json(item)))
    });
    Ok(numbered.collect())
}

async fn delete(table: &DynamoTable, change: &TakenOut) -> Result<Transaction, ApiError> {
    let group = &change.address;
    let mut tombstone = match &change.tombstone {
        Value::Object(fields) => fields.clone(),
        _ => Map::new(),
    };
    tombstone.insert("generation".to_owned(), change.generation.into());
    let writes = |read: Option<&Item>| {
        let unchanged = Unchanged::since(read, &RECORD_ATTRIBUTES);
        let delete = Delete::builder()
            .table_name(table.name())
            .key("pk", text(desired_key(&group.scope)))
            .key("sk", text(group.id.as_str()))
            .condition_expression(unchanged.expression)
            .set_expression_attribute_names(unchanged.names)
            .set_expression_attribute_values(unchanged.values)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let delete = TransactWriteItem::builder().delete(built(delete.build())?);
        let replaced = read.cloned().unwrap_or_default();
        let before = change.generation.saturating_sub(1);
        Ok(vec![
            delete.build(),
            table.state_update(group, &change.state)?,
            table.archived(history_key(group), before, replaced)?,
            table.archived(history_key(group), change.generation, from_json(&tombstone))?,
        ])
    };
    table.transact(Some(&change.replaces), true, writes).await
}

async fn replace_settings(
    table: &DynamoTable,
    change: &NewSettings,
) -> Result<Transaction, ApiError> {
    let writes = |read: Option<&Item>| {
        let settings = item(
            SETTINGS.to_owned(),
            SETTINGS,
            from_json(&change.settings.to_json()),
        );
        let mut writes = vec![table.put_unless_changed(settings, read, &SETTINGS_ATTRIBUTES)?];
        if let Some(replaced) = read {
            let generation = change.settings.generation.saturating_sub(1);
            let replaced = replaced.clone();
            writes.push(table.archived(settings_history_key(), generation, replaced)?);
        }
        Ok(writes)
    };
    table
        .transact(change.replaces.as_ref(), false, writes)
        .await
}

impl Archive for DynamoTable {
    async fn history(&self, group: &GroupAddress) -> Result<Vec<(u64, Value)>, ApiError> {
        generations(self, history_key(group)).await
    }

    async fn all_states(&self, scope: &Scope) -> Result<Vec<(String, Value)>, ApiError> {
        self.by_group(state_key(scope)).await
    }

    async fn incidents(
        &self,
        group: &GroupAddress,
        since: Timestamp,
    ) -> Result<Vec<(String, Value)>, ApiError> {
        let items = self
            .query_from(incident_key(group), key_from(since))
            .await?;
        let keyed = items.into_iter().filter_map(|item| {
            let key = item.get("sk")?.as_s().ok()?.clone();
            Some((key, to_json(item)))
        });
        Ok(keyed.collect())
    }

    async fn take_out(&self, change: &TakenOut) -> Result<u64, WriteError> {
        let mut change = change.clone();
        let mut ended = delete(self, &change).await.map_err(WriteError::Api)?;
        if let Transaction::InHistory = ended {
            let latest = self.latest_in_history(history_key(&change.address)).await;
            change.generation = latest.map_err(WriteError::Api)? + 2;
            ended = delete(self, &change).await.map_err(WriteError::Api)?;
        }
        let group = change.address;
        match ended {
            Transaction::Written => Ok(change.generation),
            Transaction::StateChanged => Err(WriteError::StateChanged { group }),
            Transaction::Changed | Transaction::InHistory => Err(WriteError::LostRace { group }),
        }
    }

    async fn settings(&self) -> Result<Option<Value>, ApiError> {
        let [settings] = self.get_all([(SETTINGS.to_owned(), SETTINGS)]).await?;
        Ok(settings)
    }

    async fn settings_history(&self) -> Result<Vec<(u64, Value)>, ApiError> {
        generations(self, settings_history_key()).await
    }

    async fn write_settings(&self, change: &NewSettings) -> Result<Option<u64>, ApiError> {
        let mut change = change.clone();
        let mut ended = replace_settings(self, &change).await?;
        if let Transaction::InHistory = ended {
            let latest = self.latest_in_history(settings_history_key()).await?;
            change.settings.generation = latest + 2;
            ended = replace_settings(self, &change).await?;
        }
        match ended {
            Transaction::Written => Ok(Some(change.settings.generation)),
            _ => Ok(None),
        }
    }
}
