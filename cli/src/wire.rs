//! What goes over the wire: an HTTP client around that of the SDK, which every call of every verb passes.
//!
//! - It gives up an endpoint that has never answered within a second or two, where the SDK would try for ten: a wrong address does
//!   not come right by itself. An endpoint that has answered once keeps all of the SDK's attempts, and so does a throttled
//!   call, because that is an answer.
//! - It keeps the troubles that a person can do something about, for the hint at the end.
//! - It keeps what was written, for a command that is interrupted.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_sdk_ec2::config::{ConfigBag, RuntimeComponents};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;

mod asked;

pub(crate) use asked::Asked;

/// How long an endpoint that has never answered is tried. One attempt to connect may take 1.5 s, and the SDK waits up to two
/// before the next; all of it has to stay below three.
const PATIENCE: Duration = Duration::from_millis(600);

/// How long an endpoint that was given up is not tried again.
const REST: Duration = Duration::from_secs(3);

/// An answer of refusal that is longer holds no message for people.
const REFUSAL_BYTES_MAX: usize = 64 * 1024;

/// Something that went wrong with a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// The call.
    pub(crate) asked: Asked,
    /// What was wrong.
    pub(crate) kind: TroubleKind,
}

/// What was wrong with a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TroubleKind {
    /// The endpoint did not let us connect.
    Unreachable(String),
    /// The service refused it.
    Refused {
        /// The error code.
        code: String,
        /// What the service says.
        message: String,
    },
}

/// What is known of all calls so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wire(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// By scheme, host and port.
    endpoints: BTreeMap<String, Endpoint>,
    troubles: Vec<Trouble>,
    /// What was written, in order.
    written: Vec<String>,
    under_way: Vec<String>,
}

#[derive(Debug, Default)]
struct Endpoint {
    answered: bool,
    tried: Option<Instant>,
    given_up: Option<(Instant, String)>,
}

impl Wire {
    /// The client, watched.
    pub(crate) fn around(&self, client: SharedHttpClient) -> SharedHttpClient {
        SharedHttpClient::new(WatchedClient {
            wire: self.clone(),
            client,
        })
    }

    /// What went wrong with calls, in order. An endpoint that answered later is reachable.
    pub(crate) fn troubles(&self) -> Vec<Trouble> {
        self.known().troubles.clone()
    }

    /// What was written so far, and what was being written just now.
    pub(crate) fn written(&self) -> (Vec<String>, Vec<String>) {
        let known = self.known();
        (known.written.clone(), known.under_way.clone())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Notes that a call begins; why it cannot if its endpoint was given up.
    fn begin(&mut self, asked: &Asked) -> Option<String> {
        let endpoint = self.endpoints.entry(asked.endpoint.clone()).or_default();
        if let Some((at, why)) = &endpoint.given_up
            && at.elapsed() < REST
        {
            return Some(why.clone());
        }
        endpoint.tried.get_or_insert_with(Instant::now);
        self.under_way.extend(asked.writes.clone());
        None
    }

    fn end(&mut self, asked: &Asked, took_effect: bool) {
        for write in &asked.writes {
            match took_effect {
                // Also one that was given up before, and is now repeated.
                true => self.under_way.retain(|it| it != write),
                false => {
                    let place = self.under_way.iter().position(|it| it == write);
                    if let Some(place) = place {
                        self.under_way.remove(place);
                    }
                }
            }
            if took_effect && !self.written.contains(write) {
                self.written.push(write.clone());
            }
        }
    }

    fn answered(&mut self, asked: &Asked) {
        let endpoint = self.endpoints.entry(asked.endpoint.clone()).or_default();
        *endpoint = Endpoint {
            answered: true,
            ..Endpoint::default()
        };
        self.troubles.retain(|trouble| {
            trouble.asked.endpoint != asked.endpoint
                || !matches!(trouble.kind, TroubleKind::Unreachable(_))
        });
    }

    /// Whether an endpoint that could not be reached is given up.
    fn gives_up(&mut self, asked: &Asked, why: &str) -> bool {
        let endpoint = self.endpoints.entry(asked.endpoint.clone()).or_default();
        if endpoint.answered
            || endpoint
                .tried
                .is_none_or(|since| since.elapsed() < PATIENCE)
        {
            return false;
        }
        endpoint.given_up = Some((Instant::now(), why.to_owned()));
        self.note(asked, TroubleKind::Unreachable(why.to_owned()));
        true
    }

    fn note(&mut self, asked: &Asked, kind: TroubleKind) {
        let asked = asked.clone();
        let trouble = Trouble { asked, kind };
        if !self.troubles.contains(&trouble) {
            self.troubles.push(trouble);
        }
    }
}

/// An endpoint that was given up.
#[derive(Debug)]
struct GivenUp(String);

impl fmt::Display for GivenUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for GivenUp {}

#[derive(Debug)]
struct WatchedClient {
    wire: Wire,
    client: SharedHttpClient,
}

impl HttpClient for WatchedClient {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(WatchedConnector {
            wire: self.wire.clone(),
            connector: self.client.http_connector(settings, components),
        })
    }

    fn validate_base_client_config(
        &self,
        components: &RuntimeComponentsBuilder,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.client.validate_base_client_config(components, config)
    }

    fn validate_final_config(
        &self,
        components: &RuntimeComponents,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.client.validate_final_config(components, config)
    }
}

#[derive(Debug)]
struct WatchedConnector {
    wire: Wire,
    connector: SharedHttpConnector,
}

impl HttpConnector for WatchedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let asked = Asked::of(&request);
        if let Some(why) = self.wire.known().begin(&asked) {
            return HttpConnectorFuture::ready(Err(given_up(why)));
        }
        let answer = self.connector.call(request);
        let wire = self.wire.clone();
        HttpConnectorFuture::new(async move {
            match answer.await {
                Ok(response) => Ok(heard(&wire, &asked, response).await),
                Err(error) => {
                    let mut known = wire.known();
                    known.end(&asked, false);
                    match unconnected(&error) {
                        Some(why) if known.gives_up(&asked, &why) => Err(given_up(why)),
                        _ => Err(error),
                    }
                }
            }
        })
    }
}

/// The SDK repeats no call that failed by the caller's own fault, such as an address where nobody answers.
fn given_up(why: String) -> ConnectorError {
    ConnectorError::user(Box::new(GivenUp(why)))
}

/// Notes an answer, and gives it on.
async fn heard(wire: &Wire, asked: &Asked, mut response: HttpResponse) -> HttpResponse {
    let status = response.status();
    {
        let mut known = wire.known();
        known.answered(asked);
        known.end(asked, status.is_success());
    }
    if !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let body = std::mem::replace(response.body_mut(), SdkBody::empty());
    let Ok(body) = ByteStream::new(body).collect().await else {
        *response.body_mut() = SdkBody::from("the answer broke off");
        return response;
    };
    let body = body.into_bytes();
    if body.len() <= REFUSAL_BYTES_MAX {
        let header = response.headers().get("x-amzn-errortype");
        if let Some((code, message)) = asked::refusal(header, &body) {
            wire.known()
                .note(asked, TroubleKind::Refused { code, message });
        }
    }
    *response.body_mut() = SdkBody::from(body);
    response
}

/// Why no connection came about; `None` if one did. The HTTP client tells this in words only.
fn unconnected(error: &ConnectorError) -> Option<String> {
    let first: &dyn Error = error;
    let chain = std::iter::successors(Some(first), |&error| error.source());
    let words: Vec<_> = chain.map(ToString::to_string).collect();
    let all = words.join(": ");
    let is = |text: &str| all.contains(text);
    let why = match () {
        () if is("dns error") => "there is no such host",
        () if is("HTTP connect timeout") => "it does not answer",
        () if is("Connection refused") => "the connection is refused",
        () if is("(Connect)") => words.last().map_or("", String::as_str),
        () => return None,
    };
    Some(why.to_owned())
}

#[cfg(test)]
mod tests;
