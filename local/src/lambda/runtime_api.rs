//! The Runtime API (Lambda Developer Guide, "Using the Lambda runtime API"), at `/2018-06-01/runtime/…`.
//!
//! Each process of ours has a port of its own, so that we know which instance asks. A path would not do: `AWS_LAMBDA_RUNTIME_API` is a bare `host:port` by contract, and the runtimes accept no path in it.

use std::time::Instant;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, OriginalUri, Path, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::{Lambda, Outcome, PAYLOAD_BYTES_MAX};
use crate::times;

/// The function, and the instance that asks.
type Asker = State<(Lambda, u64)>;

/// The routes of one instance.
pub(crate) fn routes(lambda: Lambda, instance: u64) -> Router {
    let runtime = Router::new()
        .route("/invocation/next", get(next))
        .route("/invocation/{id}/response", post(response))
        .route("/invocation/{id}/error", post(failure))
        .route("/init/error", post(init_error));
    Router::new()
        .nest("/2018-06-01/runtime", runtime)
        .fallback(not_imitated)
        .method_not_allowed_fallback(not_imitated)
        .layer(DefaultBodyLimit::disable())
        .with_state((lambda, instance))
}

async fn next(State((lambda, instance)): Asker) -> Response {
    let Ok(assignment) = lambda.next(instance).await else {
        return problem(
            StatusCode::GONE,
            "Closed",
            "the local stack is shutting down",
        );
    };
    let epoch = times::epoch_ms() / 1000;
    let root = format!("{:024x}", fastrand::u128(..) >> 32);
    let parent = format!("{:016x}", fastrand::u64(..));
    let headers = [
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
    ];
    (headers, Json(assignment.payload)).into_response()
}

async fn response(asker: Asker, Path(id): Path<String>, body: Bytes) -> Response {
    if body.len() > PAYLOAD_BYTES_MAX {
        // Lambda Developer Guide, "Using the Lambda runtime API": 413. The invocation fails.
        let message = format!(
            "Response payload size ({} bytes) exceeded maximum allowed payload size ({PAYLOAD_BYTES_MAX} bytes).",
            body.len()
        );
        let error =
            json!({ "errorType": "Function.ResponseSizeTooLarge", "errorMessage": message });
        let refused = problem(
            StatusCode::PAYLOAD_TOO_LARGE,
            "Function.ResponseSizeTooLarge",
            &message,
        );
        drop(finish(asker, &id, Outcome::FunctionError, error).await);
        return refused;
    }
    finish(asker, &id, Outcome::Success, parse(&body)).await
}

async fn failure(
    asker: Asker,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    finish(asker, &id, Outcome::FunctionError, error(&headers, &body)).await
}

async fn init_error(State((lambda, instance)): Asker, headers: HeaderMap, body: Bytes) -> Response {
    lambda.init_error(instance, error(&headers, &body));
    accepted()
}

async fn finish(
    State((lambda, instance)): Asker,
    id: &str,
    outcome: Outcome,
    response: Value,
) -> Response {
    let ended = Instant::now();
    lambda.output_read(instance).await;
    if lambda.finish(id, outcome, response, ended) {
        return accepted();
    }
    let message = format!("no invocation {id} is running");
    problem(StatusCode::BAD_REQUEST, "InvalidRequestID", &message)
}

async fn not_imitated(method: Method, OriginalUri(uri): OriginalUri) -> Response {
    let message = format!("rulekeeper-local does not imitate {method} {}", uri.path());
    problem(StatusCode::NOT_FOUND, "InvalidPath", &message)
}

fn accepted() -> Response {
    (StatusCode::ACCEPTED, Json(json!({ "status": "OK" }))).into_response()
}

fn problem(status: StatusCode, kind: &str, message: &str) -> Response {
    let body = json!({ "errorType": kind, "errorMessage": message });
    (status, Json(body)).into_response()
}

fn parse(body: &Bytes) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|_| json!(String::from_utf8_lossy(body)))
}

/// The error object. A body that is not an object is wrapped in one, with the type from the header.
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
