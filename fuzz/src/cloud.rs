//! The adapters' real clients, and a network that gives one answer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use rulekeeper::aws::{Clients, DynamoTable, Ec2, load_sdk_config};
use rulekeeper_core::fakes::group;
use rulekeeper_core::ports::{ApiError, Budget, Calls, Clouds as _, Pace};
use tokio::runtime::{Builder, Runtime};

/// An input: its first line is `STATUS CALL`, and the rest is the body of the answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer<'i> {
    status: u16,
    pub(crate) call: &'i str,
    body: &'i [u8],
    /// The body of the answer to a request that goes on from the first answer, if the request is such.
    pub(crate) more: fn(&str) -> Option<String>,
}

impl<'i> Answer<'i> {
    pub(crate) fn of(input: &'i [u8], more: fn(&str) -> Option<String>) -> Option<Self> {
        let end = input.iter().position(|it| *it == b'\n')?;
        let head = str::from_utf8(&input[..end]).ok()?;
        let (status, call) = head.split_once(' ')?;
        Some(Self {
            status: status.parse().ok().filter(|it| (200..600).contains(it))?,
            call,
            body: &input[end + 1..],
            more,
        })
    }

    pub(crate) fn text(&self) -> &'i str {
        str::from_utf8(self.body).expect("what is used is a text")
    }

    /// What a call makes of the answer; nothing if it does not use it.
    pub(crate) fn used<T>(
        &self,
        call: impl AsyncFn(Ec2, DynamoTable) -> Result<T, ApiError>,
    ) -> Option<T> {
        let body = String::from_utf8_lossy(self.body);
        match CLOUD.with(|cloud| cloud.ask(self, true, &call)) {
            Ok(used) => {
                assert_eq!(self.status, 200, "taken for an answer");
                let is_json = body.trim_start().starts_with('{');
                let forged = is_json && CLOUD.with(|cloud| cloud.ask(self, false, &call)).is_ok();
                assert!(!forged, "taken for one of AWS without its request id");
                Some(used)
            }
            Err(error) => {
                assert!(!error.code().is_empty(), "{error:?}");
                // A refusal has a code, which the service gave. Whatever else is wrong may be right next time.
                let given = body.contains(error.code()) || body.contains(['\\', '&']);
                let refused = self.status >= 300 && given;
                assert!(refused || error.is_retryable(), "{error:?}");
                None
            }
        }
    }
}

/// What the network says to each request, and whether with the id of the request.
type Said = (u16, Vec<u8>, fn(&str) -> Option<String>, bool);

#[derive(Debug, Clone, Default)]
struct Network(Arc<Mutex<Option<Said>>>);

impl HttpConnector for Network {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let asked = String::from_utf8_lossy(request.body().bytes().unwrap_or_default());
        let said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (status, body, more, with_id) = said.clone().expect("an answer to give");
        let (status, body) = match more(&asked) {
            Some(body) => (200, SdkBody::from(body)),
            None => (status, SdkBody::from(body)),
        };
        let status = StatusCode::try_from(status).expect("a status");
        let mut answer = HttpResponse::new(status, body);
        if with_id {
            answer.headers_mut().insert("x-amzn-requestid", "r");
        }
        HttpConnectorFuture::ready(Ok(answer))
    }
}

struct Cloud {
    runtime: Runtime,
    clients: Clients,
    network: Network,
}

thread_local! {
    static CLOUD: Cloud = Cloud::new();
}

impl Cloud {
    fn new() -> Self {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let credentials = Credentials::new("AKIDLOCAL", "local", None, None, "test");
        let loader = aws_config::from_env()
            .region("eu-west-1")
            .endpoint_url("http://cloud.test")
            .credentials_provider(SharedCredentialsProvider::new(credentials));
        let config = runtime.block_on(load_sdk_config(loader, None));
        let network = Network::default();
        let connector = SharedHttpConnector::new(network.clone());
        let config = config
            .into_builder()
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .retry_config(RetryConfig::disabled())
            .build();
        Self {
            runtime,
            clients: Clients::new(config, "t".to_owned(), None),
            network,
        }
    }

    fn ask<T>(
        &self,
        answer: &Answer<'_>,
        with_id: bool,
        call: impl AsyncFn(Ec2, DynamoTable) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let said = (answer.status, answer.body.to_vec(), answer.more, with_id);
        let mut next = self
            .network
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *next = Some(said);
        drop(next);
        self.runtime.block_on(async {
            let (calls, budget) = (Calls::default(), Budget::of(Duration::from_secs(20)));
            let scope = group().scope;
            let clients = &self.clients;
            let (ec2, table) = clients
                .in_scope(&scope, false, Pace::Free, &calls, budget)
                .await;
            call(ec2, table).await
        })
    }
}
