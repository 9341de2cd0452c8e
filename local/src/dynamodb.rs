//! DynamoDB: the crate `dynoxide-rs`, which is checked against AWS by a public conformance suite, one in-memory database per account and Region.
//!
//! It is reached over its own HTTP interface, so that its validation and its error texts stay as they are.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tokio::sync::Mutex;

use crate::http::{Body, json_answer};

/// The databases, each behind a port of its own.
#[derive(Debug)]
pub(crate) struct DynamoDb {
    client: Client<HttpConnector, Full<Bytes>>,
    ports: Mutex<BTreeMap<(String, String), u16>>,
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
    pub(crate) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            ports: Mutex::default(),
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

    /// Passes a request on.
    pub(crate) async fn forward(
        &self,
        account: &str,
        region: &str,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Response<Body>, DynamoDbError> {
        let reach = |error: &dyn std::fmt::Display| DynamoDbError::Reach(error.to_string());
        let port = self.port(account, region).await?;
        let mut request = Request::post(format!("http://127.0.0.1:{port}/"));
        // Who compresses what between us and the engine is our business.
        for (name, value) in headers.iter().filter(|(name, _)| {
            !matches!(
                name.as_str(),
                "host" | "accept-encoding" | "connection" | "content-length" | "transfer-encoding"
            )
        }) {
            request = request.header(name, value);
        }
        let request = request
            .body(Full::new(body))
            .map_err(|error| reach(&error))?;
        let (parts, body) = self
            .client
            .request(request)
            .await
            .map_err(|error| reach(&error))?
            .into_parts();
        let body = body
            .collect()
            .await
            .map_err(|error| reach(&error))?
            .to_bytes();
        Ok(Response::from_parts(parts, Full::new(body)))
    }

    /// Makes a table with the keys `pk` and `sk`, both strings, paid per request; one that is there already is left alone.
    pub(crate) async fn create_table(
        &self,
        account: &str,
        region: &str,
        table: &str,
    ) -> Result<(), DynamoDbError> {
        let request = serde_json::json!({
            "TableName": table, "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [
                {"AttributeName": "pk", "AttributeType": "S"}, {"AttributeName": "sk", "AttributeType": "S"},
            ],
            "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            "SSESpecification": {"Enabled": true}, "DeletionProtectionEnabled": true,
        });
        self.ask(account, region, "CreateTable", &request).await?;
        let expiry = serde_json::json!({
            "TableName": table, "TimeToLiveSpecification": {"AttributeName": "expires_at", "Enabled": true},
        });
        self.ask(account, region, "UpdateTimeToLive", &expiry).await
    }

    /// Asks for something of ours to be done; what is done already is well.
    async fn ask(
        &self,
        account: &str,
        region: &str,
        action: &str,
        request: &serde_json::Value,
    ) -> Result<(), DynamoDbError> {
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
        let Ok(body) = answer.into_body().collect().await.map(|all| all.to_bytes());
        let text = String::from_utf8_lossy(&body);
        if status.is_success() || text.contains("ResourceInUseException") {
            return Ok(());
        }
        let table = &request["TableName"].as_str().unwrap_or_default();
        Err(DynamoDbError::Start(format!("table {table}: {text}")))
    }
}

/// The same headers for another action.
pub(crate) fn asking_for(headers: &HeaderMap, action: &str) -> HeaderMap {
    let mut headers = headers.clone();
    if let Ok(target) = format!("DynamoDB_20120810.{action}").parse() {
        headers.insert("x-amz-target", target);
    }
    headers
}

/// `DescribeContinuousBackups`, which the engine does not know, of a table that is there.
pub(crate) fn backups(enabled: bool) -> Response<Body> {
    let state = if enabled { "ENABLED" } else { "DISABLED" };
    let recovery = serde_json::json!({ "PointInTimeRecoveryStatus": state });
    json_answer(
        StatusCode::OK,
        &serde_json::json!({ "ContinuousBackupsDescription": {
            "ContinuousBackupsStatus": "ENABLED", "PointInTimeRecoveryDescription": recovery,
        } }),
    )
}

/// DynamoDB's error shape (DynamoDB Developer Guide, "Error handling").
pub(crate) fn refusal(code: &str, message: &str, status: u16) -> Response<Body> {
    let kind = match code {
        "AccessDeniedException" | "ThrottlingException" | "UnrecognizedClientException" => {
            format!("com.amazon.coral.service#{code}")
        }
        _ => format!("com.amazonaws.dynamodb.v20120810#{code}"),
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = json_answer(
        status,
        &serde_json::json!({ "__type": kind, "message": message }),
    );
    response.headers_mut().insert(
        hyper::header::CONTENT_TYPE,
        hyper::header::HeaderValue::from_static("application/x-amz-json-1.0"),
    );
    response
}
