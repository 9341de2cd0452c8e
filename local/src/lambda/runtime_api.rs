//! The Runtime API (Lambda Developer Guide, "Using the Lambda runtime API"), at `/2018-06-01/runtime/…`.
//!
//! Each process of ours gets a port of its own, so that we know who asks: `AWS_LAMBDA_RUNTIME_API` is a bare `host:port` by contract, and neither the Rust runtime nor others take a path in it without a scheme.

use std::time::Instant;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::{HeaderMap, Request, Response, StatusCode};
use serde_json::{Value, json};

use super::{Lambda, Outcome};
use crate::http::{Body, json_answer};
use crate::times;

/// Answers one request of an instance.
pub(crate) async fn answer(
    lambda: &Lambda,
    instance: u64,
    request: Request<Incoming>,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = crate::http::collect(body).await;
    let (method, headers) = (&parts.method, &parts.headers);
    let path = parts.uri.path();
    let Some(path) = path.strip_prefix("/2018-06-01/runtime/") else {
        return problem(
            StatusCode::NOT_FOUND,
            "InvalidPath",
            &format!("rulekeeper-local does not imitate {path}"),
        );
    };
    match (
        method.as_str(),
        path.split('/').collect::<Vec<_>>().as_slice(),
    ) {
        ("GET", ["invocation", "next"]) => next(lambda, instance).await,
        ("POST", ["invocation", id, "response"]) => {
            finish(lambda, instance, id, Outcome::Success, parse(&body)).await
        }
        ("POST", ["invocation", id, "error"]) => {
            finish(
                lambda,
                instance,
                id,
                Outcome::FunctionError,
                error(headers, &body),
            )
            .await
        }
        ("POST", ["init", "error"]) => {
            lambda.init_error(instance, error(headers, &body));
            accepted()
        }
        _ => problem(
            StatusCode::NOT_FOUND,
            "InvalidPath",
            &format!("rulekeeper-local does not imitate {method} {path}"),
        ),
    }
}

async fn next(lambda: &Lambda, instance: u64) -> Response<Body> {
    let Ok(assignment) = lambda.next(instance).await else {
        return problem(
            StatusCode::GONE,
            "Closed",
            "the local stack is shutting down",
        );
    };
    let mut response = json_answer(StatusCode::OK, &assignment.payload);
    let epoch = times::epoch_ms() / 1000;
    let root = format!("{:024x}", fastrand::u128(..) >> 32);
    let parent = format!("{:016x}", fastrand::u64(..));
    for (name, value) in [
        ("lambda-runtime-aws-request-id", assignment.request_id),
        (
            "lambda-runtime-deadline-ms",
            assignment.deadline_ms.to_string(),
        ),
        ("lambda-runtime-invoked-function-arn", lambda.arn()),
        (
            "lambda-runtime-trace-id",
            format!("Root=1-{epoch:08x}-{root};Parent={parent};Sampled=0"),
        ),
    ] {
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

async fn finish(
    lambda: &Lambda,
    instance: u64,
    id: &str,
    outcome: Outcome,
    response: Value,
) -> Response<Body> {
    let ended = Instant::now();
    lambda.drained(instance).await;
    if lambda.finish(id, outcome, response, ended) {
        return accepted();
    }
    problem(
        StatusCode::BAD_REQUEST,
        "InvalidRequestID",
        &format!("no invocation {id} is running"),
    )
}

fn accepted() -> Response<Body> {
    json_answer(StatusCode::ACCEPTED, &json!({ "status": "OK" }))
}

fn problem(status: StatusCode, kind: &str, message: &str) -> Response<Body> {
    json_answer(
        status,
        &json!({ "errorType": kind, "errorMessage": message }),
    )
}

fn parse(body: &Bytes) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|_| json!(String::from_utf8_lossy(body)))
}

/// The error object; a body that is none is wrapped, with the type out of the header.
fn error(headers: &HeaderMap, body: &Bytes) -> Value {
    let parsed = parse(body);
    if parsed.is_object() {
        return parsed;
    }
    let kind = headers
        .get("lambda-runtime-function-error-type")
        .and_then(|value| value.to_str().ok());
    json!({ "errorType": kind.unwrap_or("Unhandled"), "errorMessage": parsed })
}
