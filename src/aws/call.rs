//! What every API call has in common: it is counted, it ends in time, and its error is put into our words.

use std::fmt::Debug;
use std::future::Future;

use aws_sdk_ec2::config::ConfigBag;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextRef;
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use tokio::time::Instant;

use crate::error::{ApiError, Failure, without_encoded_part};
use crate::ports::Calls;

/// Counts every attempt of an operation, as it goes over the wire.
#[derive(Debug)]
pub(super) struct CountAttempts {
    pub(super) calls: Calls,
    pub(super) operation: &'static str,
}

#[dyn_dispatch_hint]
impl Intercept for CountAttempts {
    fn name(&self) -> &'static str {
        "CountAttempts"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.calls.count(self.operation);
        Ok(())
    }
}

/// Awaits a call, no longer than until `deadline`.
pub(super) async fn within<T, E>(
    deadline: Instant,
    operation: &'static str,
    call: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
) -> Result<T, ApiError>
where
    E: ProvideErrorMetadata + std::error::Error + Debug + 'static,
{
    match tokio::time::timeout_at(deadline, call).await {
        Ok(Ok(output)) => Ok(output),
        Ok(Err(error)) => Err(api_error(operation, &error)),
        Err(_) => Err(ApiError {
            operation,
            failure: Failure::OutOfTime,
            message: "the invocation's time ran out during the call".to_owned(),
        }),
    }
}

/// An SDK error in our words, whichever service it is from.
pub fn api_error<E>(operation: &'static str, error: &SdkError<E, HttpResponse>) -> ApiError
where
    E: ProvideErrorMetadata + std::error::Error + Debug + 'static,
{
    let status = error
        .raw_response()
        .map(|response| response.status().as_u16());
    let code = error
        .code()
        .map(|code| code.trim_start_matches("Client.").to_owned());
    let failure = match (error, status) {
        (_, Some(status)) if status >= 500 => Failure::Server {
            code: code.unwrap_or_else(|| format!("HTTP {status}")),
        },
        (SdkError::ServiceError(_), _) => Failure::Refused {
            code: code.unwrap_or_else(|| "Unknown".to_owned()),
        },
        (SdkError::ResponseError(_), _) => Failure::Unusable,
        _ => Failure::NoAnswer,
    };
    let message = match error.message() {
        Some(message) => without_encoded_part(message).to_owned(),
        None => causes(error),
    };
    ApiError {
        operation,
        failure,
        message,
    }
}

/// An error and its causes in a line. Some carry a whole answer of the server, which belongs in no report.
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    const LONGEST: usize = 300;
    let chain = std::iter::successors(Some(error), |error| error.source());
    let line = chain
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
