//! The services behind the endpoint, and the way that every call takes through them: journal, latency, hooks, dials.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::FromRequestParts;
use axum::http::header::{AUTHORIZATION, HOST, HeaderValue, USER_AGENT};
use axum::http::request::Parts;
use axum::http::{self, StatusCode};
use serde_json::{Map, Value};

use crate::cloud::{Cloud, Verdict};
use crate::dials::Dials;
use crate::dynamodb::DynamoDb;
use crate::ec2::Ec2Error;
use crate::events::Buses;
use crate::http::Hangup;
use crate::identity::{Caller, credential};
use crate::journal::Call;
use crate::lambda::Lambda;
use crate::sqs::Queues;
use crate::times;

/// What the endpoint serves; clones are the same services.
#[derive(Debug, Clone)]
pub(crate) struct Services {
    pub(crate) cloud: Cloud,
    pub(crate) lambda: Lambda,
    pub(crate) dynamodb: Arc<DynamoDb>,
    pub(crate) queues: Queues,
    pub(crate) buses: Buses,
}

/// A service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    Ec2,
    Sts,
    DynamoDb,
    Sqs,
    EventBridge,
    CloudTrail,
    Lambda,
}

impl Service {
    /// Its name in policies and in the journal.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ec2 => "ec2",
            Self::Sts => "sts",
            Self::DynamoDb => "dynamodb",
            Self::Sqs => "sqs",
            Self::EventBridge => "events",
            Self::CloudTrail => "cloudtrail",
            Self::Lambda => "lambda",
        }
    }

    pub(crate) fn not_imitated(self, action: &str) -> Ec2Error {
        let message = format!("rulekeeper-local does not imitate {}:{action}", self.name());
        Ec2Error::new("UnknownOperationException", message)
    }

    /// A refusal by the dials as the service words it.
    fn in_its_words(self, refusal: Ec2Error) -> Ec2Error {
        match self {
            // DynamoDB's name for throttling, and its status (DynamoDB Developer Guide, "Error handling").
            Self::DynamoDb | Self::Sqs | Self::EventBridge | Self::CloudTrail
                if refusal.code == "RequestLimitExceeded" && refusal.status == 503 =>
            {
                Ec2Error::new("ThrottlingException", refusal.message)
            }
            _ => refusal,
        }
    }
}

/// A call that came in.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) caller: &'a Caller,
    pub(crate) service: Service,
    pub(crate) action: &'a str,
    /// The first group that it names.
    pub(crate) group: Option<String>,
}

/// Who calls, by the headers.
impl FromRequestParts<Services> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        services: &Services,
    ) -> Result<Self, Infallible> {
        let text = |name| {
            let value: Option<&HeaderValue> = parts.headers.get(name);
            value.and_then(|value| value.to_str().ok()).unwrap_or("")
        };
        let (key, region, _) = credential(text(AUTHORIZATION)).unwrap_or(("", "us-east-1", ""));
        Ok(Self {
            identity: services.cloud.identify(key),
            access_key: key.to_owned(),
            region: region.to_owned(),
            user_agent: text(USER_AGENT).to_owned(),
            host: text(HOST).to_owned(),
        })
    }
}

/// What an answer's outcome is in the journal.
pub(crate) trait Journaled {
    fn outcome(&self) -> (String, StatusCode) {
        ("Success".to_owned(), StatusCode::OK)
    }
}

impl Journaled for Value {}

impl Journaled for Map<String, Value> {}

impl Journaled for http::Response<Bytes> {
    /// Of an error the name behind `#` in `__type`.
    fn outcome(&self) -> (String, StatusCode) {
        if self.status().is_success() {
            return ("Success".to_owned(), StatusCode::OK);
        }
        let error: Value = serde_json::from_slice(self.body()).unwrap_or_default();
        let kind = error["__type"].as_str().unwrap_or("Unknown");
        let name = kind.rsplit('#').next().unwrap_or(kind);
        (name.to_owned(), self.status())
    }
}

impl Services {
    /// Puts a call through journal, latency, hooks and dials. `run` is the effect of the call: it is awaited only if the call
    /// takes effect. `record` is given the result.
    pub(crate) async fn carry_out<T: Journaled>(
        &self,
        request: &Request<'_>,
        mentions: impl Fn(&str) -> bool,
        denial: impl Fn(&Dials) -> Option<Ec2Error>,
        run: impl Future<Output = Result<T, Ec2Error>>,
        record: impl Fn(&Result<T, Ec2Error>),
    ) -> Result<Result<T, Ec2Error>, Hangup> {
        let (caller, action) = (request.caller, request.action);
        let arrived = Instant::now();
        let sequence = self.cloud.open_call(Call {
            sequence: 0,
            time_ms: 0,
            service: request.service.name().to_owned(),
            action: action.to_owned(),
            account: caller.identity.account.clone(),
            region: caller.region.clone(),
            principal: caller.identity.arn.clone(),
            user_agent: caller.user_agent.clone(),
            group: request.group.clone(),
            outcome: None,
            status: None,
            took_us: 0,
        });
        let close = |outcome: &str, status: Option<u16>| {
            let took_us = times::micros(arrived.elapsed());
            self.cloud.close_call(sequence, outcome, status, took_us);
        };
        let latency = self.cloud.latency(action);
        // Even an empty sleep would take a timer tick.
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        self.cloud.run_hook(action);
        let verdict = self.cloud.judge(caller, action, mentions, denial);
        let result = match verdict {
            Verdict::Go => run.await,
            Verdict::Fail {
                refusal,
                takes_effect,
            } => {
                if takes_effect {
                    // The caller is told of the refusal, whatever the result.
                    drop(run.await);
                }
                Err(request.service.in_its_words(refusal))
            }
            Verdict::Drop { takes_effect } | Verdict::Silence { takes_effect } => {
                if takes_effect {
                    record(&run.await);
                }
                if matches!(verdict, Verdict::Drop { .. }) {
                    close("ConnectionDropped", None);
                    return Err(Hangup);
                }
                close("Silence", None);
                return pending().await;
            }
        };
        // Journal first: the event of the record may wake a reader who looks for the call that caused it.
        match &result {
            Ok(answer) => {
                let (outcome, status) = answer.outcome();
                close(&outcome, Some(status.as_u16()));
            }
            Err(refusal) => close(&refusal.code, Some(refusal.status)),
        }
        record(&result);
        Ok(result)
    }
}
