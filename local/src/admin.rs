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

use crate::cloud::Cloud;
use crate::dials::Fault;
use crate::identity::{Identity, NewIdentity};
use crate::services::Services;

type Shared = State<Services>;

/// The routes below `/_local`.
pub(crate) fn routes() -> Router<Services> {
    let delivery = settings(
        |cloud| cloud.bridge().delivery(),
        |cloud, delivery| cloud.bridge().set_delivery(delivery),
    );
    Router::new()
        .route("/health", show(|_| json!({ "status": "ok" })))
        .route("/dials", settings(Cloud::dials, Cloud::set_dials))
        .route("/faults", post(add_fault))
        .route("/estate", settings(Cloud::estate, Cloud::set_estate))
        .route("/calls", get(calls).delete(clear_calls))
        .route("/trail", show(|s| s.cloud.records()).post(emit))
        .route("/identities/{key}", put(register))
        .route("/peerings", post(peer))
        .route("/queues/{name}", get(messages))
        .route("/events", show(|s| s.buses.events()))
        .route("/bridge", delivery)
        .route("/bridge/log", show(|s| s.cloud.bridge().log()))
        .route("/bridge/held", show(|s| s.cloud.bridge().held()))
        .route("/bridge/release", post(release))
        .route("/schedule", post(schedule))
        .route("/lambda", show(function).delete(clear_function))
        .route("/lambda/logs", get(logs))
        .route("/lambda/kill", post(kill_instances))
        .route("/lambda/wait-idle", post(wait_idle))
        .fallback(unknown)
        .method_not_allowed_fallback(unknown)
}

/// `GET` of something.
fn show<T: Serialize + 'static>(view: fn(&Services) -> T) -> MethodRouter<Services> {
    get(async move |State(services): Shared| Json(json!(view(&services))))
}

/// `GET` shows settings, `PUT` replaces them, `PATCH` changes the members given, `DELETE` resets them. Each answers with the
/// settings as they are then.
fn settings<T: Default + Serialize + DeserializeOwned + Send + 'static>(
    view: fn(&Cloud) -> T,
    set: fn(&Cloud, T),
) -> MethodRouter<Services> {
    let changed = move |cloud: &Cloud, settings: T| {
        set(cloud, settings);
        Json(json!(view(cloud)))
    };
    let replace = async move |State(services): Shared, Sent(all)| changed(&services.cloud, all);
    let patch = async move |State(services): Shared, Sent(some): Sent<Map<_, _>>| {
        let mut all = json!(view(&services.cloud));
        for (name, value) in some {
            all[name] = value;
        }
        let all = serde_json::from_value(all).map_err(bad_request)?;
        Ok::<_, Problem>(changed(&services.cloud, all))
    };
    get(async move |State(services): Shared| Json(json!(view(&services.cloud))))
        .put(replace)
        .patch(patch)
        .delete(async move |State(services): Shared| changed(&services.cloud, T::default()))
}

/// A refusal: a status, and a text for the member `error`.
struct Problem(StatusCode, String);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

fn bad_request(error: impl Display) -> Problem {
    Problem(StatusCode::BAD_REQUEST, error.to_string())
}

/// A JSON body; the content type is ignored.
struct Sent<T>(T);

impl<T: DeserializeOwned> FromRequest<Services> for Sent<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, services: &Services) -> Result<Self, Problem> {
        let body = Bytes::from_request(request, services).await;
        let body = body.map_err(bad_request)?;
        let value = serde_json::from_slice(&body).map_err(bad_request)?;
        Ok(Self(value))
    }
}

/// The parameters that a URL may have.
#[derive(Deserialize)]
struct Asked {
    action: Option<String>,
    request_id: Option<String>,
    timeout_ms: Option<u64>,
}

async fn add_fault(State(services): Shared, Sent(fault): Sent<Fault>) -> Json<Value> {
    services.cloud.inject(fault);
    Json(json!(services.cloud.dials()))
}

async fn calls(State(services): Shared, Query(asked): Query<Asked>) -> Json<Value> {
    let mut calls = services.cloud.calls();
    calls.retain(|call| {
        asked
            .action
            .as_ref()
            .is_none_or(|name| call.action == *name)
    });
    Json(json!(calls))
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
    Sent(new): Sent<NewIdentity>,
) -> Json<Value> {
    let identity = Identity::from(new);
    services.cloud.register(&key, identity.clone());
    Json(json!(identity))
}

#[derive(Deserialize)]
struct Peering {
    vpcs: [String; 2],
}

async fn peer(State(services): Shared, Sent(Peering { vpcs }): Sent<Peering>) -> Json<Value> {
    Json(json!({ "id": services.cloud.peer(&vpcs[0], &vpcs[1]) }))
}

async fn messages(State(services): Shared, Path(queue): Path<String>) -> Json<Value> {
    Json(json!(services.queues.bodies(&queue)))
}

#[derive(Default, Deserialize)]
struct Release {
    order: Option<Vec<usize>>,
}

async fn release(State(services): Shared, body: Bytes) -> Result<Json<Value>, Problem> {
    let Release { order } = match body.is_empty() {
        true => Release::default(),
        false => serde_json::from_slice(&body).map_err(bad_request)?,
    };
    let bridge = services.cloud.bridge();
    match order {
        Some(order) => bridge.release(&order),
        None => bridge.release_all(),
    }
    Ok(Json(json!(bridge.held())))
}

async fn schedule(State(services): Shared) -> Json<Value> {
    Json(services.cloud.bridge().schedule("rulekeeper-sweep"))
}

fn function(Services { lambda, .. }: &Services) -> Value {
    json!({
        "name": lambda.name(), "arn": lambda.arn(), "load": lambda.load(), "instances": lambda.instances(),
        "invocations": lambda.invocations(), "dead_letters": lambda.dead_letters(),
    })
}

async fn clear_function(State(services): Shared) -> Json<Value> {
    services.lambda.clear();
    Json(json!({}))
}

async fn logs(State(services): Shared, Query(asked): Query<Asked>) -> Json<Value> {
    Json(match asked.request_id {
        Some(id) => json!(services.lambda.logs_of(&id)),
        None => json!(services.lambda.logs()),
    })
}

async fn kill_instances(State(services): Shared) -> Json<Value> {
    services.lambda.kill_instances();
    Json(json!({}))
}

async fn wait_idle(
    State(services): Shared,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let asked = asked.map_err(|rejection| bad_request(rejection.body_text()))?;
    let within = Duration::from_millis(asked.timeout_ms.unwrap_or(10_000));
    match services.lambda.wait_idle(within).await {
        Ok(()) => Ok(Json(json!(services.lambda.load()))),
        Err(busy) => Err(Problem(StatusCode::REQUEST_TIMEOUT, busy.to_string())),
    }
}

async fn unknown(method: Method, OriginalUri(uri): OriginalUri) -> Problem {
    let message = format!("there is no {method} {}", uri.path());
    Problem(StatusCode::NOT_FOUND, message)
}
