//! The services that speak JSON and name the action in `X-Amz-Target`: DynamoDB, SQS, EventBridge, CloudTrail.

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::call::{Call, Sent};
use crate::control;
use crate::dials::CANCELLED;
use crate::dynamodb::internal;
use crate::ec2::Ec2Error;
use crate::http::{self, Hangup};
use crate::identity::Caller;
use crate::ids;
use crate::services::{Service, Services};

/// The service and the action of a target.
fn target(text: &str) -> Option<(Service, &str)> {
    let (api, action) = text.rsplit_once('.')?;
    let service = match api {
        "DynamoDB_20120810" => Service::DynamoDb,
        "AmazonSQS" => Service::Sqs,
        "AWSEvents" => Service::EventBridge,
        // The AWS CLI adds the name of a package in front.
        api if api.ends_with("CloudTrail_20131101") => Service::CloudTrail,
        _ => return None,
    };
    Some((service, action))
}

/// Answers a call.
pub(crate) async fn call(
    services: &Services,
    caller: &Caller,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<Response, Hangup> {
    let named = headers.get("x-amz-target").map(HeaderValue::to_str);
    let named = named.and_then(Result::ok).unwrap_or_default();
    let Some((service, action)) = target(named) else {
        let message = format!("rulekeeper-local does not imitate {named}");
        let unknown = Ec2Error::new("UnknownOperationException", message);
        return Ok(refusal(Service::DynamoDb, &unknown));
    };
    let text = String::from_utf8_lossy(&body);
    let received = Call {
        caller,
        service,
        action,
        sent: Sent::Text(&text),
    };
    let run = async {
        if service == Service::DynamoDb {
            let engine = &services.dynamodb;
            let expire_before = services.cloud.dials().expire_before;
            if expire_before.is_some_and(|before| before == "*" || before == action) {
                let expired = engine.expire(caller, &body).await;
                expired.map_err(|error| internal(&error))?;
            }
            let backups = || services.cloud.estate().backups;
            return engine.call(caller, action, headers, &body, backups).await;
        }
        let asked = serde_json::from_str(&text)
            .map_err(|_| Ec2Error::new("SerializationException", "the request is not JSON"))?;
        let answer = match (service, action) {
            (Service::Sqs, _) => services.queues.call(action, &asked),
            (Service::EventBridge, "PutEvents") => services.buses.put_events(&asked),
            (Service::EventBridge, _) => control::events(services, action, &asked),
            _ => control::cloudtrail(services, caller, action, &asked),
        }?;
        Ok(http::json(&answer))
    };
    let result = services.carry_out(&received, run, |_| {}).await?;
    Ok(match result {
        Ok(mut answer) => {
            let headers = answer.headers_mut().entry("x-amzn-requestid");
            if let Ok(id) = HeaderValue::from_str(&ids::uuid()) {
                headers.or_insert(id);
            }
            answer.map(Body::from)
        }
        Err(error) => refusal(service, &error),
    })
}

/// The reasons of a cancelled transaction, one for each of its parts, off the message that lists their codes (Amazon
/// DynamoDB API Reference, TransactWriteItems).
fn cancellation_reasons(message: &str) -> Value {
    let codes = message
        .split_once('[')
        .and_then(|(_, rest)| rest.split_once(']'));
    let codes = codes.map_or("", |(codes, _)| codes);
    let reasons = codes.split(", ").map(|code| match code {
        "None" => json!({ "Code": code }),
        _ => json!({ "Code": code, "Message": format!("{code} (injected)") }),
    });
    reasons.collect()
}

/// An error in the service's shape (DynamoDB Developer Guide, "Error handling").
fn refusal(service: Service, error: &Ec2Error) -> Response {
    let code = &error.code;
    let kind = match (service, code.as_str()) {
        (
            Service::DynamoDb,
            "AccessDeniedException" | "ThrottlingException" | "UnrecognizedClientException",
        ) => format!("com.amazon.coral.service#{code}"),
        (Service::DynamoDb, _) => format!("com.amazonaws.dynamodb.v20120810#{code}"),
        _ => code.clone(),
    };
    let content_type = match service {
        Service::DynamoDb => "application/x-amz-json-1.0",
        _ => "application/json",
    };
    let mut body = json!({ "__type": kind, "message": error.message });
    if code == CANCELLED {
        body["CancellationReasons"] = cancellation_reasons(&error.message);
    }
    let head = [(CONTENT_TYPE, content_type)];
    (http::status(error.status), head, body.to_string()).into_response()
}
