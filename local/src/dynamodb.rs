//! DynamoDB: the crate `dynoxide-rs`, which is checked against AWS by a public conformance suite, one in-memory database per account and Region; or a server elsewhere.
//!
//! We call it over its own HTTP interface, so that clients get its validation and error texts unchanged.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use axum::body::{self, Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::sync::Mutex;

use crate::ec2::Ec2Error;
use crate::http;
use crate::identity::Caller;

/// The databases, each behind a port of its own.
#[derive(Debug)]
pub(crate) struct DynamoDb {
    client: Client<HttpConnector, Body>,
    ports: Mutex<BTreeMap<(String, String), u16>>,
    /// The address of a server to use in place of the crate.
    elsewhere: Option<String>,
}

/// A database couldn't be set up or reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DynamoDbError {
    #[error("cannot start the embedded DynamoDB: {0}")]
    Start(String),
    #[error("cannot reach the embedded DynamoDB: {0}")]
    Reach(String),
}

impl DynamoDb {
    pub(crate) fn new(elsewhere: Option<String>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            ports: Mutex::default(),
            elsewhere,
        }
    }

    async fn port(&self, account: &str, region: &str) -> Result<u16, DynamoDbError> {
        let mut ports = self.ports.lock().await;
        let key = (account.to_owned(), region.to_owned());
        if let Some(port) = ports.get(&key) {
            return Ok(*port);
        }
        let start = |error: &dyn std::fmt::Display| DynamoDbError::Start(error.to_string());
        let database = dynoxide::Database::memory().map_err(|error| start(&error))?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(|error| start(&error))?;
        let port = listener.local_addr().map_err(|error| start(&error))?.port();
        tokio::spawn(dynoxide::server::serve_with_shutdown(
            listener,
            database,
            std::future::pending(),
        ));
        ports.insert(key, port);
        Ok(port)
    }

    /// Deletes the items of a call's tables whose `expires_at` is over.
    pub(crate) async fn expire(&self, caller: &Caller, body: &Bytes) -> Result<(), DynamoDbError> {
        let request: Value = serde_json::from_slice(body).unwrap_or_default();
        let now = json!({ ":now": { "N": jiff::Timestamp::now().as_second().to_string() } });
        let (account, region) = (&caller.identity.account, &caller.region);
        for table in tables(&request) {
            let over = json!({
                "TableName": table, "FilterExpression": "expires_at < :now", "ProjectionExpression": "pk, sk",
                "ExpressionAttributeValues": now,
            });
            let found = self.ask(account, region, "Scan", &over).await?;
            for key in found["Items"].as_array().into_iter().flatten() {
                let deletion = json!({
                    "TableName": table, "Key": key, "ConditionExpression": "expires_at < :now",
                    "ExpressionAttributeValues": now,
                });
                self.ask(account, region, "DeleteItem", &deletion).await?;
            }
        }
        Ok(())
    }

    /// Carries out one action of the API. `backups` says whether tables have point-in-time recovery.
    pub(crate) async fn call(
        &self,
        caller: &Caller,
        action: &str,
        headers: &HeaderMap,
        body: &Bytes,
        backups: impl Fn() -> bool,
    ) -> Result<Response<Bytes>, Ec2Error> {
        // The engine does not implement DescribeContinuousBackups; DescribeTable says whether the table exists.
        let asks_for_backups = action == "DescribeContinuousBackups";
        let mut headers = headers.clone();
        if asks_for_backups {
            let target = HeaderValue::from_static("DynamoDB_20120810.DescribeTable");
            headers.insert("x-amz-target", target);
        }
        let answer = self
            .forward(
                &caller.identity.account,
                &caller.region,
                &headers,
                body.clone(),
            )
            .await
            .map_err(|error| internal(&error))?;
        if !asks_for_backups || !answer.status().is_success() {
            return Ok(answer);
        }
        let state = if backups() { "ENABLED" } else { "DISABLED" };
        let recovery = json!({ "PointInTimeRecoveryStatus": state });
        Ok(http::json(&json!({ "ContinuousBackupsDescription": {
            "ContinuousBackupsStatus": "ENABLED", "PointInTimeRecoveryDescription": recovery,
        } })))
    }

    /// Passes a request on.
    async fn forward(
        &self,
        account: &str,
        region: &str,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Response<Bytes>, DynamoDbError> {
        let reach = |error: &dyn std::fmt::Display| DynamoDbError::Reach(error.to_string());
        let address = match &self.elsewhere {
            Some(address) => format!("{address}/"),
            None => format!("http://127.0.0.1:{}/", self.port(account, region).await?),
        };
        let mut request = Request::post(address);
        // These headers concern the caller's connection, not ours to the engine.
        for (name, value) in headers.iter().filter(|(name, _)| {
            !matches!(
                name.as_str(),
                "host" | "accept-encoding" | "connection" | "content-length" | "transfer-encoding"
            )
        }) {
            request = request.header(name, value);
        }
        let request = request
            .body(Body::from(body))
            .map_err(|error| reach(&error))?;
        let (parts, body) = self
            .client
            .request(request)
            .await
            .map_err(|error| reach(&error))?
            .into_parts();
        let body = body::to_bytes(Body::new(body), usize::MAX)
            .await
            .map_err(|error| reach(&error))?;
        Ok(Response::from_parts(parts, body))
    }

    /// Makes a table with the string keys `pk` and `sk`, paid per request; does nothing if it exists.
    pub(crate) async fn create_table(
        &self,
        account: &str,
        region: &str,
        table: &str,
    ) -> Result<(), DynamoDbError> {
        let request = json!({
            "TableName": table, "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [
                {"AttributeName": "pk", "AttributeType": "S"}, {"AttributeName": "sk", "AttributeType": "S"},
            ],
            "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            "SSESpecification": {"Enabled": true}, "DeletionProtectionEnabled": true,
        });
        self.ask(account, region, "CreateTable", &request).await?;
        let expiry = json!({
            "TableName": table, "TimeToLiveSpecification": {"AttributeName": "expires_at", "Enabled": true},
        });
        self.ask(account, region, "UpdateTimeToLive", &expiry)
            .await?;
        Ok(())
    }

    /// Calls the engine for ourselves; accepts that a table exists already.
    async fn ask(
        &self,
        account: &str,
        region: &str,
        action: &str,
        request: &Value,
    ) -> Result<Value, DynamoDbError> {
        let target = format!("DynamoDB_20120810.{action}");
        let mut headers = HeaderMap::new();
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential=LOCAL/20260101/{region}/dynamodb/aws4_request, SignedHeaders=host;x-amz-date, Signature=0"
        );
        for (name, value) in [
            ("content-type", "application/x-amz-json-1.0"),
            ("x-amz-target", &target),
            ("x-amz-date", "20260101T000000Z"),
            ("authorization", &authorization),
        ] {
            let value = value
                .parse()
                .map_err(|_| DynamoDbError::Start(format!("'{region}' is no Region")))?;
            headers.insert(name, value);
        }
        let answer = self
            .forward(account, region, &headers, Bytes::from(request.to_string()))
            .await?;
        let status = answer.status();
        let text = String::from_utf8_lossy(answer.body());
        if status.is_success() || text.contains("ResourceInUseException") {
            return Ok(serde_json::from_str(&text).unwrap_or_default());
        }
        let table = &request["TableName"].as_str().unwrap_or_default();
        Err(DynamoDbError::Start(format!("table {table}: {text}")))
    }
}

/// The answer for a caller whose call could not be passed on.
pub(crate) fn internal(error: &DynamoDbError) -> Ec2Error {
    Ec2Error::new("InternalServerError", error.to_string()).with_status(500)
}

/// The tables that a request names.
fn tables(request: &Value) -> BTreeSet<&str> {
    let parts = request["TransactItems"].as_array().into_iter().flatten();
    let parts = parts.filter_map(Value::as_object).flat_map(Map::values);
    let named = parts
        .chain([request])
        .filter_map(|part| part["TableName"].as_str());
    let batch = request["RequestItems"]
        .as_object()
        .into_iter()
        .flat_map(Map::keys);
    named.chain(batch.map(String::as_str)).collect()
}
