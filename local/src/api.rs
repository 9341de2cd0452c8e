//! The endpoint: tells the services apart, puts each call through the dials, and keeps the journal.

use std::future::pending;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, DATE, HOST, HeaderName, USER_AGENT};
use hyper::{HeaderMap, Request, Response, StatusCode};
use jiff::fmt::rfc2822::DateTimePrinter;
use serde_json::{Value, json};

use crate::admin;
use crate::cloud::{Cloud, Verdict};
use crate::dials::Dials;
use crate::dynamodb::{self, DynamoDb};
use crate::ec2::{Answer, Ec2Error, Params};
use crate::events::Buses;
use crate::http::{Body, Hangup, answer, collect, json_answer};
use crate::identity::{Caller, credential};
use crate::journal::Call;
use crate::lambda::Lambda;
use crate::sqs::Queues;
use crate::{ids, sts, times, xml};

/// What the paths of Lambda's API begin with (Lambda API Reference): each operation has kept the version it came with.
const LAMBDA_VERSIONS: [&str; 3] = ["/2015-03-31/", "/2019-09-25/", "/2019-09-30/"];

/// What the endpoint serves.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    pub(crate) cloud: Cloud,
    pub(crate) lambda: Lambda,
    pub(crate) dynamodb: Arc<DynamoDb>,
    pub(crate) queues: Queues,
    pub(crate) buses: Buses,
}

impl Api {
    /// Answers one request, at the time that the dialled clock shows.
    pub(crate) async fn handle(self, request: Request<Incoming>) -> Result<Response<Body>, Hangup> {
        let mut response = self.route(request).await?;
        let offset = self.cloud.estate().clock_offset_ms;
        let now = jiff::Timestamp::now() + jiff::SignedDuration::from_millis(offset);
        // Without one of ours the server writes the true time.
        if offset != 0
            && let Ok(date) = DateTimePrinter::new().timestamp_to_rfc9110_string(&now)
            && let Ok(date) = date.parse()
        {
            response.headers_mut().insert(DATE, date);
        }
        Ok(response)
    }

    async fn route(&self, request: Request<Incoming>) -> Result<Response<Body>, Hangup> {
        let (parts, body) = request.into_parts();
        let body = collect(body).await;
        let path = parts.uri.path();
        if let Some(path) = path.strip_prefix("/_local/") {
            return Ok(admin::handle(
                self,
                &parts.method,
                path,
                parts.uri.query().unwrap_or_default(),
                &body,
            )
            .await);
        }
        let caller = self.caller(&parts.headers);
        if LAMBDA_VERSIONS
            .iter()
            .any(|version| path.starts_with(version))
        {
            return self.lambda_api(caller, &parts, &body).await;
        }
        if let Some(target) = header(&parts.headers, "x-amz-target") {
            let known = target
                .rsplit_once('.')
                .and_then(|(api, action)| Some((JsonService::of(api)?, action)));
            return match known {
                Some((service, action)) => {
                    self.json(service, caller, action, &parts.headers, body)
                        .await
                }
                None => Ok(dynamodb::refusal(
                    "UnknownOperationException",
                    &format!("rulekeeper-local does not imitate {target}"),
                    400,
                )),
            };
        }
        // A query API takes its parameters from the body, and from the URL as well.
        let mut form = String::from_utf8_lossy(&body).into_owned();
        if let Some(query) = parts.uri.query() {
            form.push('&');
            form.push_str(query);
        }
        self.query(caller, Params::parse(&form)).await
    }

    fn caller(&self, headers: &HeaderMap) -> Caller {
        let authorization = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let (key, region, _) = credential(authorization).unwrap_or(("", "us-east-1", ""));
        let text = |name: HeaderName| {
            headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
                .to_owned()
        };
        Caller {
            identity: self.cloud.identify(key),
            access_key: key.to_owned(),
            region: region.to_owned(),
            user_agent: text(USER_AGENT),
            host: text(HOST),
        }
    }

    pub(crate) fn open(
        &self,
        caller: &Caller,
        service: &str,
        action: &str,
        group: Option<String>,
    ) -> u64 {
        self.cloud.open_call(Call {
            sequence: 0,
            time_ms: 0,
            service: service.to_owned(),
            action: action.to_owned(),
            account: caller.identity.account.clone(),
            region: caller.region.clone(),
            principal: caller.identity.arn.clone(),
            user_agent: caller.user_agent.clone(),
            group,
            outcome: None,
            status: None,
            took_us: 0,
        })
    }

    /// The dialled latency; even an empty sleep would take a timer tick.
    pub(crate) async fn linger(&self, action: &str) {
        let latency = self.cloud.latency(action);
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
    }

    async fn query(&self, caller: Caller, params: Params) -> Result<Response<Body>, Hangup> {
        let arrived = Instant::now();
        let action = params.text("Action").unwrap_or_default().to_owned();
        let is_sts = params.text("Version") == Some("2011-06-15");
        let service = if is_sts { "sts" } else { "ec2" };
        let request_id = ids::uuid();
        let sequence = self.open(&caller, service, &action, first_group(&params));
        let close = |outcome: &str, status: Option<u16>| {
            let took = times::micros(arrived.elapsed());
            self.cloud.close_call(sequence, outcome, status, took);
        };
        self.linger(&action).await;
        self.cloud.run_hook(&action);
        let denial = |dials: &Dials| denied(dials, &caller, service, &action, &params);
        let verdict = self
            .cloud
            .judge(&caller, &action, |id| params.mentions(id), denial);
        let run = || match (is_sts, params.text("Version")) {
            (true, _) => sts::call(&self.cloud, &caller, &action, &params),
            (false, Some("2016-11-15")) => self.cloud.run_ec2(&caller, &action, &params),
            (false, version) => Err(Ec2Error::new(
                "InvalidAction",
                format!(
                    "rulekeeper-local imitates EC2 2016-11-15 and STS 2011-06-15, not version {version:?}"
                ),
            )),
        };
        let record = |result: &Result<Answer, Ec2Error>| {
            if !is_sts {
                self.cloud
                    .trail(&caller, &action, &params, &request_id, result);
            }
        };
        let result = match verdict {
            Verdict::Go => run(),
            Verdict::Fail {
                refusal,
                takes_effect,
            } => {
                if takes_effect {
                    // Whatever it brought, the caller is told otherwise.
                    drop(run());
                }
                Err(refusal)
            }
            Verdict::Drop { takes_effect } => {
                if takes_effect {
                    record(&run());
                }
                close("ConnectionDropped", None);
                return Err(Hangup);
            }
            Verdict::Silence { takes_effect } => {
                if takes_effect {
                    record(&run());
                }
                close("Silence", None);
                return pending().await;
            }
        };
        // Journal first, so that whoever is woken by the event finds the call that caused it.
        match &result {
            Ok(_) => close("Success", Some(200)),
            Err(refusal) => close(&refusal.code, Some(refusal.status)),
        }
        record(&result);
        Ok(match (result, is_sts) {
            (Ok(fields), false) => ec2_answer(&action, &request_id, &fields),
            (Err(refusal), false) => ec2_refusal(&request_id, &refusal),
            (Ok(fields), true) => sts_answer(&action, &request_id, &fields),
            (Err(refusal), true) => sts_refusal(&request_id, &refusal),
        })
    }

    /// A call of a service that speaks JSON.
    async fn json(
        &self,
        service: JsonService,
        caller: Caller,
        action: &str,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Response<Body>, Hangup> {
        let arrived = Instant::now();
        let sequence = self.open(&caller, service.name(), action, None);
        let close = |outcome: &str, status: Option<u16>| {
            let took = times::micros(arrived.elapsed());
            self.cloud.close_call(sequence, outcome, status, took);
        };
        self.linger(action).await;
        self.cloud.run_hook(action);
        let text = String::from_utf8_lossy(&body).into_owned();
        let denial = |dials: &Dials| {
            let message = format!(
                "User: {} is not authorized to perform: {}:{action}",
                caller.identity.arn,
                service.name()
            );
            dials
                .denied
                .contains(action)
                .then(|| Ec2Error::new("AccessDeniedException", message))
        };
        let verdict = self
            .cloud
            .judge(&caller, action, |id| text.contains(id), denial);
        let backups =
            matches!(service, JsonService::DynamoDb) && action == "DescribeContinuousBackups";
        let engine_headers = backups.then(|| dynamodb::asking_for(headers, "DescribeTable"));
        let headers = engine_headers.as_ref().unwrap_or(headers);
        let run = async || match service {
            JsonService::DynamoDb => {
                self.dynamodb
                    .forward(
                        &caller.identity.account,
                        &caller.region,
                        headers,
                        body.clone(),
                    )
                    .await
            }
            JsonService::Sqs => {
                Ok(self.small(service, |asked| self.queues.call(action, asked), &text))
            }
            JsonService::EventBridge if action == "PutEvents" => {
                Ok(self.small(service, |asked| self.buses.call(action, asked), &text))
            }
            JsonService::EventBridge => {
                Ok(self.small(service, |asked| self.events(action, asked), &text))
            }
            JsonService::CloudTrail => Ok(self.small(
                service,
                |asked| self.cloudtrail(&caller, action, asked),
                &text,
            )),
        };
        let result = match verdict {
            Verdict::Go => run().await,
            Verdict::Fail {
                refusal,
                takes_effect,
            } => {
                if takes_effect {
                    drop(run().await);
                }
                let (code, status) = match refusal.code.as_str() {
                    // DynamoDB's name for the same thing, and its status (DynamoDB Developer Guide, "Error handling").
                    "RequestLimitExceeded" if refusal.status == 503 => ("ThrottlingException", 400),
                    code => (code, refusal.status),
                };
                close(code, Some(status));
                return Ok(service.refusal(code, &refusal.message, status));
            }
            Verdict::Drop { takes_effect } => {
                if takes_effect {
                    drop(run().await);
                }
                close("ConnectionDropped", None);
                return Err(Hangup);
            }
            Verdict::Silence { takes_effect } => {
                if takes_effect {
                    drop(run().await);
                }
                close("Silence", None);
                return pending().await;
            }
        };
        match result {
            Ok(response) if response.status().is_success() => {
                close("Success", Some(200));
                if backups {
                    return Ok(dynamodb::backups(self.cloud.estate().backups));
                }
                Ok(response)
            }
            Ok(response) => {
                let (parts, body) = response.into_parts();
                let bytes = match http_body_util::BodyExt::collect(body).await {
                    Ok(all) => all.to_bytes(),
                };
                close(&error_type(&bytes), Some(parts.status.as_u16()));
                Ok(Response::from_parts(
                    parts,
                    http_body_util::Full::new(bytes),
                ))
            }
            Err(error) => {
                close("InternalServerError", Some(500));
                Ok(service.refusal("InternalServerError", &error.to_string(), 500))
            }
        }
    }

    /// The answer of a service that we imitate ourselves.
    fn small(
        &self,
        service: JsonService,
        call: impl Fn(&Value) -> Result<Value, Ec2Error>,
        request: &str,
    ) -> Response<Body> {
        let Ok(request) = serde_json::from_str(request) else {
            return service.refusal("SerializationException", "the request is not JSON", 400);
        };
        match call(&request) {
            Ok(value) => json_answer(StatusCode::OK, &value),
            Err(error) => service.refusal(&error.code, &error.message, error.status),
        }
    }
}

/// The services that speak JSON.
#[derive(Debug, Clone, Copy)]
enum JsonService {
    DynamoDb,
    Sqs,
    EventBridge,
    CloudTrail,
}

impl JsonService {
    /// The service of an `X-Amz-Target`'s first part.
    fn of(api: &str) -> Option<Self> {
        match api {
            "DynamoDB_20120810" => Some(Self::DynamoDb),
            "AmazonSQS" => Some(Self::Sqs),
            "AWSEvents" => Some(Self::EventBridge),
            // The AWS CLI puts a package's name in front.
            api if api.ends_with("CloudTrail_20131101") => Some(Self::CloudTrail),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::DynamoDb => "dynamodb",
            Self::Sqs => "sqs",
            Self::EventBridge => "events",
            Self::CloudTrail => "cloudtrail",
        }
    }

    fn refusal(self, code: &str, message: &str, status: u16) -> Response<Body> {
        match self {
            Self::DynamoDb => dynamodb::refusal(code, message, status),
            Self::Sqs | Self::EventBridge | Self::CloudTrail => json_answer(
                StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST),
                &json!({ "__type": code, "message": message }),
            ),
        }
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The first group id among the parameters that name the call's own group.
fn first_group(params: &Params) -> Option<String> {
    let filtered = params
        .list("Filter")
        .into_iter()
        .filter(|filter| filter.get("Name") == Some("group-id"));
    let named = params.text("GroupId").map(str::to_owned);
    named
        .or_else(|| params.values("GroupId").into_iter().next())
        .or_else(|| filtered.flat_map(|filter| filter.values("Value")).next())
}

/// The name behind `#` in a DynamoDB error's `__type`.
fn error_type(body: &[u8]) -> String {
    let error: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let kind = error["__type"].as_str().unwrap_or("Unknown");
    kind.rsplit('#').next().unwrap_or(kind).to_owned()
}

/// `UnauthorizedOperation` with the text that AWS was seen to send (`adanalvarez/TrailDiscover`); for STS `AccessDenied`.
fn denied(
    dials: &Dials,
    caller: &Caller,
    service: &str,
    action: &str,
    params: &Params,
) -> Option<Ec2Error> {
    let tags_on_create = action != "CreateTags" && params.has("TagSpecification");
    let denied = if dials.denied.contains(action) {
        action
    } else if tags_on_create && dials.denied.contains("CreateTags") {
        "CreateTags"
    } else {
        return None;
    };
    let (arn, account, region) = (
        &caller.identity.arn,
        &caller.identity.account,
        &caller.region,
    );
    if service == "sts" {
        let role = params.text("RoleArn").unwrap_or("*");
        let message =
            format!("User: {arn} is not authorized to perform: sts:{denied} on resource: {role}");
        return Some(Ec2Error::new("AccessDenied", message).with_status(403));
    }
    let resource = match (denied, params.text("GroupId")) {
        ("CreateTags", _) => format!("arn:aws:ec2:{region}:{account}:security-group-rule/*"),
        (_, Some(group)) => format!("arn:aws:ec2:{region}:{account}:security-group/{group}"),
        _ => "*".to_owned(),
    };
    let message = format!(
        "You are not authorized to perform this operation. User: {arn} is not authorized to perform: ec2:{denied} on resource: \
         {resource} because no identity-based policy allows the ec2:{denied} action. Encoded authorization failure message: \
         bG9jYWwgc3RhY2s"
    );
    Some(Ec2Error::new("UnauthorizedOperation", message).with_status(403))
}

const XML_HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

fn xml_answer(status: u16, body: String) -> Response<Body> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    answer(
        status,
        "text/xml;charset=UTF-8",
        format!("{XML_HEAD}{body}"),
    )
}

fn ec2_answer(action: &str, request_id: &str, fields: &Answer) -> Response<Body> {
    let members = xml::members(fields);
    xml_answer(
        200,
        format!(
            "<{action}Response xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>{request_id}</requestId>{members}</{action}Response>"
        ),
    )
}

/// EC2 Developer Guide, "Error codes for the Amazon EC2 API", example error response.
fn ec2_refusal(request_id: &str, refusal: &Ec2Error) -> Response<Body> {
    let (code, message) = (xml::escape(&refusal.code), xml::escape(&refusal.message));
    xml_answer(
        refusal.status,
        format!(
            "<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors><RequestID>{request_id}</RequestID></Response>"
        ),
    )
}

fn sts_answer(action: &str, request_id: &str, fields: &Answer) -> Response<Body> {
    let members = xml::members(fields);
    xml_answer(
        200,
        format!(
            "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result>{members}</{action}Result>\
         <ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{action}Response>"
        ),
    )
}

fn sts_refusal(request_id: &str, refusal: &Ec2Error) -> Response<Body> {
    let (code, message) = (xml::escape(&refusal.code), xml::escape(&refusal.message));
    let side = if refusal.status >= 500 {
        "Receiver"
    } else {
        "Sender"
    };
    xml_answer(
        refusal.status,
        format!(
            "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>{side}</Type><Code>{code}</Code>\
         <Message>{message}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
        ),
    )
}
