//! Writes a record and its history in one transaction: everything or nothing.

use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    CancellationReason, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};
use serde_json::{Map, Value};

use super::DynamoTable;
use super::attributes::{bytes_of, from_json, to_json};
use super::call::{api_error, out_of_time, unusable, whole, within};
use super::keys::{Item, desired_key, history_key, item, state_key, text};
use super::state_update::StateUpdate;
use super::unchanged::Unchanged;
use rulekeeper_core::decide::changes::GroupState;
use rulekeeper_core::desired::{RECORD_ATTRIBUTES, stays};
use rulekeeper_core::model::GroupAddress;
use rulekeeper_core::ports::{ApiError, Failure, NewGeneration};

/// The largest item that is written: DynamoDB takes 400 KB, names included ("Quotas", Amazon DynamoDB Developer Guide). An
/// item goes into history later, under a key that is longer by less than 256 bytes.
const ITEM_BYTES_MAX: usize = 400 * 1024 - 256;

/// The result of a transaction that reached the table.
pub enum Transaction {
    /// Everything was written.
    Written,
    /// The replaced item is not the one that was read.
    Changed,
    /// The run-time state is not the one that was read, or somebody is writing one of the items at this moment.
    StateChanged,
    /// History already holds a generation with that number.
    InHistory,
}

impl DynamoTable {
    /// Sends a transaction. Its first part is about the item that was read. If `with_state`, its second part is about
    /// the run-time state. The other parts go into history.
    ///
    /// The item that was read is JSON, in which a set looks like a list. If the condition fails and the present item is
    /// the same in JSON, the transaction is sent again with the present item.
    pub async fn transact(
        &self,
        read: Option<&Value>,
        with_state: bool,
        writes: impl Fn(Option<&Item>) -> Result<Vec<TransactWriteItem>, ApiError>,
    ) -> Result<Transaction, ApiError> {
        let as_read = read.and_then(Value::as_object).map(from_json);
        let (mut ended, there) = self.send(writes(as_read.as_ref())?, with_state).await?;
        if let (Transaction::Changed, Some(there), Some(read)) = (&ended, there, read)
            && without_keys(&to_json(there.clone())) == without_keys(read)
        {
            (ended, _) = self.send(writes(Some(&there))?, with_state).await?;
        }
        Ok(ended)
    }

    async fn send(
        &self,
        writes: Vec<TransactWriteItem>,
        with_state: bool,
    ) -> Result<(Transaction, Option<Item>), ApiError> {
        const OPERATION: &str = "TransactWriteItems";
        let request = self
            .client
            .transact_write_items()
            .set_transact_items(Some(writes))
            .customize()
            .interceptor(self.counting(OPERATION));
        let until = self.budget.bookkeeping_until();
        let Ok(sent) = tokio::time::timeout_at(until, request.send()).await else {
            return Err(out_of_time(OPERATION));
        };
        let Err(error) = sent else {
            return Ok((Transaction::Written, None));
        };
        let reasons = match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                cancelled.cancellation_reasons()
            }
            _ => &[],
        };
        let code = |reason: &CancellationReason, code: &str| reason.code() == Some(code);
        let failed = |reason: &CancellationReason| code(reason, "ConditionalCheckFailed");
        let history = if with_state { 2 } else { 1 };
        let conflict = reasons
            .iter()
            .any(|reason| code(reason, "TransactionConflict"));
        let state_changed = with_state && reasons.get(1).is_some_and(failed);
        if reasons.first().is_some_and(failed) {
            let there = reasons.first().and_then(|reason| reason.item.clone());
            return Ok((Transaction::Changed, there));
        }
        if conflict || state_changed {
            return Ok((Transaction::StateChanged, None));
        }
        if reasons.iter().skip(history).any(failed) {
            return Ok((Transaction::InHistory, None));
        }
        let mut failed = api_error(OPERATION, &error);
        // The whole transaction is cancelled. The reason of a part shows whether another try could succeed.
        let reason = reasons.iter().find(|reason| !code(reason, "None"));
        if let Some(cancelled) = reason.and_then(CancellationReason::code) {
            failed.failure = Failure::Refused {
                code: cancelled.to_owned(),
            };
        }
        Err(failed)
    }

    /// Writes the record, the run-time state and the replaced record's place in history, in this order.
    pub async fn replace(&self, change: &NewGeneration) -> Result<Transaction, ApiError> {
        let group = &change.address;
        let writes = |read: Option<&Item>| {
            let record = item(
                desired_key(&group.scope),
                group.id.as_str(),
                from_json(&change.record.to_json()),
            );
            let mut writes = vec![
                self.put_unless_changed(record, read, &RECORD_ATTRIBUTES)?,
                self.state_update(group, &change.state)?,
            ];
            if let Some(replaced) = read {
                let generation = change.record.generation.saturating_sub(1);
                writes.push(self.archived(history_key(group), generation, replaced.clone())?);
            }
            Ok(writes)
        };
        self.transact(change.replaces.as_ref(), true, writes).await
    }

    /// Puts an item on condition that the present item is the one that was read. Attributes that are not known stay: a
    /// later version may have written them.
    ///
    /// # Errors
    /// When the item is larger than DynamoDB takes, 400 KB.
    pub fn put_unless_changed(
        &self,
        mut item: Item,
        read: Option<&Item>,
        known: &[&str],
    ) -> Result<TransactWriteItem, ApiError> {
        let unknown = read.into_iter().flatten();
        for (name, value) in unknown.filter(|(name, _)| stays(name, known)) {
            item.insert(name.clone(), value.clone());
        }
        let bytes = bytes_of(&item);
        if bytes > ITEM_BYTES_MAX {
            return Err(ApiError {
                operation: "TransactWriteItems",
                failure: Failure::Refused {
                    code: "ItemTooLarge".to_owned(),
                },
                message: format!(
                    "this makes an item of {} KB, and DynamoDB takes 400 KB; keep fewer rules in it, or shorten \
                     descriptions and tags",
                    bytes.div_ceil(1024)
                ),
            });
        }
        let unchanged = Unchanged::since(read, known);
        let put = Put::builder()
            .table_name(&self.name)
            .set_item(Some(item))
            .condition_expression(unchanged.expression)
            .set_expression_attribute_names(unchanged.names)
            .set_expression_attribute_values(unchanged.values)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        Ok(TransactWriteItem::builder()
            .put(built(put.build())?)
            .build())
    }

    /// Puts a generation into history. Nothing there is ever overwritten.
    pub fn archived(
        &self,
        pk: String,
        generation: u64,
        replaced: Item,
    ) -> Result<TransactWriteItem, ApiError> {
        let put = Put::builder()
            .table_name(&self.name)
            .set_item(Some(item(pk, &format!("{generation:012}"), replaced)))
            .condition_expression("attribute_not_exists(pk)");
        Ok(TransactWriteItem::builder()
            .put(built(put.build())?)
            .build())
    }

    /// Writes the run-time state with a record. A mark that the group does not exist goes, so that sweeps look at it
    /// again.
    pub fn state_update(
        &self,
        group: &GroupAddress,
        state: &GroupState,
    ) -> Result<TransactWriteItem, ApiError> {
        let unmarked = GroupState {
            orphaned_at: None,
            ..state.clone()
        };
        let StateUpdate {
            update,
            condition,
            names,
            values,
        } = StateUpdate::of(&unmarked);
        let update = Update::builder()
            .table_name(&self.name)
            .key("pk", text(state_key(&group.scope)))
            .key("sk", text(group.id.as_str()))
            .update_expression(update)
            .condition_expression(condition)
            .set_expression_attribute_names(Some(names))
            .set_expression_attribute_values(Some(values));
        Ok(TransactWriteItem::builder()
            .update(built(update.build())?)
            .build())
    }

    /// The highest generation under a key of history, or 0 if there is none. Only the last key is read: a history may
    /// have a thousand generations of large records.
    ///
    /// # Errors
    /// When history cannot be read.
    pub async fn latest_in_history(&self, pk: String) -> Result<u64, ApiError> {
        const OPERATION: &str = "Query";
        let request = self
            .by_keys("pk = :pk AND sk < :letters")
            .expression_attribute_values(":pk", text(pk))
            .expression_attribute_values(":letters", text(":"))
            .projection_expression("sk")
            .scan_index_forward(false)
            .limit(1)
            .customize()
            .interceptor(self.counting(OPERATION));
        let until = self.budget.bookkeeping_until();
        let page = within(until, OPERATION, request.send()).await?;
        let items = whole(OPERATION, "Items", page.items)?;
        let last = items.first().and_then(|item| item.get("sk"));
        let number = last.and_then(|sk| sk.as_s().ok()?.parse().ok());
        Ok(number.unwrap_or(0))
    }
}

fn without_keys(item: &Value) -> Map<String, Value> {
    let mut fields = item.as_object().cloned().unwrap_or_default();
    fields.retain(|name, _| !["pk", "sk"].contains(&name.as_str()));
    fields
}

/// A part of a transaction. The builder fails only if a required field is missing, and all are given here.
pub fn built<T>(range: Result<T, BuildError>) -> Result<T, ApiError> {
    range.map_err(|error| unusable("TransactWriteItems", error))
}
