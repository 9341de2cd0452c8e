//! The table as operators know it. The function calls none of this, and its role allows no deletion.

use aws_sdk_dynamodb::types::{Delete, ReturnValuesOnConditionCheckFailure, TransactWriteItem};
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::DynamoTable;
use super::attributes::{from_json, to_json};
use super::dynamodb::{SETTINGS, desired_key, history_key, incident_key, item, state_key, text};
use super::transaction::{Transaction, built};
use super::unchanged::{Item, Unchanged};
use crate::desired::{RECORD_ATTRIBUTES, SETTINGS_ATTRIBUTES};
use crate::error::ApiError;
use crate::incident::key_from;
use crate::model::{GroupAddress, Scope};
use crate::operator::{Archive, NewSettings, TakenOut};
use crate::ports::WriteError;

fn settings_history_key() -> String {
    format!("history#{SETTINGS}")
}

impl DynamoTable {
    /// The generations under a key, oldest first. What is no number was not written by us.
    async fn generations(&self, pk: String) -> Result<Vec<(u64, Value)>, ApiError> {
        let items = self.query(pk, None).await?;
        let numbered = items.iter().filter_map(|item| {
            let number = item.get("sk")?.as_s().ok()?.parse().ok()?;
            Some((number, to_json(item)))
        });
        Ok(numbered.collect())
    }

    async fn delete(&self, change: &TakenOut) -> Result<Transaction, ApiError> {
        let group = &change.address;
        let mut tombstone = match &change.tombstone {
            Value::Object(fields) => fields.clone(),
            _ => Map::new(),
        };
        tombstone.insert("generation".to_owned(), change.generation.into());
        let writes = |read: Option<&Item>| {
            let unchanged = Unchanged::since(read, &RECORD_ATTRIBUTES);
            let delete = Delete::builder()
                .table_name(&self.name)
                .key("pk", text(desired_key(&group.scope)))
                .key("sk", text(group.id.as_str()))
                .condition_expression(unchanged.expression)
                .set_expression_attribute_names(unchanged.names)
                .set_expression_attribute_values(unchanged.values)
                .return_values_on_condition_check_failure(
                    ReturnValuesOnConditionCheckFailure::AllOld,
                );
            let delete = TransactWriteItem::builder().delete(built(delete.build())?);
            let replaced = read.cloned().unwrap_or_default();
            let before = change.generation.saturating_sub(1);
            Ok(vec![
                delete.build(),
                self.state_update(group, &change.state)?,
                self.archived(history_key(group), before, replaced)?,
                self.archived(history_key(group), change.generation, from_json(&tombstone))?,
            ])
        };
        self.transact(Some(&change.replaces), true, writes).await
    }

    async fn replace_settings(&self, change: &NewSettings) -> Result<Transaction, ApiError> {
        let writes = |read: Option<&Item>| {
            let settings = item(
                SETTINGS.to_owned(),
                SETTINGS,
                from_json(&change.settings.to_json()),
            );
            let mut writes = vec![self.put_unless_changed(settings, read, &SETTINGS_ATTRIBUTES)?];
            if let Some(replaced) = read {
                let generation = change.settings.generation.saturating_sub(1);
                let replaced = replaced.clone();
                writes.push(self.archived(settings_history_key(), generation, replaced)?);
            }
            Ok(writes)
        };
        self.transact(change.replaces.as_ref(), false, writes).await
    }
}

impl Archive for DynamoTable {
    async fn history(&self, group: &GroupAddress) -> Result<Vec<(u64, Value)>, ApiError> {
        self.generations(history_key(group)).await
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
        let keyed = items.iter().filter_map(|item| {
            let key = item.get("sk")?.as_s().ok()?.clone();
            Some((key, to_json(item)))
        });
        Ok(keyed.collect())
    }

    async fn take_out(&self, change: &TakenOut) -> Result<u64, WriteError> {
        let mut change = change.clone();
        let mut ended = self.delete(&change).await.map_err(WriteError::Api)?;
        if let Transaction::InHistory = ended {
            let latest = self.latest_in_history(history_key(&change.address)).await;
            change.generation = latest.map_err(WriteError::Api)? + 2;
            ended = self.delete(&change).await.map_err(WriteError::Api)?;
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
        self.generations(settings_history_key()).await
    }

    async fn write_settings(&self, change: &NewSettings) -> Result<Option<u64>, ApiError> {
        let mut change = change.clone();
        let mut ended = self.replace_settings(&change).await?;
        if let Transaction::InHistory = ended {
            let latest = self.latest_in_history(settings_history_key()).await?;
            change.settings.generation = latest + 2;
            ended = self.replace_settings(&change).await?;
        }
        match ended {
            Transaction::Written => Ok(Some(change.settings.generation)),
            _ => Ok(None),
        }
    }
}
