//! Lambda's API for the one function (Lambda API Reference). Each operation has the version of its introduction in its path.

use axum::body::Bytes;
use axum::extract::{OriginalUri, Path, State};
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any, get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::call::{Call, Sent};
use crate::ec2::Ec2Error;
use crate::estate::Estate;
use crate::http::{self, Hangup};
use crate::identity::Caller;
use crate::lambda::{EVENT_BYTES_MAX, Lambda, PAYLOAD_BYTES_MAX};
use crate::services::{Service, Services};

type Shared = State<Services>;
type Answered = Result<Response, Hangup>;

const JSON: [(HeaderName, &str); 1] = [(CONTENT_TYPE, "application/json")];

/// The routes of the operations; other paths of these versions are refused.
pub(crate) fn routes() -> Router<Services> {
    let configuration = read("GetFunctionConfiguration", |lambda, estate| {
        Ok(lambda.configuration(estate))
    });
    let concurrency = read("GetFunctionConcurrency", |_, estate| {
        Ok(match estate.function.reserved_concurrency {
            Some(reserved) => json!({ "ReservedConcurrentExecutions": reserved }),
            None => json!({}),
        })
    });
    let event_invoke_config = read("GetFunctionEventInvokeConfig", Lambda::event_invoke_config);
    Router::new()
        .route("/2015-03-31/functions", get(list))
        .route("/2015-03-31/functions/{name}/configuration", configuration)
        .route("/2015-03-31/functions/{name}/invocations", post(invoke))
        .route(
            "/2019-09-25/functions/{name}/event-invoke-config",
            event_invoke_config,
        )
        .route("/2019-09-30/functions/{name}/concurrency", concurrency)
        .route("/2015-03-31/{*rest}", any(not_imitated))
        .route("/2019-09-25/{*rest}", any(not_imitated))
        .route("/2019-09-30/{*rest}", any(not_imitated))
        .method_not_allowed_fallback(not_imitated)
}

/// The answer of an operation on the function, which exists.
type View = fn(&Lambda, &Estate) -> Result<Value, Ec2Error>;

/// An operation that only reads.
fn read(operation: &'static str, view: View) -> MethodRouter<Services> {
    get(
        async move |State(services): Shared, Path(name): Path<String>, caller: Caller| {
            let result = carry_out(&services, &caller, operation, Some(&name), "", view).await;
            result.map(answer)
        },
    )
}

async fn list(State(services): Shared, caller: Caller) -> Answered {
    let view: View = |lambda, estate| {
        let there = (!estate.function.absent).then(|| lambda.configuration(estate));
        Ok(json!({ "Functions": Vec::from_iter(there) }))
    };
    let result = carry_out(&services, &caller, "ListFunctions", None, "", view).await;
    result.map(answer)
}

/// Invoke. The journal leaves out the invocation's own time.
async fn invoke(
    State(services): Shared,
    Path(name): Path<String>,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Answered {
    let view: View = |_, estate| match estate.function.reserved_concurrency {
        Some(0) => {
            Err(Ec2Error::new("TooManyRequestsException", "Rate Exceeded.").with_status(429))
        }
        _ => Ok(Value::Null),
    };
    let text = String::from_utf8_lossy(&body);
    match carry_out(&services, &caller, "Invoke", Some(&name), &text, view).await? {
        Ok(_) => Ok(invocation(&services.lambda, &headers, &body).await),
        refused => Ok(answer(refused)),
    }
}

async fn invocation(lambda: &Lambda, headers: &HeaderMap, body: &Bytes) -> Response {
    let payload = match body.is_empty() {
        true => Ok(json!({})),
        false => serde_json::from_slice(body),
    };
    let Ok(payload) = payload else {
        return problem(
            StatusCode::BAD_REQUEST,
            "InvalidRequestContentException",
            "Could not parse request body into json",
        );
    };
    let kind = headers.get("x-amz-invocation-type");
    let kind = kind.map_or(Ok("RequestResponse"), |kind| kind.to_str());
    let bytes_max = match kind {
        Ok("Event") => EVENT_BYTES_MAX,
        _ => PAYLOAD_BYTES_MAX,
    };
    if body.len() > bytes_max {
        return problem(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestTooLargeException",
            &format!(
                "Request must be smaller than {bytes_max} bytes for the InvokeFunction operation"
            ),
        );
    }
    match kind {
        Ok("Event") => {
            let id = [("x-amzn-requestid", lambda.invoke_event(payload))];
            (StatusCode::ACCEPTED, JSON, id).into_response()
        }
        Ok("RequestResponse") => {
            let result = lambda.invoke(payload).await;
            let head = [
                ("x-amzn-requestid", result.request_id),
                ("x-amz-executed-version", "$LATEST".to_owned()),
            ];
            let error = result
                .function_error
                .map(|error| [("x-amz-function-error", error)]);
            (head, error, Json(result.payload)).into_response()
        }
        Ok("DryRun") => (StatusCode::NO_CONTENT, JSON).into_response(),
        other => problem(
            StatusCode::BAD_REQUEST,
            "InvalidParameterValueException",
            &format!("invocation type {}", other.unwrap_or_default()),
        ),
    }
}

async fn carry_out(
    services: &Services,
    caller: &Caller,
    action: &str,
    name: Option<&str>,
    text: &str,
    view: View,
) -> Result<Result<Value, Ec2Error>, Hangup> {
    let (lambda, estate) = (&services.lambda, services.cloud.estate());
    let run = async {
        match name {
            Some(name) if estate.function.absent || !lambda.is(name) => {
                let message = format!(
                    "Function not found: {name} (rulekeeper-local runs one function, {})",
                    lambda.name()
                );
                Err(Ec2Error::new("ResourceNotFoundException", message).with_status(404))
            }
            _ => view(lambda, &estate),
        }
    };
    let call = Call {
        caller,
        service: Service::Lambda,
        action,
        sent: Sent::Text(text),
    };
    services.carry_out(&call, run, |_| {}).await
}

async fn not_imitated(method: Method, OriginalUri(uri): OriginalUri) -> Response {
    let message = format!("rulekeeper-local does not imitate {method} {}", uri.path());
    problem(StatusCode::NOT_FOUND, "UnknownOperationException", &message)
}

fn answer(result: Result<Value, Ec2Error>) -> Response {
    match result {
        Ok(value) => Json(value).into_response(),
        Err(refusal) => problem(
            http::status(refusal.status),
            &refusal.code,
            &refusal.message,
        ),
    }
}

fn problem(status: StatusCode, kind: &str, message: &str) -> Response {
    let body = json!({ "Type": "User", "Message": message, "message": message });
    (status, [("x-amzn-errortype", kind)], Json(body)).into_response()
}
