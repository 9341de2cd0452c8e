//! The table.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{BuildError, SdkError};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
};
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::attributes::{from_json, to_json};
use super::call::{CountAttempts, api_error, within};
use crate::error::{ApiError, Failure};
use crate::incident::Incident;
use crate::model::{GroupAddress, GroupId, Scope};
use crate::operator::{NewGeneration, Records, WriteError};
use crate::ports::{Calls, Table};

/// How often an incident is merged anew when somebody else writes it at the same moment.
const MERGES_MAX: usize = 5;

/// The table, for the time of one piece of work.
#[derive(Debug, Clone)]
pub struct DynamoTable {
    pub(super) client: Client,
    pub(super) name: String,
    pub(super) calls: Calls,
    /// The latest moment to wait for an answer while rules are being restored.
    pub(super) deadline: Instant,
    /// The latest moment to wait for an answer when only the incident is left to write.
    pub(super) record_deadline: Instant,
}

fn desired_key(scope: &Scope) -> String {
    format!("desired#{}#{}", scope.account, scope.region)
}

fn state_key(scope: &Scope) -> String {
    format!("state#{}#{}", scope.account, scope.region)
}

fn history_key(group: &GroupAddress) -> String {
    format!(
        "history#{}#{}#{}",
        group.scope.account, group.scope.region, group.id
    )
}

fn incident_key(group: &GroupAddress) -> String {
    format!(
        "incident#{}#{}#{}",
        group.scope.account, group.scope.region, group.id
    )
}

fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

/// An item's keys and the rest of it.
fn item(pk: String, sk: &str, attributes: &Map<String, Value>) -> HashMap<String, AttributeValue> {
    let mut item = from_json(attributes);
    item.insert("pk".to_owned(), text(pk));
    item.insert("sk".to_owned(), text(sk));
    item
}

impl DynamoTable {
    fn counting(&self, operation: &'static str) -> CountAttempts {
        CountAttempts {
            calls: self.calls.clone(),
            operation,
        }
    }

    async fn query(
        &self,
        pk: String,
        filter: Option<&str>,
    ) -> Result<Vec<HashMap<String, AttributeValue>>, ApiError> {
        const OPERATION: &str = "Query";
        let (mut items, mut start) = (Vec::new(), None);
        loop {
            let request = self
                .client
                .query()
                .table_name(&self.name)
                .consistent_read(true)
                .key_condition_expression("pk = :pk")
                .expression_attribute_values(":pk", text(pk.clone()))
                .set_filter_expression(filter.map(str::to_owned))
                .set_exclusive_start_key(start)
                .customize()
                .interceptor(self.counting(OPERATION));
            let page = within(self.deadline, OPERATION, request.send()).await?;
            items.extend(page.items.unwrap_or_default());
            start = page.last_evaluated_key.filter(|key| !key.is_empty());
            if start.is_none() {
                return Ok(items);
            }
        }
    }

    async fn get(&self, pk: String, sk: &str) -> Result<Option<Value>, ApiError> {
        const OPERATION: &str = "GetItem";
        let request = self
            .client
            .get_item()
            .table_name(&self.name)
            .consistent_read(true)
            .key("pk", text(pk))
            .key("sk", text(sk))
            .customize()
            .interceptor(self.counting(OPERATION));
        let found = within(self.deadline, OPERATION, request.send()).await?;
        Ok(found.item.as_ref().map(to_json))
    }

    /// Puts an incident on condition that its revision is still `revision`; answers with what is there when it is not.
    async fn put_incident(
        &self,
        incident: &Incident,
        revision: Option<&Value>,
    ) -> Result<Option<Map<String, Value>>, ApiError> {
        const OPERATION: &str = "PutItem";
        let put = self
            .client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(item(
                incident_key(&incident.group),
                &incident.key,
                &incident.attributes,
            )))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let put = match revision {
            None => put.condition_expression("attribute_not_exists(pk)"),
            Some(revision) => put
                .condition_expression("revision = :revision")
                .expression_attribute_values(":revision", AttributeValue::N(revision.to_string())),
        };
        let request = put.customize().interceptor(self.counting(OPERATION));
        let sent = tokio::time::timeout_at(self.record_deadline, request.send()).await;
        match sent {
            Ok(Ok(_)) => Ok(None),
            Ok(Err(SdkError::ServiceError(error)))
                if error.err().is_conditional_check_failed_exception() =>
            {
                let PutItemError::ConditionalCheckFailedException(failed) = error.into_err() else {
                    return Ok(Some(Map::new()));
                };
                match failed.item.as_ref().map(to_json) {
                    Some(Value::Object(written)) => Ok(Some(written)),
                    _ => Ok(Some(Map::new())),
                }
            }
            Ok(Err(error)) => Err(api_error(OPERATION, &error)),
            Err(_) => Err(ApiError {
                operation: OPERATION,
                failure: Failure::OutOfTime,
                message: "the invocation's time ran out during the call".to_owned(),
            }),
        }
    }
}

impl Table for DynamoTable {
    async fn desired(&self, group: &GroupAddress) -> Result<Option<Value>, ApiError> {
        self.get(desired_key(&group.scope), group.id.as_str()).await
    }

    async fn all_desired(&self, scope: &Scope) -> Result<Vec<(String, Value)>, ApiError> {
        let items = self.query(desired_key(scope), None).await?;
        let named = items.iter().map(|item| {
            let sk = item
                .get("sk")
                .and_then(|sk| sk.as_s().ok())
                .cloned()
                .unwrap_or_default();
            (sk, to_json(item))
        });
        Ok(named.collect())
    }

    async fn orphaned(&self, scope: &Scope) -> Result<BTreeSet<GroupId>, ApiError> {
        let items = self
            .query(state_key(scope), Some("attribute_exists(orphaned_at)"))
            .await?;
        Ok(items
            .iter()
            .filter_map(|item| item.get("sk")?.as_s().ok()?.parse().ok())
            .collect())
    }

    async fn mark_orphaned(&self, group: &GroupAddress, at: &str) -> Result<(), ApiError> {
        const OPERATION: &str = "UpdateItem";
        let request = self
            .client
            .update_item()
            .table_name(&self.name)
            .key("pk", text(state_key(&group.scope)))
            .key("sk", text(group.id.as_str()))
            .update_expression("SET orphaned_at = if_not_exists(orphaned_at, :at)")
            .expression_attribute_values(":at", text(at))
            .customize()
            .interceptor(self.counting(OPERATION));
        within(self.record_deadline, OPERATION, request.send()).await?;
        Ok(())
    }

    async fn record_incident(&self, incident: &Incident) -> Result<(), ApiError> {
        let mut incident = incident.clone();
        let mut revision = None;
        for _ in 0..MERGES_MAX {
            let next = revision.as_ref().and_then(Value::as_u64).unwrap_or(0) + 1;
            incident
                .attributes
                .insert("revision".to_owned(), next.into());
            let Some(mut written) = self.put_incident(&incident, revision.as_ref()).await? else {
                return Ok(());
            };
            revision = Some(written.get("revision").cloned().unwrap_or_else(|| 0.into()));
            for key in ["pk", "sk"] {
                written.remove(key);
            }
            incident.merge(&written);
            if incident.attributes.get("rules") == written.get("rules") {
                // What is written says all that we could add.
                return Ok(());
            }
        }
        Err(ApiError {
            operation: "PutItem",
            failure: Failure::Refused {
                code: "ConditionalCheckFailedException".to_owned(),
            },
            message: format!("the incident kept changing: gave up after {MERGES_MAX} tries"),
        })
    }
}

impl Records for DynamoTable {
    /// One transaction: the new generation, on condition that the present one is the one that was read, and the present
    /// one into history. Either both are written or nothing is. Any mark that the group is gone is taken off before, so
    /// that sweeps look for it again.
    ///
    /// Whoever writes items past these tools may have used a generation twice. History is never overwritten: the
    /// present record then goes behind the latest of it, and the new one counts on from there.
    async fn write(&self, change: &NewGeneration) -> Result<u64, WriteError> {
        self.unmark_orphaned(&change.address)
            .await
            .map_err(WriteError::Api)?;
        let mut change = change.clone();
        match self.transact(&change).await? {
            Transaction::Written => return Ok(change.record.generation),
            Transaction::Changed => {
                return Err(WriteError::LostRace {
                    group: change.address,
                });
            }
            Transaction::InHistory => {}
        }
        change.record.generation = self.latest_in_history(&change.address).await? + 2;
        match self.transact(&change).await? {
            Transaction::Written => Ok(change.record.generation),
            Transaction::Changed | Transaction::InHistory => Err(WriteError::LostRace {
                group: change.address,
            }),
        }
    }
}

/// How a transaction that reached the table ended.
enum Transaction {
    Written,
    /// The record is not the one that was read.
    Changed,
    /// History holds a generation of that number.
    InHistory,
}

impl DynamoTable {
    async fn transact(&self, change: &NewGeneration) -> Result<Transaction, WriteError> {
        const OPERATION: &str = "TransactWriteItems";
        let request = self
            .client
            .transact_write_items()
            .set_transact_items(Some(self.writes(change)?))
            .customize()
            .interceptor(self.counting(OPERATION));
        let Err(error) = request.send().await else {
            return Ok(Transaction::Written);
        };
        let reasons = match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                cancelled.cancellation_reasons()
            }
            _ => &[],
        };
        let failed = |index: usize| {
            reasons.get(index).and_then(|reason| reason.code()) == Some("ConditionalCheckFailed")
        };
        let conflict = reasons
            .iter()
            .any(|reason| reason.code() == Some("TransactionConflict"));
        match (failed(0) || conflict, failed(1)) {
            (true, _) => Ok(Transaction::Changed),
            (false, true) => Ok(Transaction::InHistory),
            (false, false) => Err(WriteError::Api(api_error(OPERATION, &error))),
        }
    }

    /// The record, and what goes into history, in this order.
    fn writes(&self, change: &NewGeneration) -> Result<Vec<TransactWriteItem>, WriteError> {
        let group = &change.address;
        let current = Put::builder().table_name(&self.name).set_item(Some(item(
            desired_key(&group.scope),
            group.id.as_str(),
            &change.record.to_json(),
        )));
        let current = match change
            .replaces
            .as_ref()
            .map(|replaced| replaced.get("generation"))
        {
            None => current.condition_expression("attribute_not_exists(pk)"),
            Some(None) => current
                .condition_expression("attribute_exists(pk) AND attribute_not_exists(generation)"),
            Some(Some(generation)) => current
                .condition_expression("generation = :generation")
                .expression_attribute_values(":generation", value(generation)),
        };
        let mut writes = vec![
            TransactWriteItem::builder()
                .put(built(current.build())?)
                .build(),
        ];
        if let Some(Value::Object(replaced)) = &change.replaces {
            let sk = format!("{:012}", change.record.generation.saturating_sub(1));
            let earlier = Put::builder()
                .table_name(&self.name)
                .set_item(Some(item(history_key(group), &sk, replaced)))
                .condition_expression("attribute_not_exists(pk)");
            writes.push(
                TransactWriteItem::builder()
                    .put(built(earlier.build())?)
                    .build(),
            );
        }
        Ok(writes)
    }

    async fn unmark_orphaned(&self, group: &GroupAddress) -> Result<(), ApiError> {
        const OPERATION: &str = "UpdateItem";
        let request = self
            .client
            .update_item()
            .table_name(&self.name)
            .key("pk", text(state_key(&group.scope)))
            .key("sk", text(group.id.as_str()))
            .update_expression("REMOVE orphaned_at")
            .condition_expression("attribute_exists(orphaned_at)")
            .customize()
            .interceptor(self.counting(OPERATION));
        match request.send().await {
            Err(SdkError::ServiceError(error))
                if error.err().is_conditional_check_failed_exception() =>
            {
                Ok(())
            }
            Err(error) => Err(api_error(OPERATION, &error)),
            Ok(_) => Ok(()),
        }
    }

    async fn latest_in_history(&self, group: &GroupAddress) -> Result<u64, WriteError> {
        let items = self
            .query(history_key(group), None)
            .await
            .map_err(WriteError::Api)?;
        let numbers = items
            .iter()
            .filter_map(|item| item.get("sk")?.as_s().ok()?.parse().ok());
        Ok(numbers.max().unwrap_or(0))
    }
}

/// A part of a transaction, whose builder asks for what is always given here.
fn built<T>(part: Result<T, BuildError>) -> Result<T, WriteError> {
    part.map_err(|error| {
        WriteError::Api(ApiError {
            operation: "TransactWriteItems",
            failure: Failure::Unusable,
            message: error.to_string(),
        })
    })
}

/// A JSON value as an attribute.
fn value(json: &Value) -> AttributeValue {
    match json {
        Value::Number(number) => AttributeValue::N(number.to_string()),
        Value::String(string) => text(string.clone()),
        _ => AttributeValue::Null(true),
    }
}
