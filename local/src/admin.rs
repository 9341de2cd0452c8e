//! The admin API under `/_local/`. The table of paths is in the crate's documentation.

use std::fmt::Display;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequest, OriginalUri, Path, Query, Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post, put};
use axum::{Json, Router};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::dials::Fault;
use crate::identity::Described;
use crate::services::Services;

type Shared = State<Services>;
type Answered = Result<Json<Value>, Problem>;

/// The routes below `/_local`.
pub(crate) fn routes() -> Router<Services> {
    let dials = setting(
        |services| services.cloud.dials(),
        |services, dials| services.cloud.set_dials(dials),
    );
    let estate = setting(
        |services| services.cloud.estate(),
        |services, estate| services.cloud.set_estate(estate),
    );
    let bridge = setting(
        |services| services.cloud.bridge().delivery(),
        |services, delivery| services.cloud.bridge().set_delivery(delivery),
    );
    Router::new()
        .route("/health", get(async || Json(json!({ "status": "ok" }))))
        .route("/dials", dials.delete(reset_dials))
        .route("/faults", post(add_fault))
        .route("/estate", estate.delete(reset_estate))
        .route("/calls", get(calls).delete(clear_calls))
        .route(
            "/trail",
            show(|services| services.cloud.records()).post(emit),
        )
        .route("/identities/{key}", put(register))
        .route("/peerings", post(peer))
        .route("/queues/{name}", get(messages))
        .route("/events", show(|services| services.buses.events()))
        .route("/bridge", bridge)
        .route(
            "/bridge/log",
            show(|services| services.cloud.bridge().log()),
        )
        .route(
            "/bridge/held",
            show(|services| services.cloud.bridge().held()),
        )
        .route("/bridge/release", post(release))
        .route("/schedule", post(schedule))
        .route("/lambda", get(function).delete(clear_function))
        .route("/lambda/logs", get(logs))
        .route("/lambda/kill", post(kill))
        .route("/lambda/wait-idle", post(wait_idle))
        .fallback(unknown)
        .method_not_allowed_fallback(unknown)
}

/// A status, and a text for the member `error`.
struct Problem(StatusCode, String);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        bad_request(rejection.body_text())
    }
}

fn bad_request(error: impl Display) -> Problem {
    Problem(StatusCode::BAD_REQUEST, error.to_string())
}

/// A body that is JSON, whatever its content type says.
struct Sent<T>(T);

impl<T: DeserializeOwned> FromRequest<Services> for Sent<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, services: &Services) -> Result<Self, Problem> {
        let body = Bytes::from_request(request, services)
            .await
            .map_err(bad_request)?;
        serde_json::from_slice(&body).map(Self).map_err(bad_request)
    }
}

/// What a query may ask.
#[derive(Deserialize)]
struct Asked {
    action: Option<String>,
    request_id: Option<String>,
    timeout_ms: Option<u64>,
}

fn shown(value: &impl Serialize) -> Answered {
    match serde_json::to_value(value) {
        Ok(value) => Ok(Json(value)),
        Err(error) => Err(Problem(
            StatusCode::INTERNAL_SERVER_ERROR,
            error.to_string(),
        )),
    }
}

/// `GET` of something.
fn show<T: Serialize + 'static>(view: fn(&Services) -> T) -> MethodRouter<Services> {
    get(async move |State(services): Shared| shown(&view(&services)))
}

/// `GET` of settings, `PUT` of all of them, `PATCH` of the members given; each answers with the settings as they are then.
fn setting<T: Serialize + DeserializeOwned + Send + 'static>(
    view: fn(&Services) -> T,
    set: fn(&Services, T),
) -> MethodRouter<Services> {
    let replace = async move |State(services): Shared, Sent(all): Sent<T>| {
        set(&services, all);
        shown(&view(&services))
    };
    let change = async move |State(services): Shared, Sent(some): Sent<Map<String, Value>>| {
        let Json(mut all) = shown(&view(&services))?;
        for (name, value) in some {
            all[name] = value;
        }
        set(&services, serde_json::from_value(all).map_err(bad_request)?);
        shown(&view(&services))
    };
    show(view).put(replace).patch(change)
}

async fn reset_dials(State(services): Shared) -> Answered {
    services.cloud.set_dials(Default::default());
    shown(&services.cloud.dials())
}

async fn reset_estate(State(services): Shared) -> Answered {
    services.cloud.set_estate(Default::default());
    shown(&services.cloud.estate())
}

async fn add_fault(State(services): Shared, Sent(fault): Sent<Fault>) -> Answered {
    services.cloud.inject(fault);
    shown(&services.cloud.dials())
}

async fn calls(State(services): Shared, Query(asked): Query<Asked>) -> Answered {
    let mut calls = services.cloud.calls();
    calls.retain(|call| asked.action.as_ref().is_none_or(|it| call.action == *it));
    shown(&calls)
}

async fn clear_calls(State(services): Shared) -> Json<Value> {
    services.cloud.clear_calls();
    Json(json!([]))
}

async fn emit(State(services): Shared, Sent(record): Sent<Value>) -> Json<Value> {
    services.cloud.emit(record.clone());
    Json(record)
}

async fn register(
    State(services): Shared,
    Path(key): Path<String>,
    Sent(described): Sent<Described>,
) -> Answered {
    let identity = described.into();
    let answer = shown(&identity);
    services.cloud.register(&key, identity);
    answer
}

#[derive(Deserialize)]
struct Peering {
    vpcs: [String; 2],
}

async fn peer(
    State(services): Shared,
    Sent(Peering { vpcs: [one, other] }): Sent<Peering>,
) -> Json<Value> {
    Json(json!({ "id": services.cloud.peer(&one, &other) }))
}

async fn messages(State(services): Shared, Path(queue): Path<String>) -> Answered {
    shown(&services.queues.bodies(&queue))
}

#[derive(Default, Deserialize)]
struct Release {
    order: Option<Vec<usize>>,
}

async fn release(State(services): Shared, body: Bytes) -> Answered {
    let Release { order } = match body.is_empty() {
        true => Release::default(),
        false => serde_json::from_slice(&body).map_err(bad_request)?,
    };
    match order {
        Some(order) => services.cloud.bridge().release(&order),
        None => services.cloud.bridge().release_all(),
    }
    shown(&services.cloud.bridge().held())
}

async fn schedule(State(services): Shared) -> Json<Value> {
    Json(services.cloud.bridge().schedule("rulekeeper-sweep"))
}

async fn function(State(Services { lambda, .. }): Shared) -> Json<Value> {
    Json(json!({
        "name": lambda.name(), "arn": lambda.arn(), "load": lambda.load(), "instances": lambda.instances(),
        "invocations": lambda.invocations(), "dead_letters": lambda.dead_letters(),
    }))
}

async fn clear_function(State(services): Shared) -> Json<Value> {
    services.lambda.clear();
    Json(json!({}))
}

async fn logs(State(services): Shared, Query(asked): Query<Asked>) -> Answered {
    match asked.request_id {
        Some(id) => shown(&services.lambda.logs_of(&id)),
        None => shown(&services.lambda.logs()),
    }
}

async fn kill(State(services): Shared) -> Json<Value> {
    services.lambda.kill_instances();
    Json(json!({}))
}

async fn wait_idle(
    State(services): Shared,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Answered {
    let within = Duration::from_millis(asked?.timeout_ms.unwrap_or(10_000));
    match services.lambda.wait_idle(within).await {
        Ok(()) => shown(&services.lambda.load()),
        Err(busy) => Err(Problem(StatusCode::REQUEST_TIMEOUT, busy.to_string())),
    }
}

async fn unknown(method: Method, OriginalUri(uri): OriginalUri) -> Problem {
    let message = format!("there is no {method} {}", uri.path());
    Problem(StatusCode::NOT_FOUND, message)
}
