//! HTTP/1.1 on loopback, down to closing a connection without a word.

use std::future::Future;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// A whole answer.
pub(crate) type Body = Full<Bytes>;

/// The connection is to be closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("connection closed without an answer, as dialled")]
pub(crate) struct Hangup;

/// Serves until dropped; connections end with it.
pub(crate) async fn serve<H, F>(listener: TcpListener, handler: H)
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Response<Body>, Hangup>> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                // An error means that the peer is gone already.
                let _ = stream.set_nodelay(true);
                let service = service_fn(handler.clone());
                connections.spawn(async move {
                    let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                    if let Err(error) = served.await {
                        tracing::debug!(%error, "connection ended");
                    }
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// The whole body; what could be read of a broken one.
pub(crate) async fn collect(body: Incoming) -> Bytes {
    body.collect()
        .await
        .map(|all| all.to_bytes())
        .unwrap_or_default()
}

pub(crate) fn answer(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Body> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

pub(crate) fn json_answer(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    match serde_json::to_vec(value) {
        Ok(text) => answer(status, "application/json", text),
        Err(error) => answer(
            StatusCode::INTERNAL_SERVER_ERROR,
            "text/plain",
            error.to_string(),
        ),
    }
}
