//! The endpoint: finds the service of a request.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::DATE;
use axum::http::{HeaderMap, Method, Uri};
use axum::middleware::map_response_with_state;
use axum::response::{IntoResponse as _, Response};
use jiff::fmt::rfc2822::DateTimePrinter;
use tower_http::normalize_path::NormalizePath;

use crate::ec2::Params;
use crate::http::Hangup;
use crate::identity::Caller;
use crate::services::Services;
use crate::{admin, json, lambda_api, query};

/// All routes of the endpoint.
pub(crate) fn routes(services: Services) -> Router {
    let routes = Router::new()
        .nest("/_local", admin::routes())
        .merge(lambda_api::routes())
        .fallback(call)
        .layer(DefaultBodyLimit::disable())
        .layer(map_response_with_state(services.clone(), dated))
        .with_state(services);
    Router::new().fallback_service(NormalizePath::trim_trailing_slash(routes))
}

/// A call whose service the headers or the parameters name.
async fn call(
    State(services): State<Services>,
    caller: Caller,
    method: Method,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
) -> Result<Response, Hangup> {
    if method == Method::GET && uri.query().is_none() && uri.path() == "/" {
        // It asks for nothing, and is no call.
        return Ok("healthy: rulekeeper-local\n".into_response());
    }
    if headers.contains_key("x-amz-target") {
        return json::call(&services, &caller, &headers, body).await;
    }
    // A query API takes its parameters from the body and from the URL.
    let query = uri.query().unwrap_or_default();
    let form = format!("{}&{query}", String::from_utf8_lossy(&body));
    query::call(&services, &caller, &Params::parse(&form)).await
}

/// Sets the `Date` of the estate's clock. Without an offset the server writes the true time.
async fn dated(State(services): State<Services>, mut response: Response) -> Response {
    let offset = services.cloud.estate().clock_offset_ms;
    let now = jiff::Timestamp::now() + jiff::SignedDuration::from_millis(offset);
    if offset != 0
        && let Ok(date) = DateTimePrinter::new().timestamp_to_rfc9110_string(&now)
        && let Ok(date) = date.parse()
    {
        response.headers_mut().insert(DATE, date);
    }
    response
}
