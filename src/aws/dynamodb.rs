//! The table.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::operation::update_item::{UpdateItemError, UpdateItemOutput};
use aws_sdk_dynamodb::types::{
    AttributeValue, KeysAndAttributes, ReturnValuesOnConditionCheckFailure,
};
use serde_json::{Map, Value};
use tokio::time::Instant;
use tokio::time::error::Elapsed;

use super::attributes::{from_json, to_json};
use super::call::{Attempts, api_error, out_of_time, unusable, whole, within};
use super::keys::{Item, SETTINGS, desired_key, history_key, incident_key, item, state_key, text};
use super::state_update::StateUpdate;
use super::transaction::Transaction;
use rulekeeper_core::decide::changes::GroupState;
use rulekeeper_core::model::{GroupAddress, GroupRange, Scope};
use rulekeeper_core::ports::{
    ApiError, Budget, Calls, DesiredPage, Failure, GroupMarks, Loaded, NewGeneration,
    ScopeTable as _, Table, WriteError, retry_delay,
};
use rulekeeper_core::report::incident::Incident;

/// How often an incident is merged again if somebody else writes it at the same moment.
const MERGES_MAX: usize = 5;

/// Items with their sort keys.
pub(super) fn named(items: Vec<Item>) -> Result<Vec<(String, Value)>, ApiError> {
    let items = items.into_iter();
    items
        .map(|item| Ok((sort_key(&item)?, to_json(item))))
        .collect()
}

/// The table, for one piece of work.
#[derive(Debug, Clone)]
pub struct DynamoTable {
    pub(super) client: Client,
    pub(super) name: String,
    pub(super) calls: Calls,
    /// Scopes that the table is known to hold.
    pub(super) scopes: Arc<Mutex<BTreeSet<Scope>>>,
    pub(super) budget: Budget,
}

/// The key condition for a range of the items under a partition key. DynamoDB's bounds are inclusive, so the result may
/// begin with one item too many.
fn keys_of(pk: String, range: &GroupRange) -> (&'static str, HashMap<String, AttributeValue>) {
    let mut values = HashMap::from([(":pk".to_owned(), text(pk))]);
    let mut bound = |name: &str, id: &Option<String>| match id {
        Some(id) => values.insert(name.to_owned(), text(id)).is_none(),
        None => false,
    };
    let keys = match (bound(":after", &range.after), bound(":until", &range.until)) {
        (true, true) => "pk = :pk AND sk BETWEEN :after AND :until",
        (true, false) => "pk = :pk AND sk >= :after",
        (false, true) => "pk = :pk AND sk <= :until",
        (false, false) => "pk = :pk",
    };
    (keys, values)
}

/// The sort key of an item that a query found.
fn sort_key(item: &Item) -> Result<String, ApiError> {
    let key = item.get("sk").and_then(|sk| sk.as_s().ok()).cloned();
    whole("Query", "sk in one of its items", key)
}

impl DynamoTable {
    /// The table's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn counting(&self, operation: &'static str) -> Attempts {
        Attempts {
            calls: self.calls.clone(),
            operation,
        }
    }

    /// All pages of the items under a partition key.
    ///
    /// # Errors
    /// When a page cannot be read.
    pub async fn query(&self, pk: String, filter: Option<&str>) -> Result<Vec<Item>, ApiError> {
        let query = self.by_keys("pk = :pk");
        let query = query.expression_attribute_values(":pk", text(pk));
        self.pages(query.set_filter_expression(filter.map(str::to_owned)))
            .await
    }

    /// The items under a partition key, by their sort key, which is a group's id.
    pub async fn by_group(&self, pk: String) -> Result<Vec<(String, Value)>, ApiError> {
        named(self.query(pk, None).await?)
    }

    /// The items under a partition key whose sort key is at least `from`.
    pub async fn query_from(&self, pk: String, from: String) -> Result<Vec<Item>, ApiError> {
        let query = self.by_keys("pk = :pk AND sk >= :from");
        let query = query.expression_attribute_values(":pk", text(pk));
        self.pages(query.expression_attribute_values(":from", text(from)))
            .await
    }

    /// Every item that a query finds.
    pub(super) async fn pages(&self, query: QueryFluentBuilder) -> Result<Vec<Item>, ApiError> {
        let (mut items, mut start) = (Vec::new(), None);
        loop {
            let query = query.clone().set_exclusive_start_key(start);
            let (page, next) = self.page(query).await?;
            items.extend(page);
            start = next;
            if start.is_none() {
                return Ok(items);
            }
        }
    }

    /// A query by this condition on the keys, of what was written by now.
    pub(super) fn by_keys(&self, keys: &str) -> QueryFluentBuilder {
        let query = self.client.query().table_name(&self.name);
        query.consistent_read(true).key_condition_expression(keys)
    }

    /// One page of a query, and the key to continue from.
    async fn page(&self, query: QueryFluentBuilder) -> Result<(Vec<Item>, Option<Item>), ApiError> {
        const OPERATION: &str = "Query";
        let request = query.customize().interceptor(self.counting(OPERATION));
        let page = within(self.budget.calls_until, OPERATION, request.send()).await?;
        let next = page.last_evaluated_key.filter(|key| !key.is_empty());
        Ok((whole(OPERATION, "Items", page.items)?, next))
    }

    /// The items with these keys, in the same order. A busy DynamoDB may leave some of them to another call.
    pub async fn get_all<const N: usize>(
        &self,
        keys: [(String, &str); N],
    ) -> Result<[Option<Value>; N], ApiError> {
        const OPERATION: &str = "BatchGetItem";
        let key = |(pk, sk): &(String, &str)| {
            HashMap::from([
                ("pk".to_owned(), text(pk.clone())),
                ("sk".to_owned(), text(*sk)),
            ])
        };
        let mut found: [Option<Value>; N] = std::array::from_fn(|_| None);
        let mut wanted: Vec<_> = keys.iter().map(key).collect();
        let mut waits = 0;
        loop {
            let asked = KeysAndAttributes::builder()
                .set_keys(Some(wanted.clone()))
                .consistent_read(true)
                .build()
                .map_err(|error| unusable(OPERATION, error))?;
            let request = self
                .client
                .batch_get_item()
                .request_items(&self.name, asked)
                .customize()
                .interceptor(self.counting(OPERATION));
            let answer = within(self.budget.calls_until, OPERATION, request.send()).await?;
            let mut left = answer.unprocessed_keys.unwrap_or_default();
            let ours = left.remove(&self.name);
            let ours = ours.map_or_else(Vec::new, |left| left.keys);
            if !left.is_empty() || !ours.iter().all(|key| wanted.contains(key)) {
                return Err(unusable(
                    OPERATION,
                    "it leaves keys that were not asked for",
                ));
            }
            wanted = ours;
            let items = answer
                .responses
                .and_then(|mut tables| tables.remove(&self.name));
            // An answer that leaves all keys to another call may name no table.
            let items = match items {
                None if !wanted.is_empty() => Vec::new(),
                items => whole(OPERATION, "Responses", items)?,
            };
            for item in items {
                let place = keys.iter().position(|(pk, sk)| {
                    item.get("pk") == Some(&text(pk.clone())) && item.get("sk") == Some(&text(*sk))
                });
                let place = whole(OPERATION, "key of ours in an item", place)?;
                found[place] = Some(to_json(item));
            }
            if wanted.is_empty() {
                return Ok(found);
            }
            let wait = retry_delay(waits);
            waits += 1;
            if Instant::now() + wait >= self.budget.calls_until {
                return Err(ApiError {
                    operation: OPERATION,
                    failure: Failure::OutOfTime,
                    message: "the table was too busy to answer in time".to_owned(),
                });
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Puts an incident on condition that its revision is still `revision`. If it is not, returns the present incident.
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
                from_json(&incident.attributes),
            )))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let put = match revision {
            None => put.condition_expression("attribute_not_exists(pk)"),
            Some(revision) => put
                .condition_expression("revision = :revision")
                .expression_attribute_values(":revision", AttributeValue::N(revision.to_string())),
        };
        let request = put.customize().interceptor(self.counting(OPERATION));
        let sent = tokio::time::timeout_at(self.budget.bookkeeping_until(), request.send()).await;
        match sent {
            Ok(Ok(_)) => Ok(None),
            Ok(Err(SdkError::ServiceError(error)))
                if error.err().is_conditional_check_failed_exception() =>
            {
                let PutItemError::ConditionalCheckFailedException(failed) = error.into_err() else {
                    return Ok(Some(Map::new()));
                };
                match failed.item.map(to_json) {
                    Some(Value::Object(written)) => Ok(Some(written)),
                    _ => Ok(Some(Map::new())),
                }
            }
            Ok(Err(error)) => Err(api_error(OPERATION, &error)),
            Err(_) => Err(out_of_time(OPERATION)),
        }
    }
}

/// Whether an update was made: `false` if its condition did not hold.
pub(super) fn is_accepted(
    operation: &'static str,
    sent: Result<Result<UpdateItemOutput, SdkError<UpdateItemError, HttpResponse>>, Elapsed>,
) -> Result<bool, ApiError> {
    match sent {
        Ok(Ok(_)) => Ok(true),
        Ok(Err(SdkError::ServiceError(error)))
            if error.err().is_conditional_check_failed_exception() =>
        {
            Ok(false)
        }
        Ok(Err(error)) => Err(api_error(operation, &error)),
        Err(_) => Err(out_of_time(operation)),
    }
}

impl Table for DynamoTable {
    async fn load(&self, group: &GroupAddress) -> Result<Loaded, ApiError> {
        let keys = [
            (desired_key(&group.scope), group.id.as_str()),
            (state_key(&group.scope), group.id.as_str()),
            (SETTINGS.to_owned(), SETTINGS),
        ];
        let [desired, state, settings] = self.get_all(keys).await?;
        Ok(Loaded {
            desired,
            state,
            settings,
        })
    }

    async fn desired_page(
        &self,
        scope: &Scope,
        range: &GroupRange,
    ) -> Result<DesiredPage, ApiError> {
        let (keys, values) = keys_of(desired_key(scope), range);
        let query = self.by_keys(keys);
        let query = query.set_expression_attribute_values(Some(values));
        let (items, next) = self.page(query).await?;
        let mut items = named(items)?;
        items.retain(|(name, _)| range.contains(name));
        Ok(DesiredPage {
            items,
            last: next.as_ref().map(sort_key).transpose()?,
        })
    }

    async fn marks(&self, scope: &Scope, range: &GroupRange) -> Result<GroupMarks, ApiError> {
        let filter = "attribute_exists(orphaned_at) OR attribute_exists(contested) OR attribute_exists(unapplied) OR attribute_exists(missing_since) OR attribute_exists(reopened) OR attribute_exists(foreseen)";
        let mut marks = GroupMarks::default();
        let (keys, values) = keys_of(state_key(scope), range);
        let query = self.by_keys(keys).filter_expression(filter);
        let query = query.set_expression_attribute_values(Some(values));
        for item in self.pages(query).await? {
            let Ok(id) = sort_key(&item)?.parse() else {
                continue;
            };
            match item.contains_key("orphaned_at") {
                true => marks.orphaned.insert(id),
                false => marks.open.insert(id),
            };
        }
        Ok(marks)
    }

    async fn save_state(&self, group: &GroupAddress, state: &GroupState) -> Result<bool, ApiError> {
        const OPERATION: &str = "UpdateItem";
        let change = StateUpdate::of(state);
        let request = self
            .client
            .update_item()
            .table_name(&self.name)
            .key("pk", text(state_key(&group.scope)))
            .key("sk", text(group.id.as_str()))
            .update_expression(change.update)
            .condition_expression(change.condition)
            .set_expression_attribute_names(Some(change.names))
            .set_expression_attribute_values(Some(change.values))
            .customize()
            .interceptor(self.counting(OPERATION));
        let sent = tokio::time::timeout_at(self.budget.bookkeeping_until(), request.send()).await;
        is_accepted(OPERATION, sent)
    }

    async fn mark_orphaned(&self, group: &GroupAddress, at: &str) -> Result<(), ApiError> {
        const OPERATION: &str = "UpdateItem";
        let request = self
            .client
            .update_item()
            .table_name(&self.name)
            .key("pk", text(state_key(&group.scope)))
            .key("sk", text(group.id.as_str()))
            .update_expression(
                "SET orphaned_at = if_not_exists(orphaned_at, :at) REMOVE expires_at ADD revision :one",
            )
            .expression_attribute_values(":at", text(at))
            .expression_attribute_values(":one", AttributeValue::N("1".to_owned()))
            .customize()
            .interceptor(self.counting(OPERATION));
        within(self.budget.bookkeeping_until(), OPERATION, request.send()).await?;
        Ok(())
    }

    /// Writes one transaction: the new generation, the run-time state, and the present generation into history. Its
    /// condition is that the present generation is the one that was read. Everything is written or nothing. A mark that
    /// the group does not exist is removed, so that sweeps look at it again.
    ///
    /// An item that was written without these tools may have used a generation twice. History is never overwritten. The
    /// present record then gets the number after the latest in history, and the new record the one after that.
    async fn write(&self, change: &NewGeneration) -> Result<u64, WriteError> {
        if change.replaces.is_none() {
            // Sweeps must find the first record of a scope. If the table refuses this and accepts the record, the next
            // new record or the first event tries again.
            let _ = self.remember_scope(&change.address.scope).await;
        }
        let mut change = change.clone();
        match self.replace(&change).await.map_err(WriteError::Api)? {
            Transaction::Written => return Ok(change.record.generation),
            Transaction::Changed => {
                return Err(WriteError::LostRace {
                    group: change.address,
                });
            }
            Transaction::StateChanged => {
                return Err(WriteError::StateChanged {
                    group: change.address,
                });
            }
            Transaction::InHistory => {}
        }
        let latest = self
            .latest_in_history(history_key(&change.address))
            .await
            .map_err(WriteError::Api)?;
        change.record.generation = latest + 2;
        match self.replace(&change).await.map_err(WriteError::Api)? {
            Transaction::Written => Ok(change.record.generation),
            Transaction::StateChanged => Err(WriteError::StateChanged {
                group: change.address,
            }),
            Transaction::Changed | Transaction::InHistory => Err(WriteError::LostRace {
                group: change.address,
            }),
        }
    }

    async fn record_incident(&self, incident: &Incident) -> Result<(), ApiError> {
        let mut incident = incident.clone();
        let mut revision = None;
        for _ in 0..MERGES_MAX {
            let next = revision
                .as_ref()
                .and_then(Value::as_u64)
                .unwrap_or(0)
                .wrapping_add(1);
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
                // The present incident already contains everything that we could add.
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
