//! The calls to AWS. Each reads, or writes on a condition that cannot hold; none changes anything.

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_sdk_dynamodb::types::{
    AttributeValue, PointInTimeRecoveryStatus, SseDescription, TableDescription,
};
use rulekeeper::aws::{api_error, unusable, whole};
use rulekeeper_core::function::permissions::NOWHERE;
use rulekeeper_core::ports::ApiError;

use super::facts::{CallerFacts, Description, Expiry, Readers, Subscriptions, TableFacts};
use crate::session::Caller;

mod before;
mod events;
mod function;
mod times;

use times::Times;

/// Attempts of one call. An operator waits, and three failures are a result.
const ATTEMPTS: u32 = 3;

/// No item meets it: an item is there or it is not.
const NEVER: &str = "attribute_exists(pk) AND attribute_not_exists(pk)";

/// The attributes of a topic with the numbers of its subscriptions.
const CONFIRMED: &str = "SubscriptionsConfirmed";
const PENDING: &str = "SubscriptionsPending";

/// Clients of everything but EC2, in our account and Region.
#[derive(Debug)]
pub(super) struct Cloud {
    config: SdkConfig,
    dynamodb: aws_sdk_dynamodb::Client,
    events: aws_sdk_eventbridge::Client,
    lambda: aws_sdk_lambda::Client,
    trails: aws_sdk_cloudtrail::Client,
}

impl Cloud {
    pub(super) fn new(config: &SdkConfig) -> Self {
        let retries = RetryConfig::standard().with_max_attempts(ATTEMPTS);
        let config = config.to_builder().retry_config(retries).build();
        Self {
            dynamodb: aws_sdk_dynamodb::Client::new(&config),
            events: aws_sdk_eventbridge::Client::new(&config),
            lambda: aws_sdk_lambda::Client::new(&config),
            trails: aws_sdk_cloudtrail::Client::new(&config),
            config,
        }
    }

    /// Who we are, and what time it is at AWS.
    pub(super) async fn caller(&self) -> CallerFacts {
        let times = Times::default();
        let asked = aws_sdk_sts::Client::new(&self.config)
            .get_caller_identity()
            .customize()
            .interceptor(times.clone())
            .send()
            .await;
        let identity = match asked {
            Ok(identity) => caller(identity.account(), identity.arn()),
            Err(error) => Err(api_error("GetCallerIdentity", &error)),
        };
        CallerFacts {
            identity,
            clock: times.reading(),
        }
    }

    /// The table, asked for in three parts.
    pub(super) async fn table(&self, name: &str) -> TableFacts {
        let client = &self.dynamodb;
        let (table, expiry, backups) = tokio::join!(
            client.describe_table().table_name(name).send(),
            client.describe_time_to_live().table_name(name).send(),
            client.describe_continuous_backups().table_name(name).send(),
        );
        let description = match table {
            Ok(table) => whole("DescribeTable", "Table", table.table.as_ref())
                .map(|table| Some(description(table))),
            Err(error) => absent("DescribeTable", &error, "ResourceNotFoundException"),
        };
        let expiry = match expiry {
            Ok(expiry) => {
                let name = "TimeToLiveDescription";
                let given = expiry.time_to_live_description;
                whole("DescribeTimeToLive", name, given).map(|it| Expiry {
                    status: it
                        .time_to_live_status
                        .map(|status| status.to_string())
                        .unwrap_or_default(),
                    attribute: it.attribute_name,
                })
            }
            Err(error) => Err(api_error("DescribeTimeToLive", &error)),
        };
        let recovery = match backups {
            Ok(backups) => {
                let name = "ContinuousBackupsDescription";
                let given = backups.continuous_backups_description;
                whole("DescribeContinuousBackups", name, given).map(|it| {
                    let recovery = it.point_in_time_recovery_description;
                    let status = recovery.and_then(|it| it.point_in_time_recovery_status);
                    status == Some(PointInTimeRecoveryStatus::Enabled)
                })
            }
            Err(error) => Err(api_error("DescribeContinuousBackups", &error)),
        };
        TableFacts {
            description,
            expiry,
            recovery,
        }
    }

    /// How many subscriptions each of these topics has; `None` if there is no such topic.
    pub(super) async fn readers(&self, topics: &[String]) -> Vec<(String, Subscriptions)> {
        const OPERATION: &str = "GetTopicAttributes";
        let client = aws_sdk_sns::Client::new(&self.config);
        let mut found = Vec::new();
        for arn in topics {
            let readers = match client.get_topic_attributes().topic_arn(arn).send().await {
                Ok(topic) => {
                    let given = |name| topic.attributes()?.get(name)?.parse().ok();
                    whole(OPERATION, CONFIRMED, given(CONFIRMED)).map(|confirmed| {
                        let pending = given(PENDING).unwrap_or(0);
                        Some(Readers { confirmed, pending })
                    })
                }
                Err(error) => absent(OPERATION, &error, "NotFound"),
            };
            found.push((arn.clone(), readers));
        }
        found
    }

    /// Asks to write the settings on a condition that cannot hold.
    pub(super) async fn try_settings(&self, table: &str) -> Result<(), ApiError> {
        let key = AttributeValue::S("settings".to_owned());
        let call = self
            .dynamodb
            .put_item()
            .table_name(table)
            .condition_expression(NEVER);
        let answer = call.item("pk", key.clone()).item("sk", key).send().await;
        only_the_condition(
            "PutItem",
            answer
                .map(drop)
                .map_err(|error| api_error("PutItem", &error)),
        )
    }

    /// Asks to delete an item that is not there, on a condition that cannot hold.
    pub(super) async fn try_delete(&self, table: &str) -> Result<(), ApiError> {
        let key = AttributeValue::S(NOWHERE.to_owned());
        let call = self
            .dynamodb
            .delete_item()
            .table_name(table)
            .condition_expression(NEVER);
        let answer = call.key("pk", key.clone()).key("sk", key).send().await;
        only_the_condition(
            "DeleteItem",
            answer
                .map(drop)
                .map_err(|error| api_error("DeleteItem", &error)),
        )
    }
}

fn caller(account: Option<&str>, arn: Option<&str>) -> Result<Caller, ApiError> {
    const OPERATION: &str = "GetCallerIdentity";
    let account = whole(OPERATION, "Account", account)?.parse();
    Ok(Caller {
        account: account.map_err(|error| unusable(OPERATION, error))?,
        arn: whole(OPERATION, "Arn", arn)?.to_owned(),
    })
}

/// `None` when the service says by this code that there is no such thing.
fn absent<T, E>(
    operation: &'static str,
    error: &aws_sdk_sts::error::SdkError<E>,
    code: &str,
) -> Result<Option<T>, ApiError>
where
    E: aws_sdk_sts::error::ProvideErrorMetadata + std::error::Error + 'static,
{
    let error = api_error(operation, error);
    match error.code() == code {
        true => Ok(None),
        false => Err(error),
    }
}

/// A write that was refused for its condition alone would be allowed.
fn only_the_condition(
    operation: &'static str,
    answer: Result<(), ApiError>,
) -> Result<(), ApiError> {
    match answer {
        Ok(()) => Err(unusable(
            operation,
            "it succeeded, on a condition that cannot hold",
        )),
        Err(error) if error.code() == "ConditionalCheckFailedException" => Ok(()),
        Err(error) => Err(error),
    }
}

fn description(table: &TableDescription) -> Description {
    let kind = |name: &str| {
        let mut definitions = table.attribute_definitions().iter();
        let definition = definitions.find(|definition| definition.attribute_name == name);
        definition.map_or_else(String::new, |definition| {
            definition.attribute_type.to_string()
        })
    };
    let keys = table.key_schema().iter();
    let keys = keys.map(|key| {
        (
            key.attribute_name.clone(),
            key.key_type.to_string(),
            kind(&key.attribute_name),
        )
    });
    let encryption = match table
        .sse_description
        .as_ref()
        .and_then(SseDescription::kms_master_key_arn)
    {
        Some(key) => format!("the key {key}"),
        None => "DynamoDB's own key".to_owned(),
    };
    Description {
        status: table
            .table_status
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        keys: keys.collect(),
        encryption,
        key_is_out_of_reach: table
            .sse_description
            .as_ref()
            .is_some_and(|it| it.inaccessible_encryption_date_time.is_some()),
        deletion_protection: table.deletion_protection_enabled == Some(true),
    }
}
