//! HTTP/1.1 on loopback: serves axum's routes, and can close a connection without an answer.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::{self, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tower::ServiceExt;

/// Takes the place of an answer: the connection closes without one.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("connection closed without an answer, as the dials ask")]
pub(crate) struct Hangup;

impl IntoResponse for Hangup {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        response.extensions_mut().insert(self);
        response
    }
}

/// Serves until dropped; then connections end.
///
/// `axum::serve` cannot close a connection without an answer; here a [`Hangup`] does.
pub(crate) async fn serve(listener: TcpListener, routes: Router) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = routes.clone().oneshot(request);
        async {
            let Ok(response) = answer.await;
            match response.extensions().get::<Hangup>() {
                Some(hangup) => Err(*hangup),
                None => Ok(response),
            }
        }
    });
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                // An error means that the peer is gone already.
                let _ = stream.set_nodelay(true);
                let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service.clone());
                connections.spawn(async move {
                    if let Err(error) = served.await {
                        tracing::debug!(%error, "connection ended");
                    }
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// A JSON answer with its whole body in memory, so that the journal can read it.
pub(crate) fn json(value: &Value) -> http::Response<Bytes> {
    let mut answer = http::Response::new(Bytes::from(value.to_string()));
    let kind = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

/// A status by its number; 400 for an invalid number.
pub(crate) fn status(number: u16) -> StatusCode {
    StatusCode::from_u16(number).unwrap_or(StatusCode::BAD_REQUEST)
}
