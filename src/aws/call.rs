//! Helpers for API calls: counting, a deadline, and our error type.

use std::fmt::Debug;
use std::future::Future;

use aws_sdk_ec2::config::ConfigBag;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::{
    AfterDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextMut,
    BeforeTransmitInterceptorContextRef, InterceptorContext,
};
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::retries::classifiers::{ClassifyRetry, RetryAction};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use tokio::time::Instant;
use xmlparser::{ElementEnd, Token};

use rulekeeper_core::ports::{ApiError, Calls, Failure, Verdict, without_encoded_part};

/// Counts every attempt of an operation when it is sent, notes throttling, and accepts whole answers of AWS only.
#[derive(Debug)]
pub(super) struct Attempts {
    pub(super) calls: Calls,
    pub(super) operation: &'static str,
}

#[dyn_dispatch_hint]
impl Intercept for Attempts {
    fn name(&self) -> &'static str {
        "Attempts"
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

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if is_throttled(context.response()) {
            self.calls.note_throttled();
        }
        // An error that the SDK found already says more.
        match context.output_or_error().is_err() || is_whole(context.response()) {
            true => Ok(()),
            false => Err("it is cut off, or it is not from AWS".into()),
        }
    }
}

/// Makes of a call a plain `GET /` that is not signed and asks for nothing, so that only its connection stays. DynamoDB
/// answers it with `healthy`, EC2 with a redirect; neither counts it as a call.
#[derive(Debug)]
pub(super) struct Greeting;

#[dyn_dispatch_hint]
impl Intercept for Greeting {
    fn name(&self) -> &'static str {
        "Greeting"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        request.set_method("GET")?;
        *request.body_mut() = SdkBody::empty();
        for name in [
            "authorization",
            "content-length",
            "content-type",
            "x-amz-date",
            "x-amz-security-token",
            "x-amz-target",
        ] {
            request.headers_mut().remove(name);
        }
        Ok(())
    }
}

/// Lets the SDK repeat what it takes for final: an answer of success that cannot be used, and a throttling without an error
/// code, as gateways send it. For calls only that may be made twice.
#[derive(Debug)]
pub(super) struct RepeatUnusable;

impl ClassifyRetry for RepeatUnusable {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let failed = matches!(context.output_or_error(), Some(Err(_)));
        match context.response().map(HttpResponse::status) {
            Some(status) if failed && status.is_success() => RetryAction::transient_error(),
            Some(status) if status.as_u16() == 429 => RetryAction::throttling_error(),
            _ => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "RepeatUnusable"
    }
}

/// Whether EC2 says that there are too many calls (EC2 Developer Guide, "Request throttling"). The SDK repeats reads after
/// that, so the result of a call does not tell it.
fn is_throttled(answer: &HttpResponse) -> bool {
    const CODE: &[u8] = b"RequestLimitExceeded";
    let body = answer.body().bytes().unwrap_or_default();
    answer.status().is_server_error() && body.windows(CODE.len()).any(|part| part == CODE)
}

/// Whether a successful answer is a whole one of AWS. The SDK takes a list that is cut off or damaged for a shorter one, and
/// anything for the answer to a write, because nothing in it is required.
///
/// AWS answers with 200; 206 is a part. JSON is read to its end, and has the id that AWS gives to each request (Amazon
/// DynamoDB Developer Guide, "DynamoDB low-level API"; Amazon SQS Developer Guide, "Interpreting Amazon SQS JSON API
/// responses").
fn is_whole(answer: &HttpResponse) -> bool {
    let body = answer.body().bytes().unwrap_or_default();
    let text = str::from_utf8(body).unwrap_or_default().trim_ascii();
    let is_of_aws = match text.starts_with('{') {
        true => answer.headers().contains_key("x-amzn-requestid"),
        false => is_xml(text),
    };
    answer.status().as_u16() == 200 && is_of_aws
}

/// Whether a document is well-formed, and no element has text beside others, as AWS writes it. The SDK's parser stops at a
/// fault, and its readers take what came before for the whole.
fn is_xml(text: &str) -> bool {
    let (mut open, mut name) = (Vec::new(), "");
    // Whether there is text since the last tag, and whether that tag ended an element.
    let (mut has_text, mut after_end) = (false, false);
    for token in xmlparser::Tokenizer::from(text) {
        match token {
            Ok(Token::ElementStart { local, .. }) if !has_text => name = local.as_str(),
            Ok(Token::ElementEnd { end, .. }) => {
                (has_text, after_end) = (false, end != ElementEnd::Open);
                match end {
                    ElementEnd::Open => open.push(name),
                    ElementEnd::Empty => {}
                    ElementEnd::Close(_, name) if open.pop() == Some(name.as_str()) => {}
                    ElementEnd::Close(..) => return false,
                }
            }
            Ok(Token::Text { text }) if text.trim_ascii().is_empty() => {}
            Ok(Token::Text { .. } | Token::Cdata { .. }) if !after_end => has_text = true,
            Ok(Token::ElementStart { .. } | Token::Text { .. } | Token::Cdata { .. }) | Err(_) => {
                return false;
            }
            Ok(_) => {}
        }
    }
    !name.is_empty() && open.is_empty()
}

/// Awaits a call, at most until `deadline`.
pub(super) async fn within<T, E>(
    deadline: Instant,
    operation: &'static str,
    call: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
) -> Result<T, ApiError>
where
    E: ProvideErrorMetadata + std::error::Error + Debug + 'static,
{
    within_as(None, deadline, operation, call).await
}

/// The same for a call that may first assume the role with this ARN.
pub(super) async fn within_as<T, E>(
    role: Option<&str>,
    deadline: Instant,
    operation: &'static str,
    call: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
) -> Result<T, ApiError>
where
    E: ProvideErrorMetadata + std::error::Error + Debug + 'static,
{
    match tokio::time::timeout_at(deadline, call).await {
        Ok(Ok(output)) => Ok(output),
        Ok(Err(error)) => {
            let of_role = role.and_then(|role| role_error(role, &error));
            Err(of_role.unwrap_or_else(|| api_error(operation, &error)))
        }
        Err(_) => Err(out_of_time(operation)),
    }
}

/// A call that was given up at its deadline.
pub(super) fn out_of_time(operation: &'static str) -> ApiError {
    ApiError {
        operation,
        failure: Failure::OutOfTime,
        message: "it did not succeed in the time for it".to_owned(),
    }
}

/// The operation that a refused role is reported under.
const ASSUME_ROLE: &str = "AssumeRole";

/// Whether a call failed because STS refused its role.
pub(super) fn is_refused_role(error: &ApiError) -> bool {
    error.operation == ASSUME_ROLE && error.verdict() == Verdict::Denied
}

/// The answer of STS, if a call was not sent because its role could not be assumed. The SDK reports this like a server
/// that cannot be reached.
fn role_error(role: &str, error: &(dyn std::error::Error + 'static)) -> Option<ApiError> {
    let mut error = api_error(ASSUME_ROLE, assume_role_error(error)?);
    if error.verdict() == Verdict::Denied {
        error.message = format!(
            "the role {role} may not be assumed: {}; see MemberRoleName, or --role-name, and the trust policy in \
             template-member.yaml",
            error.message
        );
    }
    Some(error)
}

/// The answer of STS to an AssumeRole, anywhere among the causes of an error.
fn assume_role_error<'e>(
    error: &'e (dyn std::error::Error + 'static),
) -> Option<&'e SdkError<AssumeRoleError, HttpResponse>> {
    std::iter::successors(error.source(), |error| error.source())
        .find_map(|cause| cause.downcast_ref())
}

/// Turns an SDK error of any service into ours.
///
/// An answer without an error code refuses nothing: it is unusable, whatever its status is. The SDK reports a successful
/// answer that it cannot read as an error of the service without a code. Gateways answer a plain 429 without one.
pub fn api_error<E>(operation: &'static str, error: &SdkError<E, HttpResponse>) -> ApiError
where
    E: ProvideErrorMetadata + std::error::Error + Debug + 'static,
{
    let status = error
        .raw_response()
        .map(|response| response.status().as_u16());
    let code = error
        .code()
        .map(|code| code.trim_start_matches("Client.").to_owned())
        .filter(|code| !code.is_empty());
    let failure = match (error, status, code) {
        (_, Some(status @ (429 | 500..)), None) => {
            let code = format!("HTTP {status}");
            match status {
                429 => Failure::Refused { code },
                _ => Failure::Server { code },
            }
        }
        (_, Some(500..), Some(code)) => Failure::Server { code },
        (SdkError::ServiceError(_), _, Some(code)) => Failure::Refused { code },
        (SdkError::ServiceError(_) | SdkError::ResponseError(_), ..) => Failure::Unusable,
        _ => Failure::NoAnswer,
    };
    let message = match (error.message(), status) {
        (Some(message), _) => without_encoded_part(message).to_owned(),
        (None, Some(status)) if failure == Failure::Unusable => {
            format!(
                "the answer, HTTP {status}, cannot be read: {}",
                causes(error)
            )
        }
        _ => causes(error),
    };
    ApiError {
        operation,
        failure,
        message,
    }
}

/// A field that every whole answer of the operation has.
///
/// # Errors
/// When the answer does not have it. Such an answer says nothing, and the same call may be answered later.
pub fn whole<T>(operation: &'static str, name: &str, field: Option<T>) -> Result<T, ApiError> {
    field.ok_or_else(|| unusable(operation, format_args!("the answer has no {name}")))
}

/// The error for an answer that cannot be used.
pub fn unusable(operation: &'static str, message: impl std::fmt::Display) -> ApiError {
    ApiError {
        operation,
        failure: Failure::Unusable,
        message: message.to_string(),
    }
}

/// An error and its causes in one line. The line is cut off, because some causes contain a whole answer of the server.
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

#[cfg(test)]
mod tests {
    use aws_credential_types::provider::error::CredentialsError;
    use aws_sdk_ec2::error::ErrorMetadata;
    use aws_sdk_ec2::operation::describe_security_group_rules::DescribeSecurityGroupRulesError;
    use aws_smithy_runtime_api::http::StatusCode;

    use super::*;

    const ROLE: &str = "arn:aws:iam::444455556666:role/member";

    #[test]
    fn an_answer_that_is_cut_off_or_not_of_aws_is_none() {
        let id = ("x-amzn-requestid", "r");
        let cases = [
            (
                "<?xml version=\"1.0\"?>\n<AResponse xmlns=\"n\"><set/></AResponse>\n",
                None,
                true,
            ),
            ("<AResponse><return>true</return></AResponse>", None, true),
            ("<AResponse><set><item><a>1</a></item>", None, false),
            (
                "<AResponse><set><item><a>1</a></item></set></ARespon",
                None,
                false,
            ),
            ("<?xml version=\"1.0\"?>", None, false),
            (
                "<?xml version=\"1.0\"?>\n<A><b />\n<c>\u{85}</c></A>",
                None,
                true,
            ),
            ("<A><b><c/></b><b></c></A>", None, false),
            ("<A><b><1/></b></A>", None, false),
            ("<A><b>a ]]> b</b></A>", None, false),
            ("<A><b>\u{1}</b></A>", None, false),
            ("<A><b c></b></A>", None, false),
            ("<A><!-- c --><b d=\"1\">e</b></A>", None, true),
            ("<A><b>c<d/></b></A>", None, false),
            ("<A><b/>c</A>", None, false),
            ("<A></A><A></A>", None, false),
            ("<A></A> and more", None, false),
            ("\u{feff}<A><b>", Some(id), false),
            ("{}", Some(id), true),
            ("{}", None, false),
            ("{\"__type\":\"InternalServerError\"}", None, false),
            ("", Some(id), false),
            ("Bad gateway", None, false),
        ];
        for (body, header, whole) in cases {
            for status in [200, 206] {
                let code = StatusCode::try_from(status).expect("a status");
                let mut answer = HttpResponse::new(code, SdkBody::from(body));
                if let Some((name, value)) = header {
                    answer.headers_mut().insert(name, value);
                }
                assert_eq!(is_whole(&answer), whole && status == 200, "{status} {body}");
            }
        }
    }

    type Read = SdkError<DescribeSecurityGroupRulesError, HttpResponse>;

    /// A read without credentials, because STS gave this answer.
    fn read_without_role(status: u16, code: &str) -> ApiError {
        let status = StatusCode::try_from(status).expect("a status");
        let meta = ErrorMetadata::builder().code(code).message("said STS");
        let sts = SdkError::service_error(
            AssumeRoleError::generic(meta.build()),
            HttpResponse::new(status, SdkBody::empty()),
        );
        of_credentials(sts)
    }

    fn of_credentials(cause: SdkError<AssumeRoleError, HttpResponse>) -> ApiError {
        let error: Read = SdkError::construction_failure(CredentialsError::provider_error(cause));
        role_error(ROLE, &error).expect("STS answered")
    }

    #[test]
    fn a_refused_role_is_told_as_one_and_does_not_pass_by_itself() {
        let error = read_without_role(403, "AccessDenied");
        assert!(is_refused_role(&error) && !error.is_retryable());
        assert_eq!(
            error.to_string(),
            "AssumeRole: AccessDenied: the role arn:aws:iam::444455556666:role/member may not be assumed: said STS; see \
             MemberRoleName, or --role-name, and the trust policy in template-member.yaml"
        );
    }

    #[test]
    fn an_sts_that_is_busy_broken_or_out_of_reach_may_answer_later() {
        for error in [
            read_without_role(400, "Throttling"),
            read_without_role(503, "ServiceUnavailable"),
            read_without_role(400, "ExpiredToken"),
            of_credentials(SdkError::timeout_error("no answer")),
        ] {
            assert!(error.is_retryable() && !is_refused_role(&error), "{error}");
            assert_eq!(error.operation, "AssumeRole");
        }
    }

    #[test]
    fn without_an_answer_of_sts_the_call_itself_is_told() {
        let other = CredentialsError::provider_error("no instance profile");
        let error: Read = SdkError::construction_failure(other);
        assert_eq!(role_error(ROLE, &error), None);
        // EC2's own refusal is not a refusal of the role.
        let meta = ErrorMetadata::builder().code("UnauthorizedOperation");
        let status = StatusCode::try_from(403).expect("a status");
        let error: Read = SdkError::service_error(
            DescribeSecurityGroupRulesError::generic(meta.build()),
            HttpResponse::new(status, SdkBody::empty()),
        );
        assert_eq!(role_error(ROLE, &error), None);
    }
}
