//! The table's items for the watch.

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use serde_json::Value;

use super::DynamoTable;
use super::dynamodb::{is_accepted, named};
use super::keys::{desired_key, text};
use rulekeeper_core::model::Scope;
use rulekeeper_core::ports::{ApiError, Lease, WatchTable};

/// Both keys of the lease.
const WATCH: &str = "watch";

impl WatchTable for DynamoTable {
    async fn watched(&self, scope: &Scope) -> Result<Vec<(String, Value)>, ApiError> {
        // Not consistent, for half of the price: what is decided reads the record again.
        let query = self.by_keys("pk = :pk").consistent_read(false);
        let query = query
            .filter_expression("#watch = :true")
            .expression_attribute_names("#watch", "watch")
            .expression_attribute_values(":pk", text(desired_key(scope)))
            .expression_attribute_values(":true", AttributeValue::Bool(true));
        named(self.pages(query).await?)
    }

    async fn lease(&self) -> Result<Lease, ApiError> {
        let [item] = self.get_all([(WATCH.to_owned(), WATCH)]).await?;
        let item = item.unwrap_or_default();
        let text = |name: &str| item[name].as_str();
        Ok(Lease {
            revision: item["revision"].as_u64().unwrap_or(0),
            holder: text("holder").map(str::to_owned),
            until: text("until").and_then(|until| until.parse::<Timestamp>().ok()),
            heir: text("heir").map(str::to_owned),
        })
    }

    async fn write_lease(&self, lease: &Lease) -> Result<bool, ApiError> {
        const OPERATION: &str = "UpdateItem";
        let number = |number: u64| AttributeValue::N(number.to_string());
        let mut update = self
            .client
            .update_item()
            .table_name(&self.name)
            .key("pk", text(WATCH))
            .key("sk", text(WATCH))
            .condition_expression("attribute_not_exists(pk) OR revision = :read")
            .expression_attribute_values(":read", number(lease.revision))
            .expression_attribute_values(":next", number(lease.revision + 1));
        let (mut set, mut remove) = (vec!["revision = :next".to_owned()], Vec::new());
        let until = lease.until.map(|until| until.to_string());
        for (name, value) in [
            ("holder", &lease.holder),
            ("until", &until),
            ("heir", &lease.heir),
        ] {
            update = update.expression_attribute_names(format!("#{name}"), name);
            match value {
                None => remove.push(format!("#{name}")),
                Some(value) => {
                    set.push(format!("#{name} = :{name}"));
                    update = update.expression_attribute_values(format!(":{name}"), text(value));
                }
            }
        }
        let mut expression = format!("SET {}", set.join(", "));
        if !remove.is_empty() {
            expression += &format!(" REMOVE {}", remove.join(", "));
        }
        let request = update
            .update_expression(expression)
            .customize()
            .interceptor(self.counting(OPERATION));
        let sent = tokio::time::timeout_at(self.budget.calls_until, request.send()).await;
        is_accepted(OPERATION, sent)
    }
}
