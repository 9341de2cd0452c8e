//! EC2, STS and SNS: the query protocol, with answers in XML.

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use serde_json::json;

use crate::call::{Call, Sent};
use crate::cloud::Cloud;
use crate::ec2::{Answer, Ec2Error, Params, answer};
use crate::http::{self, Hangup};
use crate::identity::Caller;
use crate::services::{Service, Services};
use crate::{ids, sts, xml};

/// Answers a call of EC2 or, by its version, of STS or SNS.
pub(crate) async fn call(
    services: &Services,
    caller: &Caller,
    params: &Params,
) -> Result<Response, Hangup> {
    let action = params.text("Action").unwrap_or_default();
    let version = params.text("Version");
    let service = match version {
        Some("2011-06-15") => Service::Sts,
        Some("2010-03-31") => Service::Sns,
        _ => Service::Ec2,
    };
    let request_id = ids::uuid();
    let received = Call {
        caller,
        service,
        action,
        sent: Sent::Form(params),
    };
    let run = async {
        match (service, version) {
            (Service::Sts, _) => sts::call(&services.cloud, caller, action, params),
            (Service::Sns, _) => topic(&services.cloud, action, params),
            (_, Some("2016-11-15")) => services.cloud.run_ec2(caller, action, params),
            _ => Err(Ec2Error::new(
                "InvalidAction",
                format!(
                    "rulekeeper-local imitates EC2 2016-11-15, STS 2011-06-15 and SNS 2010-03-31, not version {version:?}"
                ),
            )),
        }
    };
    let record = |result: &Result<Answer, Ec2Error>| {
        if service == Service::Ec2 {
            services
                .cloud
                .trail(caller, action, params, &request_id, result);
        }
    };
    let result = services.carry_out(&received, run, record).await?;
    Ok(match (result, service) {
        (Ok(fields), Service::Sts | Service::Sns) => {
            result_answer(service, action, &request_id, &fields)
        }
        (Err(refusal), Service::Sts | Service::Sns) => {
            result_refusal(service, &request_id, &refusal)
        }
        (Ok(fields), _) => ec2_answer(action, &request_id, &fields),
        (Err(refusal), _) => ec2_refusal(&request_id, &refusal),
    })
}

/// SNS: the one attribute of GetTopicAttributes that is asked for (Amazon SNS API Reference, version 2010-03-31).
fn topic(cloud: &Cloud, action: &str, params: &Params) -> Result<Answer, Ec2Error> {
    if action != "GetTopicAttributes" {
        return Err(Service::Sns.not_imitated(action));
    }
    let arn = params.require("TopicArn", "TopicArn")?;
    let topics = cloud.estate().topics;
    let name = arn.rsplit(':').next().unwrap_or_default();
    let Some(confirmed) = topics.get(name) else {
        return Err(Ec2Error::new("NotFound", "Topic does not exist").with_status(404));
    };
    let entry = json!({ "key": "SubscriptionsConfirmed", "value": confirmed.to_string() });
    Ok(answer([("Attributes", json!({ "entry": entry }))]))
}

/// The namespace of a service's answers.
fn namespace(service: Service) -> &'static str {
    match service {
        Service::Sns => "http://sns.amazonaws.com/doc/2010-03-31/",
        _ => "https://sts.amazonaws.com/doc/2011-06-15/",
    }
}

const XML_HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

fn xml_answer(status: u16, body: String) -> Response {
    let kind = [(CONTENT_TYPE, "text/xml;charset=UTF-8")];
    (http::status(status), kind, format!("{XML_HEAD}{body}")).into_response()
}

fn ec2_answer(action: &str, request_id: &str, fields: &Answer) -> Response {
    let members = xml::members(fields);
    xml_answer(
        200,
        format!(
            "<{action}Response xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>{request_id}</requestId>{members}</{action}Response>"
        ),
    )
}

/// EC2 Developer Guide, "Error codes for the Amazon EC2 API", example error response.
fn ec2_refusal(request_id: &str, refusal: &Ec2Error) -> Response {
    let (code, message) = (xml::escape(&refusal.code), xml::escape(&refusal.message));
    xml_answer(
        refusal.status,
        format!(
            "<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors><RequestID>{request_id}</RequestID></Response>"
        ),
    )
}

fn result_answer(service: Service, action: &str, request_id: &str, fields: &Answer) -> Response {
    let xmlns = namespace(service);
    let members = xml::members(fields);
    xml_answer(
        200,
        format!(
            "<{action}Response xmlns=\"{xmlns}\"><{action}Result>{members}</{action}Result>\
         <ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{action}Response>"
        ),
    )
}

fn result_refusal(service: Service, request_id: &str, refusal: &Ec2Error) -> Response {
    let xmlns = namespace(service);
    let (code, message) = (xml::escape(&refusal.code), xml::escape(&refusal.message));
    let side = if refusal.status >= 500 {
        "Receiver"
    } else {
        "Sender"
    };
    xml_answer(
        refusal.status,
        format!(
            "<ErrorResponse xmlns=\"{xmlns}\"><Error><Type>{side}</Type><Code>{code}</Code>\
         <Message>{message}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
        ),
    )
}
