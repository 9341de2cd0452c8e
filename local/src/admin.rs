//! The admin API under `/_local/`, and `aws lambda invoke`. The table of paths is in the crate's documentation.

use std::time::Duration;

use hyper::{HeaderMap, Method, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::api::Api;
use crate::ec2::Params;
use crate::http::{Body, answer, json_answer};
use crate::identity::Described;
use crate::lambda::Lambda;
use crate::{Delivery, Dials, Estate, Fault};

type Answered = Result<Value, (StatusCode, String)>;

/// Answers one request; `path` is what follows `/_local/`.
pub(crate) async fn handle(
    api: &Api,
    method: &Method,
    path: &str,
    query: &str,
    body: &[u8],
) -> Response<Body> {
    let query = Params::parse(query);
    match route(api, method, path, &query, body).await {
        Ok(value) => json_answer(StatusCode::OK, &value),
        Err((status, problem)) => json_answer(status, &json!({ "error": problem })),
    }
}

async fn route(api: &Api, method: &Method, path: &str, query: &Params, body: &[u8]) -> Answered {
    let (cloud, lambda, bridge) = (&api.cloud, &api.lambda, api.cloud.bridge());
    let parts: Vec<_> = path.trim_end_matches('/').split('/').collect();
    match (method.as_str(), parts.as_slice()) {
        ("GET", ["health"]) => Ok(json!({ "status": "ok" })),
        ("GET", ["dials"]) => shown(&cloud.dials()),
        ("PUT", ["dials"]) => {
            cloud.set_dials(parse(body)?);
            shown(&cloud.dials())
        }
        ("PATCH", ["dials"]) => {
            cloud.set_dials(patched(&cloud.dials(), body)?);
            shown(&cloud.dials())
        }
        ("DELETE", ["dials"]) => {
            cloud.set_dials(Dials::default());
            shown(&cloud.dials())
        }
        ("POST", ["faults"]) => {
            cloud.inject(parse::<Fault>(body)?);
            shown(&cloud.dials())
        }
        ("GET", ["estate"]) => shown(&cloud.estate()),
        ("PUT", ["estate"]) => {
            cloud.set_estate(parse(body)?);
            shown(&cloud.estate())
        }
        ("PATCH", ["estate"]) => {
            cloud.set_estate(patched::<Estate>(&cloud.estate(), body)?);
            shown(&cloud.estate())
        }
        ("DELETE", ["estate"]) => {
            cloud.set_estate(Estate::default());
            shown(&cloud.estate())
        }
        ("GET", ["calls"]) => {
            let action = query.text("action");
            let calls: Vec<_> = cloud
                .calls()
                .into_iter()
                .filter(|call| action.is_none_or(|action| call.action == action))
                .collect();
            shown(&calls)
        }
        ("DELETE", ["calls"]) => {
            cloud.clear_calls();
            Ok(json!([]))
        }
        ("GET", ["trail"]) => shown(&cloud.records()),
        ("POST", ["trail"]) => {
            let record: Value = parse(body)?;
            cloud.emit(record.clone());
            Ok(record)
        }
        ("PUT", ["identities", key]) => {
            let identity = parse::<Described>(body)?.into();
            let shape = shown(&identity)?;
            cloud.register(key, identity);
            Ok(shape)
        }
        ("POST", ["peerings"]) => {
            let vpcs: Vec<String> = parse::<Value>(body)?
                .get("vpcs")
                .cloned()
                .and_then(|vpcs| serde_json::from_value(vpcs).ok())
                .unwrap_or_default();
            match &vpcs[..] {
                [one, other] => Ok(json!({ "id": cloud.peer(one, other) })),
                _ => Err((
                    StatusCode::BAD_REQUEST,
                    "vpcs: two ids are needed".to_owned(),
                )),
            }
        }
        ("GET", ["queues", name]) => shown(&api.queues.bodies(name)),
        ("GET", ["events"]) => shown(&api.buses.events()),
        ("GET", ["bridge"]) => shown(&bridge.delivery()),
        ("PUT", ["bridge"]) => {
            bridge.set_delivery(parse(body)?);
            shown(&bridge.delivery())
        }
        ("PATCH", ["bridge"]) => {
            bridge.set_delivery(patched::<Delivery>(&bridge.delivery(), body)?);
            shown(&bridge.delivery())
        }
        ("GET", ["bridge", "log"]) => shown(&bridge.log()),
        ("GET", ["bridge", "held"]) => shown(&bridge.held()),
        ("POST", ["bridge", "release"]) => {
            let order = if body.is_empty() {
                Value::Null
            } else {
                parse::<Value>(body)?["order"].clone()
            };
            if order.is_null() {
                bridge.release_all();
            } else {
                let order: Vec<usize> = serde_json::from_value(order)
                    .map_err(|error| (StatusCode::BAD_REQUEST, format!("order: {error}")))?;
                bridge.release(&order);
            }
            shown(&bridge.held())
        }
        ("POST", ["schedule"]) => Ok(bridge.schedule("rulekeeper-sweep")),
        ("GET", ["lambda"]) => Ok(json!({
            "name": lambda.name(), "arn": lambda.arn(), "load": lambda.load(), "instances": lambda.instances(),
            "invocations": lambda.invocations(), "dead_letters": lambda.dead_letters(),
        })),
        ("GET", ["lambda", "logs"]) => match query.text("request_id") {
            Some(id) => shown(&lambda.logs_of(id)),
            None => shown(&lambda.logs()),
        },
        ("DELETE", ["lambda"]) => {
            lambda.clear();
            Ok(json!({}))
        }
        ("POST", ["lambda", "kill"]) => {
            lambda.kill_instances();
            Ok(json!({}))
        }
        ("POST", ["lambda", "wait-idle"]) => {
            let timeout = query.text("timeout_ms").map_or(Ok(10_000), str::parse);
            let timeout = timeout
                .map_err(|error| (StatusCode::BAD_REQUEST, format!("timeout_ms: {error}")))?;
            match lambda.wait_idle(Duration::from_millis(timeout)).await {
                Ok(()) => shown(&lambda.load()),
                Err(busy) => Err((StatusCode::REQUEST_TIMEOUT, busy.to_string())),
            }
        }
        _ => Err((
            StatusCode::NOT_FOUND,
            format!("there is no {method} /_local/{path}"),
        )),
    }
}

fn shown(value: &impl Serialize) -> Answered {
    serde_json::to_value(value)
        .map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, (StatusCode, String)> {
    serde_json::from_slice(body).map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))
}

/// `now` with the members of the body in place of its own.
fn patched<T: Serialize + DeserializeOwned>(
    now: &T,
    body: &[u8],
) -> Result<T, (StatusCode, String)> {
    let mut shape = shown(now)?;
    let changes: serde_json::Map<String, Value> = parse(body)?;
    for (name, value) in changes {
        shape[name] = value;
    }
    serde_json::from_value(shape).map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))
}

/// `POST /2015-03-31/functions/NAME/invocations` (Lambda API Reference, Invoke).
pub(crate) async fn invoke(lambda: &Lambda, headers: &HeaderMap, body: &[u8]) -> Response<Body> {
    let payload = if body.is_empty() {
        Ok(json!({}))
    } else {
        serde_json::from_slice(body)
    };
    let Ok(payload) = payload else {
        return problem(
            StatusCode::BAD_REQUEST,
            "InvalidRequestContentException",
            "Could not parse request body into json",
        );
    };
    match headers
        .get("x-amz-invocation-type")
        .and_then(|value| value.to_str().ok())
        .unwrap_or("RequestResponse")
    {
        "Event" => {
            let id = lambda.invoke_event(payload);
            with(
                answer(StatusCode::ACCEPTED, "application/json", ""),
                "x-amzn-requestid",
                &id,
            )
        }
        "RequestResponse" => {
            let result = lambda.invoke(payload).await;
            let mut response = json_answer(StatusCode::OK, &result.payload);
            response = with(response, "x-amzn-requestid", &result.request_id);
            response = with(response, "x-amz-executed-version", "$LATEST");
            match result.function_error {
                Some(kind) => with(response, "x-amz-function-error", &kind),
                None => response,
            }
        }
        "DryRun" => answer(StatusCode::NO_CONTENT, "application/json", ""),
        other => problem(
            StatusCode::BAD_REQUEST,
            "InvalidParameterValueException",
            &format!("invocation type {other}"),
        ),
    }
}

pub(crate) fn problem(status: StatusCode, kind: &str, message: &str) -> Response<Body> {
    let response = json_answer(
        status,
        &json!({ "Type": "User", "Message": message, "message": message }),
    );
    with(response, "x-amzn-errortype", kind)
}

fn with(mut response: Response<Body>, name: &'static str, value: &str) -> Response<Body> {
    if let Ok(value) = value.parse() {
        response.headers_mut().insert(name, value);
    }
    response
}
