//! The services behind the endpoint.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::{AUTHORIZATION, HOST, HeaderValue, USER_AGENT};
use axum::http::request::Parts;

use crate::cloud::Cloud;
use crate::dynamodb::DynamoDb;
use crate::ec2::Ec2Error;
use crate::events::Buses;
use crate::identity::{Caller, credential};
use crate::lambda::Lambda;
use crate::sqs::Queues;

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
    Sns,
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
            Self::Sns => "sns",
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

    /// A refusal by the dials with the code of this service.
    pub(crate) fn in_service_terms(self, refusal: Ec2Error) -> Ec2Error {
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

/// The caller, from the headers.
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
